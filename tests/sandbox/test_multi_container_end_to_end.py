"""The multi-container pattern by the real CDK CLI: three models behind one endpoint, called by name."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.laptop import REVIEWS, Laptop, exists, wait_for

pytestmark = pytest.mark.sandbox

PATTERN = "multi-container"
ARTICLE = (
    "서울시는 내년부터 시내버스에 전기차를 더 많이 들여온다고 밝혔다. "
    "서울시는 전기 시내버스를 2030년까지 전체 시내버스의 절반으로 늘릴 계획이다. "
    "이날 발표장에는 시민 백여 명이 모였다. 점심으로는 김밥이 나왔다. "
    "전기 시내버스가 늘면 시내의 공기가 좋아질 것으로 서울시는 기대한다."
)
REQUESTS: dict[str, dict[str, Any]] = {
    "sentiment": {"inputs": REVIEWS},
    "similarity": {
        "pairs": [
            ["이 영화 정말 재미있어요", "이 영화 진짜 재미있네요"],
            ["이 영화 정말 재미있어요", "내일은 비가 옵니다"],
        ]
    },
    "summarization": {"text": ARTICLE, "sentences": 2},
}


def ask(laptop: Laptop, hostname: str | None, request: dict[str, Any]) -> Any:
    target = {} if hostname is None else {"TargetContainerHostname": hostname}
    answer = laptop.boto("sagemaker-runtime").invoke_endpoint(
        EndpointName=laptop.outputs(PATTERN)["EndpointName"],
        ContentType="application/json",
        Body=json.dumps(request),
        **target,
    )
    return json.loads(answer["Body"].read())


def test_each_container_answers_with_its_own_model(multi_container: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN each container is called by its hostname
    sentiment, similarity, summary = (ask(multi_container, name, body) for name, body in REQUESTS.items())

    # THEN one judges, one compares, one summarises
    assert [answer["label"] for answer in sentiment] == ["positive", "negative"]
    close, far = (answer["score"] for answer in similarity)
    assert 0 <= far < 2 < 3 < close <= 5
    assert len(summary[0]["summary"]) == 2
    assert all(sentence in ARTICLE for sentence in summary[0]["summary"])
    assert not any("김밥" in sentence for sentence in summary[0]["summary"])


def test_a_missing_unknown_or_unwanted_hostname_is_a_validation_error(
    multi_container: Laptop, realtime: Laptop
) -> None:
    # GIVEN a Direct endpoint, and one with a single container
    # WHEN no container, an unknown one, or any on the single-container endpoint is named
    with pytest.raises(ClientError) as missing:
        ask(multi_container, None, REQUESTS["sentiment"])
    with pytest.raises(ClientError) as unknown:
        ask(multi_container, "nobody", REQUESTS["sentiment"])
    with pytest.raises(ClientError) as unwanted:
        realtime.boto("sagemaker-runtime").invoke_endpoint(
            EndpointName=realtime.outputs()["EndpointName"],
            ContentType="application/json",
            Body=json.dumps(REQUESTS["sentiment"]),
            TargetContainerHostname="sentiment",
        )

    # THEN each is refused as the service does, and the message helps
    for refused in (missing, unknown, unwanted):
        assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert "sentiment, similarity, summarization" in str(missing.value)
    assert "nobody" in str(unknown.value)


def test_the_demo_shows_three_models_and_the_metrics_tell_them_apart(multi_container: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo speaks
    said = multi_container.client("demo", PATTERN).stdout
    outputs = multi_container.outputs(PATTERN)

    # THEN every container was shown
    for hostname in REQUESTS:
        assert hostname in said

    # AND CloudWatch knows each by its name
    def counted() -> set[str]:
        listed = multi_container.boto("cloudwatch").list_metrics(
            Namespace="AWS/SageMaker",
            MetricName="ContainerLatency",
            Dimensions=[{"Name": "EndpointName", "Value": outputs["EndpointName"]}],
        )["Metrics"]
        return {
            dimension["Value"]
            for metric in listed
            for dimension in metric["Dimensions"]
            if dimension["Name"] == "ContainerName"
        }

    assert wait_for("metrics of all containers", lambda: counted() == set(REQUESTS))


def test_a_killed_container_comes_back_and_the_endpoint_stays_in_service(multi_container: Laptop) -> None:
    # GIVEN the deployed pattern with three processes of its own
    endpoint = multi_container.outputs(PATTERN)["EndpointName"]
    before = {server.pid for server in multi_container.model_servers(endpoint)}
    assert len(before) == len(REQUESTS)

    # WHEN one of them is killed
    victim = multi_container.model_servers(endpoint)[-1]
    victim.send_signal(signal.SIGKILL)

    # THEN another takes its place, and all three containers answer
    def replaced() -> bool:
        now = {server.pid for server in multi_container.model_servers(endpoint)}
        return victim.pid not in now and len(now) >= len(before)

    assert wait_for("the container again", replaced)

    def all_answer() -> bool:
        try:
            return all(ask(multi_container, name, body) for name, body in REQUESTS.items())
        except ClientError:
            return False

    assert wait_for("answers of all three", all_answer)


def test_destroy_takes_all_three_away(laptop: Laptop) -> None:
    # GIVEN the deployed pattern
    if not exists(laptop, PATTERN):
        laptop.sandbox("deploy", PATTERN)
    endpoint = laptop.outputs(PATTERN)["EndpointName"]

    # WHEN it is destroyed
    laptop.sandbox("destroy", PATTERN)

    # THEN its endpoint is gone
    assert not exists(laptop, PATTERN)
    endpoints = laptop.boto("sagemaker").list_endpoints()["Endpoints"]
    assert endpoint not in {one["EndpointName"] for one in endpoints}
