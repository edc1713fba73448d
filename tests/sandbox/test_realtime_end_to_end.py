"""The real-time pattern by the real CDK CLI: deploy, invoke, update, roll back, scale, break, destroy."""

from __future__ import annotations

import json
import signal
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.sandbox.laptop import (
    BROKEN_ON_LOAD,
    REVIEWS,
    SECOND_VERSION,
    STACK,
    Laptop,
    Traffic,
    exists,
    invoke,
    wait_for,
)

pytestmark = pytest.mark.sandbox


def test_the_deployed_endpoint_answers_the_two_reviews(realtime: Laptop) -> None:
    # GIVEN the deployed pattern
    endpoint = realtime.outputs()["EndpointName"]

    # WHEN the workshop's two reviews are sent through boto3
    answers = invoke(realtime.boto("sagemaker-runtime"), endpoint)

    # THEN the first is praise and the second is not
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
    assert all(0.5 <= answer["score"] <= 1 for answer in answers)


def test_the_demo_shows_it_and_says_what_to_try_next(realtime: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo speaks
    said = realtime.client("demo", "realtime").stdout

    # THEN both reviews, their labels and the next steps are there
    for review in REVIEWS:
        assert review[:12] in said  # the table breaks long lines
    assert "positive" in said
    assert "negative" in said
    assert "client load" in said


def test_the_answer_names_the_variant_and_errors_are_the_services_own(realtime: Laptop) -> None:
    # GIVEN the deployed pattern
    runtime, outputs = realtime.boto("sagemaker-runtime"), realtime.outputs()
    endpoint, variant = outputs["EndpointName"], outputs["VariantNames"]

    # WHEN a request is right, has a body that the model refuses, or names what does not exist
    right = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/plain", Body=REVIEWS[0].encode())
    with pytest.raises(runtime.exceptions.ModelError) as refused:
        runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=b"{")
    with pytest.raises(ClientError) as no_variant:
        runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="text/plain", Body=b"x", TargetVariant="nobody"
        )
    with pytest.raises(ClientError) as no_endpoint:
        runtime.invoke_endpoint(EndpointName="nobody", ContentType="text/plain", Body=b"x")

    # THEN each is answered as SageMaker would
    assert right["InvokedProductionVariant"] == variant
    assert refused.value.response["OriginalStatusCode"] == 400
    assert no_variant.value.response["Error"]["Code"] == "ValidationError"
    assert no_endpoint.value.response["Error"]["Code"] == "ValidationError"


def test_metrics_logs_and_captured_data_appear(realtime: Laptop) -> None:
    # GIVEN some invocations of the deployed pattern
    outputs = realtime.outputs()
    endpoint, variant = outputs["EndpointName"], outputs["VariantNames"]
    runtime = realtime.boto("sagemaker-runtime")
    for _ in range(5):
        invoke(runtime, endpoint)

    # WHEN CloudWatch, the logs and the capture bucket are read
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]

    def latencies() -> float:
        found = realtime.boto("cloudwatch").get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "latency",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/SageMaker",
                            "MetricName": "ModelLatency",
                            "Dimensions": dimensions,
                        },
                        "Period": 60,
                        "Stat": "p99",
                    },
                }
            ],
            StartTime=0,
            EndTime=4102444800,
        )
        return max(found["MetricDataResults"][0]["Values"], default=0)

    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    logs = realtime.boto("logs")
    streams = wait_for(
        "a log stream", lambda: logs.describe_log_streams(logGroupName=group).get("logStreams")
    )
    bucket, _, prefix = outputs["DataCaptureUri"].removeprefix("s3://").partition("/")
    s3 = realtime.boto("s3")
    captured = wait_for(
        "a captured file", lambda: s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}").get("Contents")
    )
    record = json.loads(
        s3.get_object(Bucket=bucket, Key=captured[0]["Key"])["Body"].read().decode().splitlines()[0]
    )

    # THEN latency is in microseconds, the container's stream is named after the variant, requests were kept
    assert wait_for("latency in CloudWatch", latencies) > 50
    assert streams[0]["logStreamName"].startswith(f"{variant}/")
    assert "inputs" in record["captureData"]["endpointInput"]["data"]
    assert record["eventVersion"] == "0"


def test_another_model_version_replaces_the_first_without_one_failed_request(changing: Laptop) -> None:
    # GIVEN load on the deployed pattern
    endpoint = changing.outputs()["EndpointName"]
    with Traffic(changing.boto("sagemaker-runtime"), endpoint).running() as traffic:
        # WHEN another version of the model is deployed
        changing.change_model(SECOND_VERSION)
        changing.sandbox("deploy", "realtime")
        wait_for("answers of the second version", lambda: traffic.labels["POSITIVE"] > 20)

    # THEN both versions answered, and nothing failed
    assert traffic.labels["positive"] > 0
    assert not traffic.failures
    # AND the endpoint serves the configuration that the stack expects
    assert changing.client("status", "realtime").returncode == 0


def test_a_model_that_cannot_load_is_rolled_back_while_the_old_one_serves(changing: Laptop) -> None:
    # GIVEN load on the deployed pattern
    outputs = changing.outputs()
    endpoint = outputs["EndpointName"]
    with Traffic(changing.boto("sagemaker-runtime"), endpoint).running() as traffic:
        # WHEN a version is deployed whose model raises on load
        changing.change_model(BROKEN_ON_LOAD)
        deployed = changing.sandbox("deploy", "realtime", check=False)
        answered = traffic.total
        wait_for("answers after the rollback", lambda: traffic.total > answered + 20)

    # THEN the deployment fails and says why, the stack is back, and no caller noticed
    assert deployed.returncode != 0
    assert "corrupt" in deployed.stdout + deployed.stderr
    stack = changing.boto("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert set(traffic.labels) == {"positive"}
    assert not traffic.failures
    sagemaker = changing.boto("sagemaker")

    def in_service() -> Any:  # the load may just have made it scale
        seen = sagemaker.describe_endpoint(EndpointName=endpoint)
        return seen if seen["EndpointStatus"] == "InService" else None

    described = wait_for("the endpoint in service", in_service)
    assert described["EndpointConfigName"] == outputs["EndpointConfigName"]


def test_a_killed_model_server_is_replaced_and_only_its_requests_in_flight_fail(realtime: Laptop) -> None:
    # GIVEN load on the deployed pattern by four callers
    endpoint = realtime.outputs()["EndpointName"]
    with Traffic(realtime.boto("sagemaker-runtime"), endpoint, threads=4).running() as traffic:
        wait_for("some load", lambda: traffic.total > 50)

        # WHEN a model server is killed
        victim = realtime.model_servers(endpoint)[0]
        victim.send_signal(signal.SIGKILL)
        before = traffic.total
        wait_for("answers after the kill", lambda: traffic.total > before + 100)

    # THEN at most the requests that it was working on failed, and another process answers
    assert len(traffic.failures) <= 4, traffic.failures
    servers = realtime.model_servers(endpoint)
    assert servers
    assert victim.pid not in {server.pid for server in servers}


def test_load_adds_an_instance_and_quiet_takes_it_away(changing: Laptop) -> None:
    # GIVEN the pattern with one instance that is meant for a load that a slow machine can make: a minute is a
    # second here, so this is 60 requests a second
    def lower_target(settings: dict[str, Any]) -> None:
        settings["patterns"]["realtime"]["scaling"]["invocations_per_instance_per_minute"] = 60

    changing.configure(lower_target)
    changing.sandbox("deploy", "realtime")
    endpoint = changing.outputs()["EndpointName"]
    sagemaker = changing.boto("sagemaker")

    def instances() -> int:
        return int(
            sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0][
                "CurrentInstanceCount"
            ]
        )

    wait_for("one instance", lambda: instances() == 1, seconds=120)

    # WHEN there is more load than one instance is meant for, and then none
    with Traffic(changing.boto("sagemaker-runtime"), endpoint).running() as traffic:
        wait_for("a second instance", lambda: instances() == 2, seconds=120)
    wait_for("one instance again", lambda: instances() == 1, seconds=120)

    # THEN it went up and down, and nobody's request failed
    assert not traffic.failures


def test_destroy_leaves_no_process_and_no_bucket(laptop: Laptop) -> None:
    # GIVEN the deployed pattern, with objects in its capture bucket
    if not exists(laptop):
        laptop.sandbox("deploy", "realtime")
    endpoint = laptop.outputs()["EndpointName"]
    bucket = laptop.outputs()["DataCaptureUri"].removeprefix("s3://").partition("/")[0]
    invoke(laptop.boto("sagemaker-runtime"), endpoint)
    servers = laptop.model_servers(endpoint)
    assert servers

    # WHEN it is destroyed
    laptop.sandbox("destroy", "realtime")

    # THEN its processes, its endpoint and its bucket are gone, whatever else is deployed
    assert not psutil.wait_procs(servers, timeout=10)[1]
    assert not laptop.model_servers(endpoint)
    endpoints = laptop.boto("sagemaker").list_endpoints()["Endpoints"]
    assert endpoint not in {one["EndpointName"] for one in endpoints}
    assert bucket not in {one["Name"] for one in laptop.boto("s3").list_buckets()["Buckets"]}
    assert not exists(laptop)
