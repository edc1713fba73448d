"""InvokeEndpoint through boto3: what reaches the container, what comes back, which errors."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox_runtime.fakes import GROUP, Plane, Request, http, says, variant


def test_answer_and_variant_come_back(plane: Plane) -> None:
    # GIVEN an endpoint in service
    plane.serve()
    # WHEN it is invoked
    answer = plane.invoke("안녕 world".encode(), ContentType="text/csv")
    # THEN the container's body, its content type and the variant's name come back, with a request id
    assert answer["Body"].read() == "안녕 world".encode().upper()
    assert answer["ContentType"] == "text/csv"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ResponseMetadata"]["RequestId"]


def test_only_modelled_headers_reach_the_container(plane: Plane) -> None:
    plane.serve()
    server = plane.fleets.made[0].instances[0].containers[0]

    def add_header(request: Any, **_: object) -> None:
        request.headers["X-Private"] = "secret"

    plane.client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", add_header)
    plane.invoke(Accept="application/json", CustomAttributes="trace=1", InferenceId="inference-7")
    headers = server.requests[0].headers
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == "text/plain"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert headers["x-amzn-sagemaker-inference-id"] == "inference-7"
    assert not {"x-private", "authorization", "user-agent", "x-amz-date"} & set(headers)


def test_custom_attributes_come_back_only_if_the_container_sets_them(plane: Plane) -> None:
    async def answer(request: Request) -> bytes:
        if request.body == b"set":
            return http(b"", **{"X-Amzn-SageMaker-Custom-Attributes": "made=here"})
        return http(b"")

    plane.serve(answer)
    assert plane.invoke(b"set", CustomAttributes="x=1")["CustomAttributes"] == "made=here"
    assert "CustomAttributes" not in plane.invoke(b"no", CustomAttributes="x=1")


def test_unknown_endpoint_is_named_with_its_account(plane: Plane) -> None:
    plane.serve()
    client = plane.make_client(access_key="123456789012")
    for asking, account, name in ((plane.client, "000000000000", "nope"), (client, "123456789012", "ep")):
        with pytest.raises(asking.exceptions.ValidationError) as caught:
            asking.invoke_endpoint(EndpointName=name, Body=b"x")
        message = caught.value.response["Error"]["Message"]
        assert message == f"Endpoint {name} of account {account} not found."
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_endpoint_of_another_region_is_not_found(plane: Plane) -> None:
    plane.serve()
    client = plane.make_client(region="us-east-1")
    with pytest.raises(client.exceptions.ValidationError, match="not found"):
        client.invoke_endpoint(EndpointName="ep", Body=b"x")


def test_the_name_must_match_in_case(plane: Plane) -> None:
    plane.serve()
    with pytest.raises(
        plane.client.exceptions.ValidationError, match=r"Endpoint EP of account \d+ not found"
    ):
        plane.invoke(EndpointName="EP")


@pytest.mark.parametrize("model", [{"hangs": True}, {"fails": "no model data"}])
def test_an_endpoint_that_does_not_serve_refuses(plane: Plane, model: dict[str, Any]) -> None:
    # GIVEN an endpoint that is Creating, or Failed
    plane.model("model", **model)
    endpoint = plane.create(plane.config("config", variant("A", "model")), wait=False)
    plane.until(lambda: endpoint.status == ("Creating" if "hangs" in model else "Failed"))
    # WHEN it is invoked THEN it tells its status
    with pytest.raises(plane.client.exceptions.ValidationError, match=f"its status is {endpoint.status}"):
        plane.invoke()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "client"), (415, "client"), (500, "server"), (503, "server")]
)
def test_an_error_of_the_container_is_a_model_error(plane: Plane, status: int, kind: str) -> None:
    async def answer(request: Request) -> bytes:
        return http(b'{"error": "bad input"}', status)

    plane.serve(answer)
    with pytest.raises(plane.client.exceptions.ModelError) as caught:
        plane.invoke()
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"] == '{"error": "bad input"}'
    assert response["LogStreamArn"] == f"arn:aws:logs:ap-northeast-2:000000000000:log-group:{GROUP}ep"
    assert response["Error"]["Message"] == (
        f'Received {kind} error ({status}) from primary with message "{{"error": "bad input"}}". See '
        "https://ap-northeast-2.console.aws.amazon.com/cloudwatch/home?region=ap-northeast-2"
        f"#logEventViewer:group={GROUP}ep in account 000000000000 for more information."
    )
    # and it is logged, where the variant's containers log
    (group, stream, line) = plane.logs.lines[0]
    assert (group, stream.split("/")[0]) == (f"{GROUP}ep", "AllTraffic")
    assert "bad input" in line


def test_metrics_of_good_and_failed_invocations(plane: Plane) -> None:
    async def answer(request: Request) -> bytes:
        return http(b"", int(request.body))

    plane.serve(answer, count=2)
    for status in (b"200", b"200", b"400", b"500"):
        with pytest.raises(ClientError) if status >= b"400" else _nothing():
            plane.invoke(status)
    dimensions = {"EndpointName": "ep", "VariantName": "AllTraffic"}
    for extra in ({}, {"EndpointConfigName": "config"}):

        def values(name: str, extra: dict[str, str] = extra) -> list[float]:
            return plane.metrics.values(name, **dimensions, **extra)

        assert values("Invocations") == [1, 1, 1, 1]
        assert values("InvocationsPerInstance") == [0.5] * 4
        assert values("Invocation4XXErrors") == [0, 0, 1, 0]
        assert values("Invocation5XXErrors") == [0, 0, 0, 1]
        assert values("InvocationModelErrors") == [0, 0, 1, 1]
        assert all(0 < value < 30e6 for value in values("ModelLatency"))
        assert all(0 < value < 30e6 for value in values("OverheadLatency"))
    units = {
        (name, unit)
        for _, namespace, name, unit, _, _ in plane.metrics.records
        if namespace == "AWS/SageMaker"
    }
    assert ("ModelLatency", "Microseconds") in units
    assert ("Invocations", "Count") in units


def test_an_invocation_that_takes_too_long(make_plane: Any) -> None:
    async def answer(request: Request) -> bytes:
        await asyncio.sleep(20)
        return http(b"")

    plane = make_plane(invocation_seconds=0.2)
    plane.serve(answer)
    with pytest.raises(plane.client.exceptions.ModelError) as caught:
        plane.invoke()
    message = caught.value.response["Error"]["Message"]
    assert message.startswith(
        'Received server error (0) from model with message "Your invocation timed out while waiting for '
        "a response from container model. Review the latency metrics for each container in Amazon "
        'CloudWatch, resolve the issue, and try again.". See https://'
    )
    assert caught.value.response["OriginalStatusCode"] == 0
    assert plane.metrics.values("Invocation5XXErrors", EndpointName="ep", VariantName="AllTraffic") == [1]
    assert plane.fleets.made[0].instances[0].in_flight == 0


def test_no_instance_in_service(make_plane: Any) -> None:
    plane = make_plane(invocation_seconds=0.3)
    plane.serve()
    plane.fleets.made[0].instances[0].state = "Suspect"
    with pytest.raises(
        plane.client.exceptions.ServiceUnavailable, match="No instance of production variant AllTraffic"
    ):
        plane.invoke()


def test_a_request_waits_for_an_instance_to_come_back(plane: Plane) -> None:
    plane.serve()
    instance = plane.fleets.made[0].instances[0]
    instance.state = "Suspect"
    plane.loop.call_soon_threadsafe(
        plane.loop.call_later, 0.4, lambda: setattr(instance, "state", "InService")
    )
    assert plane.invoke()["Body"].read() == b"HELLO"


def test_payload_limits(make_plane: Any) -> None:
    async def answer(request: Request) -> bytes:
        return http(b"x" * (3000 if request.body == b"large" else 10))

    plane = make_plane(max_payload=2000)
    plane.serve(answer)
    assert plane.invoke(b"x" * 2000)["Body"].read() == b"x" * 10
    with pytest.raises(plane.client.exceptions.ValidationError, match="exceeded 2000 bytes") as caught:
        plane.invoke(b"x" * 2001)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    with pytest.raises(plane.client.exceptions.ModelError, match="exceeds 2000 bytes"):
        plane.invoke(b"large")


def test_a_large_body_and_a_file_with_expect_continue(plane: Plane, tmp_path: Any) -> None:
    plane.serve()
    data = b"abcdefgh" * 1_000_000
    assert plane.invoke(data)["Body"].read() == data.upper()
    path = tmp_path / "body"
    path.write_bytes(data)
    with path.open("rb") as body:
        assert plane.invoke(body)["Body"].read() == data.upper()


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (
            {"TargetModel": "a.tar.gz"},
            "Endpoint ep is not a multi-model endpoint and does not support target model header.",
        ),
        ({"TargetContainerHostname": "first"}, "not a multi-container endpoint"),
        (
            {"TargetVariant": "Other"},
            "Target variant Other not found for endpoint ep. Its variants are: AllTraffic.",
        ),
        ({"InferenceComponentName": "ic"}, "Inference Component Name header is not allowed"),
        ({"EnableExplanations": "`true`"}, "no explainer"),
        (
            {"TargetVariant": "no_underscore"},
            "1 validation error detected: Value 'no_underscore' at 'targetVariant'",
        ),
        (
            {"TargetVariant": "a_b", "CustomAttributes": "x" * 1025, "InferenceId": "y" * 65},
            "3 validation errors detected",
        ),
        ({"EndpointName": "under_score"}, "'endpointName' failed to satisfy constraint"),
    ],
)
def test_refused_parameters(plane: Plane, params: dict[str, str], found: str) -> None:
    plane.serve()
    with pytest.raises(plane.client.exceptions.ValidationError) as caught:
        plane.invoke(**params)
    assert found in caught.value.response["Error"]["Message"]
    assert plane.fleets.made[0].instances[0].containers[0].requests == []
    assert plane.metrics.records == []


def test_async_invocation_of_a_real_time_endpoint(plane: Plane) -> None:
    plane.serve()
    with pytest.raises(ClientError, match="not asynchronous") as caught:
        plane.client.invoke_endpoint_async(EndpointName="ep", InputLocation="s3://bucket/key")
    assert caught.value.response["Error"]["Code"] == "ValidationError"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "MissingAuthenticationTokenException"),
        ("Bearer token", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 Credential=x, SignedHeaders=h, Signature=s", "IncompleteSignatureException"),
        (
            "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=h, Signature=s",
            "InvalidSignatureException",
        ),
    ],
)
def test_signatures(plane: Plane, authorization: str | None, code: str) -> None:
    plane.serve()
    head, _ = raw(plane, f"authorization: {authorization}\r\n" if authorization else "")
    assert head.startswith("HTTP/1.1 403")
    assert f"x-amzn-errortype: {code}" in head


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/endpoints/ep/invocations"), ("POST", "/"), ("POST", "/x/y")]
)
def test_other_paths_and_methods(plane: Plane, method: str, path: str) -> None:
    head, body = raw(plane, "", method=method, path=path)
    assert head.startswith("HTTP/1.1 404")
    assert "UnknownOperationException" in head
    assert path in body


def test_a_taken_port_is_an_error(plane: Plane, tmp_path: Any) -> None:
    from sandbox.engine import EngineSettings
    from sandbox.runtime import RuntimeListener

    port = int(plane.url.rsplit(":", 1)[1])
    settings = EngineSettings(gateway_port=1, runtime_port=port, work_dir=tmp_path)
    second = RuntimeListener(settings, plane.stores, plane.metrics, plane.logs, plane.aws)
    with pytest.raises(OSError, match="in use"):
        plane.run(second.start())


def test_direct_containers_are_named(plane: Plane) -> None:
    plane.serve(
        Containers=[{"ContainerHostname": "one"}, {"ContainerHostname": "two"}],
        InferenceExecutionConfig={"Mode": "Direct"},
        answerers={"one": says("1"), "two": says("2")},
    )
    assert plane.invoke(TargetContainerHostname="two")["Body"].read() == b"2"
    assert plane.invoke(TargetContainerHostname="one")["Body"].read() == b"1"
    for params, found in (
        ({}, "header is required"),
        ({"TargetContainerHostname": "three"}, "three not found"),
    ):
        with pytest.raises(plane.client.exceptions.ValidationError, match=found):
            plane.invoke(**params)


def raw(
    plane: Plane, headers: str, *, method: str = "POST", path: str = "/endpoints/ep/invocations"
) -> tuple[str, str]:
    """An answer to a request that no SDK would send."""
    port = int(plane.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        lines = f"host: x\r\nconnection: close\r\n{headers}content-length: 0\r\n"
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head, body


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
