"""The inference-pipeline pattern by the real CDK CLI: raw text in, a readable answer out, stage by stage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.laptop import Laptop, wait_for

pytestmark = pytest.mark.sandbox

PATTERN = "inference-pipeline"
STAGES = ["normalize", "classify", "render"]
RAW = [
    "불후의 명작입니다ㅋㅋㅋㅋㅋㅋ   눈물이 앞을 가려요 ^^",
    "저런...5점 만점에 1점 주기도 힘들어요ㅠㅠㅠㅠ",
]


def ask(laptop: Laptop, body: bytes, content_type: str, accept: str | None = None) -> tuple[str, bytes]:
    answer = laptop.boto("sagemaker-runtime").invoke_endpoint(
        EndpointName=laptop.outputs(PATTERN)["EndpointName"],
        ContentType=content_type,
        Body=body,
        **({"Accept": accept} if accept else {}),
    )
    return answer["ContentType"], answer["Body"].read()


def test_raw_text_becomes_a_readable_korean_and_english_answer(inference_pipeline: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN raw reviews with emoticons and repeated jamo are sent as JSON
    content_type, body = ask(
        inference_pipeline, json.dumps({"inputs": RAW}).encode(), "application/json", "application/json"
    )

    # THEN the last stage's words come back, in order
    assert content_type.startswith("application/json")
    praise, blame = json.loads(body)
    assert (praise["label"], blame["label"]) == ("positive", "negative")
    assert "긍정" in praise["ko"]
    assert "부정" in blame["ko"]
    assert "ositive" in praise["en"]


def test_json_lines_keep_their_number_and_order_through_the_stages(inference_pipeline: Laptop) -> None:
    # GIVEN forty records on lines, as a batch transform job would send them
    records = [json.dumps({"text": [RAW[number % 2]]}, ensure_ascii=False) for number in range(40)]

    # WHEN they go through the three stages
    content_type, body = ask(
        inference_pipeline, "\n".join(records).encode(), "application/jsonlines", "application/jsonlines"
    )

    # THEN there is a line for each
    assert content_type.startswith("application/jsonlines")
    answers = [json.loads(line) for line in body.decode().splitlines()]
    assert [answer["label"] for answer in answers] == ["positive", "negative"] * 20


def test_the_stage_that_fails_is_named(inference_pipeline: Laptop) -> None:
    # GIVEN the deployed pattern
    outputs = inference_pipeline.outputs(PATTERN)
    assert outputs["ContainerHostnames"].split(",") == STAGES

    # WHEN the first stage refuses a body
    with pytest.raises(ClientError) as refused:
        ask(inference_pipeline, b"{", "application/json")

    # THEN it is named, and its status is told
    assert refused.value.response["Error"]["Code"] == "ModelError"
    assert refused.value.response["OriginalStatusCode"] == 400
    assert "from normalize" in str(refused.value)

    # AND WHEN the middle stage is one that fails on every call
    changed = inference_pipeline
    (changed.project / "changed").touch()
    folder = "patterns.inference-pipeline.containers.classify.directory=model_code/sentiment_faulty"
    changed.sandbox("deploy", PATTERN, "-c", folder)
    with pytest.raises(ClientError) as failed:
        ask(changed, json.dumps({"inputs": RAW}).encode(), "application/json")

    # THEN the middle stage is named
    assert failed.value.response["OriginalStatusCode"] == 500
    assert "from classify" in str(failed.value)


def test_the_demo_shows_every_stage_and_cloudwatch_its_latency(inference_pipeline: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo speaks
    said = inference_pipeline.client("demo", PATTERN).stdout
    endpoint = inference_pipeline.outputs(PATTERN)["EndpointName"]

    # THEN all stages are there
    assert all(stage in said for stage in STAGES)

    # AND the sum of the stages is about the latency of the model as a whole
    def latency(*extra: dict[str, str]) -> float:
        found = inference_pipeline.boto("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="ContainerLatency" if extra else "ModelLatency",
            Dimensions=[
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": "primary"},
                *extra,
            ],
            StartTime=0,
            EndTime=4102444800,
            Period=86400,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in found)

    def stages_seen() -> Any:
        parts = [latency({"Name": "ContainerName", "Value": stage}) for stage in STAGES]
        return parts if all(parts) else None

    parts = wait_for("latency of each stage", stages_seen)
    assert sum(parts) == pytest.approx(latency(), rel=0.5)
