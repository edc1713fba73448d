"""What the client's tests talk to: scripted answers of the control plane, and a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from botocore.exceptions import ClientError

VERDICTS = b'[{"label": "positive", "score": 0.95}, {"label": "negative", "score": 0.89}]'


class ScriptedAws:
    """Answers of the control plane by operation: a dict, a list of dicts to be given in turn, a function of
    the request's parameters, or an error."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "DescribeScalableTargets": {"ScalableTargets": []},
            "DescribeScalingPolicies": {"ScalingPolicies": []},
            "GetMetricData": {"MetricDataResults": []},
            "ListStackResources": {"StackResourceSummaries": []},
        }
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def fail(self, operation: str, code: str, message: str) -> None:
        self.answers[operation] = ClientError({"Error": {"Code": code, "Message": message}}, operation)

    def deploy(self, *stacks: dict[str, Any]) -> None:
        self.answers["DescribeStacks"] = {"Stacks": list(stacks)}

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        """What was sent to an operation of a JSON service."""
        return [json.loads(params["body"]) for name, params in self.calls if name == operation]

    def answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
        """What botocore's ``before-call`` event asks for; None lets the request go out."""
        if model.name not in self.answers:
            return None
        self.calls.append((model.name, params))
        answer = self.answers[model.name]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, BaseException):
            raise answer
        return type("Http", (), {"status_code": 200})(), answer


def stack(pattern: str = "realtime", name: str = "RealtimeInference", **changes: Any) -> dict[str, Any]:
    """A stack as DescribeStacks gives it."""
    outputs = changes.pop(
        "outputs",
        {"EndpointName": "realtime-dev", "EndpointConfigName": "config-2", "VariantNames": "primary"},
    )
    return {
        "StackName": name,
        "StackStatus": "CREATE_COMPLETE",
        "Tags": [
            {"Key": "sagemaker-serving:pattern", "Value": pattern},
            {"Key": "sagemaker-serving:environment", "Value": "dev"},
        ],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
        **changes,
    }


def endpoint(**changes: Any) -> dict[str, Any]:
    """An endpoint as DescribeEndpoint gives it."""
    return {
        "EndpointName": "realtime-dev",
        "EndpointStatus": "InService",
        "EndpointConfigName": "config-2",
        "ProductionVariants": [
            {
                "VariantName": "primary",
                "CurrentWeight": 1.0,
                "DesiredWeight": 1.0,
                "CurrentInstanceCount": 1,
                "DesiredInstanceCount": 2,
            }
        ],
        **changes,
    }


def variants(weights: dict[str, float], **changes: Any) -> list[dict[str, Any]]:
    """Production variants with these weights, as DescribeEndpoint gives them."""
    return [
        {
            "VariantName": name,
            "CurrentWeight": weight,
            "DesiredWeight": weight,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
            **changes,
        }
        for name, weight in weights.items()
    ]


def container_stack(pattern: str, mode: str, *hostnames: str) -> dict[str, Any]:
    """An endpoint whose model is several containers."""
    outputs = {
        "EndpointName": f"{pattern}-dev",
        "EndpointConfigName": "config-2",
        "VariantNames": "primary",
        "ContainerHostnames": ",".join(hostnames),
        "InferenceMode": mode,
    }
    return stack(pattern, "SeveralContainers", outputs=outputs)


def ab_stack(*names: str) -> dict[str, Any]:
    """An A/B test with these variants."""
    outputs = {
        "EndpointName": "ab-test-dev",
        "EndpointConfigName": "config-2",
        "VariantNames": ",".join(names),
    }
    return stack("ab-test", "AbTest", outputs=outputs)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RuntimeServer:
    """Answers invocations on loopback, on a thread of its own."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.respond: Handler = self._verdicts
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    async def _verdicts(_: web.Request) -> web.StreamResponse:
        return web.Response(
            body=VERDICTS,
            content_type="application/json",
            headers={"x-amzn-Invoked-Production-Variant": "primary"},
        )

    def answer_with(self, status: int, body: str = "{}", **headers: str) -> None:
        async def respond(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=body, headers=headers)

        self.respond = respond

    def __enter__(self) -> RuntimeServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.respond(request)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        application = web.Application(client_max_size=30 * 1024**2)
        application.router.add_post("/endpoints/{name}/{operation}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.close()
