"""Endpoints that change when the demo deploys: what the sandbox does in seconds, in hundredths of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.client.fakes import VERDICTS, RuntimeServer, ScriptedAws, ab_stack, endpoint, stack, variants

EVENT = "Stack | 1/2 | 1:00:00 AM | UPDATE_IN_PROGRESS | AWS::SageMaker::Endpoint | Endpoint"


def command(exit_status: int, until: Path | None = None) -> list[str]:
    """A deploy command that says something and ends, perhaps not before a file is there."""
    wait = f"while not os.path.exists({str(until)!r}): time.sleep(0.01)" if until else ""
    return [
        sys.executable,
        "-c",
        f"import os, time\nprint({EVENT!r})\n{wait}\nraise SystemExit({exit_status})",
    ]


class BlueGreen:
    """An endpoint of three instances, with a canary of one.

    Args:
        aws: Answers for the control plane.
        runtime: Answers invocations.
        version: What serves at first.
        rolled_back: Versions whose deployments are rolled back.
        raises: Versions that raise on every call.
        folder: Where it may write.
        fails_after: Whether requests fail after a rollback, too.
    """

    SECONDS = 0.4

    def __init__(
        self,
        aws: ScriptedAws,
        runtime: RuntimeServer,
        *,
        version: str = "v1",
        rolled_back: Sequence[str] = ("v2",),
        raises: Sequence[str] = ("v2",),
        folder: Path,
        fails_after: bool = False,
    ) -> None:
        self._aws = aws
        self._folder = folder
        self._rolled_back = rolled_back
        self._raises = raises
        self._fails_after = fails_after
        self._failing = False
        self._releases = 0
        self._requests = 0
        self.version, self.config = version, "config-0"
        self.pending: tuple[str, str] | None = None
        self.settings: list[list[str]] = []
        self.reason: str | None = None
        self._show()
        aws.answers["DescribeEndpoint"] = self.describe
        aws.answers["DescribeAlarms"] = {"MetricAlarms": []}
        runtime.respond = self.invoke

    def words(self, pattern: str, stack_name: str, settings: Sequence[str], **_: Any) -> list[str]:
        """Instead of the deploy command: the deployment begins at once."""
        self.settings.append(list(settings))
        version = next(word.rpartition("=")[2] for word in settings if ".version=" in word)
        self._releases += 1
        self.pending = (version, f"config-{self._releases}")
        over = self._folder / f"over-{self._releases}"
        threading.Timer(self.SECONDS, self._end, [over]).start()
        return command(1 if version in self._rolled_back else 0, over)

    def describe(self, _: Any) -> dict[str, Any]:
        """The endpoint as it is now."""
        pending = self.pending
        counts = {"CurrentInstanceCount": 3, "DesiredInstanceCount": 3}
        state = endpoint(
            EndpointName="blue-green-dev",
            EndpointConfigName=self.config,
            ProductionVariants=variants({"primary": 1.0}, **counts),
            LastDeploymentConfig={
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}
                }
            },
        )
        if self.reason:
            state["FailureReason"] = self.reason
        if pending:
            state["EndpointStatus"] = "Updating"
            state["PendingDeploymentSummary"] = {
                "EndpointConfigName": pending[1],
                "ProductionVariants": variants({"primary": 1.0}, **counts),
            }
        return state

    async def invoke(self, _: web.Request) -> web.StreamResponse:
        """Each third request meets the version that is being deployed."""
        self._requests += 1
        pending = self.pending
        canary = pending is not None and pending[0] in self._raises
        if (canary or self._failing) and self._requests % 3 == 0:
            body = '{"Message": "it raised", "OriginalStatusCode": 500}'
            return web.Response(status=424, text=body, headers={"x-amzn-ErrorType": "ModelError"})
        headers = {"x-amzn-Invoked-Production-Variant": "primary"}
        return web.Response(body=VERDICTS, content_type="application/json", headers=headers)

    def _end(self, over: Path) -> None:
        assert self.pending is not None
        version, config = self.pending
        if version in self._rolled_back:
            self.reason = "alarms are in ALARM state"
            self._failing = self._fails_after
        else:
            self.version, self.config, self.reason = version, config, None
            self._failing = False
        self.pending = None
        self._show()
        over.touch()

    def _show(self) -> None:
        outputs = {
            "EndpointName": "blue-green-dev",
            "EndpointConfigName": self.config,
            "VariantNames": "primary",
            "ModelVersion": self.version,
        }
        self._aws.deploy(stack("blue-green", "BlueGreenDeployment", outputs=outputs))


class AbTest:
    """An endpoint whose variants answer in proportion to their weights.

    Args:
        aws: Answers for the control plane.
        runtime: Answers invocations.
        names: Its variants.
        honest: Whether the weights are honoured.
    """

    def __init__(
        self,
        aws: ScriptedAws,
        runtime: RuntimeServer,
        names: Sequence[str] = ("champion", "challenger"),
        *,
        honest: bool = True,
    ) -> None:
        self._aws = aws
        self._honest = honest
        self.weights = dict.fromkeys(names, 1.0)
        self._owed = dict.fromkeys(names, 0.0)
        self.settings: list[list[str]] = []
        self.deployments_fail = False
        self._show()
        aws.answers["DescribeEndpoint"] = self.describe
        aws.answers["UpdateEndpointWeightsAndCapacities"] = self.shift
        runtime.respond = self.invoke

    def words(self, pattern: str, stack_name: str, settings: Sequence[str], **_: Any) -> list[str]:
        """Instead of the deploy command: variants go or come back at once."""
        self.settings.append(list(settings))
        if self.deployments_fail:
            return command(1)
        dropped = [word.split(".")[-1].removesuffix("=null") for word in settings if word.endswith("=null")]
        names = [name for name in ("champion", "challenger") if name not in dropped]
        self.weights = {name: self.weights.get(name, 50.0) for name in names}
        self._owed = dict.fromkeys(names, 0.0)
        self._show()
        return command(0)

    def describe(self, _: Any) -> dict[str, Any]:
        return endpoint(EndpointName="ab-test-dev", ProductionVariants=variants(self.weights))

    def shift(self, params: dict[str, Any]) -> dict[str, Any]:
        for one in self._aws.bodies("UpdateEndpointWeightsAndCapacities")[-1]["DesiredWeightsAndCapacities"]:
            self.weights[one["VariantName"]] = one["DesiredWeight"]
        self._owed = dict.fromkeys(self.weights, 0.0)
        return {"EndpointArn": "arn"}

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        name = request.headers.get("X-Amzn-SageMaker-Target-Variant") or self._next()
        texts = (await request.json())["inputs"]
        answers = [{"label": "negative" if "1점" in text else "positive", "score": 0.9} for text in texts]
        return web.json_response(answers, headers={"x-amzn-Invoked-Production-Variant": name})

    def _next(self) -> str:
        """The variant that has waited longest for its share."""
        if not self._honest:
            return next(iter(self.weights))
        total = sum(self.weights.values())
        for name, weight in self.weights.items():
            self._owed[name] += weight / total
        chosen = max(self._owed, key=lambda name: self._owed[name])
        self._owed[chosen] -= 1
        return chosen

    def _show(self) -> None:
        self._aws.deploy(ab_stack(*self.weights))
