"""The patterns on demand by the real CDK CLI: what each must show, bad input, status, update, destroy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.laptop import REVIEWS, Laptop, exists, wait_for

pytestmark = pytest.mark.sandbox


def demo(laptop: Laptop, pattern: str) -> dict[str, Any]:
    return dict(json.loads(laptop.client("demo", pattern, "--json").stdout))


def status(laptop: Laptop, pattern: str) -> int:
    return laptop.client("status", pattern, check=False).returncode


def update_past_the_stack(laptop: Laptop, endpoint: str) -> None:
    """Have the endpoint serve a copy of its configuration, which no stack knows."""
    sagemaker, name = laptop.boto("sagemaker"), f"{endpoint}-past-the-stack"
    current = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    described = sagemaker.describe_endpoint_config(EndpointConfigName=current)
    copied = {
        key: described[key] for key in ("ProductionVariants", "AsyncInferenceConfig") if key in described
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, **copied)
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=name)

    def served() -> bool:
        now = sagemaker.describe_endpoint(EndpointName=endpoint)
        return (now["EndpointStatus"], now["EndpointConfigName"]) == ("InService", name)

    wait_for("the update past the stack", served)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)


def test_a_video_wakes_the_endpoint_and_it_sleeps_again(async_inference: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo sends a video and a broken one
    found = demo(async_inference, "async")

    # THEN an instance came for them and went
    assert found["ok"] is True
    assert found["instances"][0] == 0
    assert max(found["instances"]) > 0
    assert found["instances"][-1] == 0

    # AND the answer has every frame, a notification and a picture; the broken video a failure and its cause
    video, broken = found["video"], found["broken_video"]
    assert video["frames"] == 150
    assert video["notification"]["invocationStatus"] == "Completed"
    sheet = async_inference.project / video["contact_sheet"]
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert broken["notification"]["invocationStatus"] == "Failed"
    assert "truncated" in broken["failure_object"]

    # AND nothing is wrong with it asleep
    assert status(async_inference, "async") == 0


def test_bad_requests_end_as_failures_with_object_and_notice(async_inference: Laptop, tmp_path: Path) -> None:
    # GIVEN the deployed pattern, noise that is called a video, and text
    noise, text = tmp_path / "noise.mp4", tmp_path / "words.txt"
    noise.write_bytes(bytes(range(256)) * 40)
    text.write_text("no video", encoding="utf-8")
    outputs = async_inference.outputs("async")

    # WHEN both are sent, and a request for an object that is not there
    ran = async_inference.client("async", "run", str(noise), str(text), "--json", check=False)
    missing = async_inference.boto("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=outputs["EndpointName"],
        InputLocation=f"{outputs['InputUri'].rstrip('/')}/nobody/there.mp4",
        ContentType="video/mp4",
    )

    # THEN each file ends as a failure, told and explained
    assert ran.returncode == 1
    for one in json.loads(ran.stdout)["requests"]:
        assert one["status"] == "Failed"
        assert one["notification"]["invocationStatus"] == "Failed"
        assert one["failure_object"]

    # AND so does the missing object
    def notice() -> dict[str, Any] | None:
        received = async_inference.boto("sqs").receive_message(
            QueueUrl=outputs["ErrorQueueUrl"], MaxNumberOfMessages=10, VisibilityTimeout=1
        )
        for message in received.get("Messages", []):
            content = json.loads(message["Body"])
            if content.get("inferenceId") == missing["InferenceId"]:
                return dict(content)
        return None

    assert wait_for("the error notice", notice)["invocationStatus"] == "Failed"
    bucket, _, key = missing["FailureLocation"].removeprefix("s3://").partition("/")
    assert async_inference.boto("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    # AND WHEN it is updated by the CLI, THEN the endpoint takes the new limit
    (async_inference.project / "changed").touch()
    async_inference.sandbox(
        "deploy", "async", "-c", "patterns.async.max_concurrent_invocations_per_instance=1"
    )
    sagemaker = async_inference.boto("sagemaker")
    config = sagemaker.describe_endpoint(EndpointName=outputs["EndpointName"])["EndpointConfigName"]
    described = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    client = described["AsyncInferenceConfig"]["ClientConfig"]
    assert client["MaxConcurrentInvocationsPerInstance"] == 1


def test_the_first_serverless_call_is_cold_the_next_warm_and_a_crowd_throttled(serverless: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo calls it twice, then by many at once
    found = demo(serverless, "serverless")

    # THEN the first call started a container, the second did not, and some of the crowd were throttled
    assert found["ok"] is True
    assert (found["first"]["cold"], found["next"]["cold"]) == (True, False)
    assert found["at_once"]["answered"] >= found["max_concurrency"]
    assert found["at_once"]["ThrottlingException"] > 0
    assert status(serverless, "serverless") == 0

    # AND WHEN it is updated by the CLI
    (serverless.project / "changed").touch()
    serverless.sandbox("deploy", "serverless", "-c", "patterns.serverless.serverless.max_concurrency=2")

    # THEN the new limit holds
    variant = serverless.boto("sagemaker").describe_endpoint(
        EndpointName=serverless.outputs("serverless")["EndpointName"]
    )["ProductionVariants"][0]
    assert variant["CurrentServerlessConfig"]["MaxConcurrency"] == 2


def test_a_function_answers_both_ways_alike_and_status_sees_trouble(lambda_inference: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo calls it directly and over HTTP, signed and unsigned
    found = demo(lambda_inference, "lambda")

    # THEN the first call was cold, the next warm, all signed calls answer alike, the unsigned one is refused
    assert found["ok"] is True
    assert {tuple(one["labels"]) for one in found["calls"]} == {("positive", "negative")}
    assert len(found["calls"]) == 4
    assert found["calls"][0]["init_ms"] > 0
    assert found["calls"][1]["init_ms"] is None
    assert found["unsigned_status"] == 403
    assert status(lambda_inference, "lambda") == 0

    # AND WHEN it is updated by the CLI
    (lambda_inference.project / "changed").touch()
    before = lambda_inference.outputs("lambda")["FunctionArn"]
    lambda_inference.sandbox("deploy", "lambda", "-c", "patterns.lambda.function.memory_mb=512")

    # THEN the same alias has a new version behind it, which answers
    outputs = lambda_inference.outputs("lambda")
    answer = lambda_inference.boto("lambda").invoke(
        FunctionName=outputs["FunctionArn"], Payload=json.dumps({"inputs": REVIEWS}).encode()
    )
    assert outputs["FunctionArn"] == before
    assert int(answer["ExecutedVersion"]) > 1
    assert len(json.loads(answer["Payload"].read())) == 2

    # AND WHEN the alias is taken away past the stack, THEN status tells
    lambda_inference.boto("lambda").delete_alias(
        FunctionName=outputs["FunctionName"], Name=outputs["FunctionAlias"]
    )
    assert status(lambda_inference, "lambda") == 2
    lambda_inference.sandbox("destroy", "lambda")
    assert not exists(lambda_inference, "lambda")


@pytest.mark.parametrize("pattern", ["async", "serverless"])
def test_destroy_takes_everything_away(laptop: Laptop, pattern: str) -> None:
    # GIVEN the deployed pattern
    if not exists(laptop, pattern):
        laptop.sandbox("deploy", pattern)
    endpoint = laptop.outputs(pattern)["EndpointName"]

    # WHEN somebody gives the endpoint another configuration past the stack, THEN status tells
    update_past_the_stack(laptop, endpoint)
    told = laptop.client("status", pattern, check=False)
    assert told.returncode == 2
    assert "past-the-stack" in told.stdout

    # AND WHEN it is destroyed
    laptop.sandbox("destroy", pattern)

    # THEN its endpoint and its model servers are gone
    assert not exists(laptop, pattern)
    assert endpoint not in {
        one["EndpointName"] for one in laptop.boto("sagemaker").list_endpoints()["Endpoints"]
    }
    assert not laptop.model_servers(endpoint)
