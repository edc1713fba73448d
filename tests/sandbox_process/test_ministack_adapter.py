"""ministack with SageMaker in it: the check of its names, and what clients of the gateway see."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import ministack_adapter
from sandbox.aws import LocalAws
from sandbox.home import ACCOUNT, REGION, State
from sandbox.ministack_adapter import Hook, IncompatibleMinistack, cloudwatch
from sandbox.store import Scope

SCOPE = Scope(ACCOUNT, REGION)
WaitFor = Callable[..., Any]
IMAGE = "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-scikit-learn:1.4-2-py312-cpu-py3"


@pytest.fixture(scope="session")
def aws(sandbox: State) -> Callable[[str], Any]:
    """boto3 clients of the gateway."""
    local = LocalAws(sandbox.gateway_url)
    return lambda service: local.client(service, SCOPE)


@pytest.fixture
def deploy(aws: Callable[[str], Any], wait_for: WaitFor) -> Callable[..., dict[str, Any]]:
    """Create or update a stack and wait until nothing happens to it any more."""
    cloudformation = aws("cloudformation")

    def stack(name: str) -> dict[str, Any]:
        return dict(cloudformation.describe_stacks(StackName=name)["Stacks"][0])

    def apply(name: str, resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> dict[str, Any]:
        template: dict[str, Any] = {"Resources": resources}
        if outputs:
            template["Outputs"] = {key: {"Value": value} for key, value in outputs.items()}
        try:
            change = cloudformation.update_stack if stack(name) else None
        except ClientError:
            change = cloudformation.create_stack
        assert change is not None
        change(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
        wait_for(name, lambda: not stack(name)["StackStatus"].endswith("IN_PROGRESS"))
        return stack(name)

    return apply


def test_the_installed_ministack_is_the_one_that_is_extended() -> None:
    # GIVEN the installed ministack
    # WHEN its names are checked
    # THEN they are what the adapter takes them for
    ministack_adapter.check()


def test_another_ministack_is_refused_with_everything_that_differs() -> None:
    # GIVEN a ministack in which names are missing or have changed
    hooks = (
        Hook("app", "SERVICE_HANDLERS", dict),
        Hook("app", "SERVICE_HANDLERS", list),
        Hook("app", "no_such_name", dict),
        Hook("no_such_module", "name", dict),
        Hook("core.responses", "request_scope", ("tenant", "region")),
        Hook("core.router", "SERVICE_PATTERNS", ("argument",)),
    )

    # WHEN they are checked
    with pytest.raises(IncompatibleMinistack) as refused:
        ministack_adapter.check(hooks)

    # THEN one message has the versions, every finding and the remedy
    message = str(refused.value)
    assert message.count("\n  ") == 5
    assert "ministack.app.SERVICE_HANDLERS is a dict" in message
    assert "no_such_name" in message
    assert "No module named 'ministack.no_such_module'" in message
    assert "takes (account_id, region), not (tenant, region)" in message
    assert "SERVICE_PATTERNS is not a function" in message
    assert f"pip install ministack=={ministack_adapter.EXPECTED_VERSION}" in message


def test_sagemaker_is_found_by_every_mark_of_a_request(sandbox: State) -> None:
    # GIVEN requests that are marked by target, by credential scope, or by host
    marks = (
        {"X-Amz-Target": "SageMaker.ListModels"},
        {
            "X-Amz-Target": "SageMaker.ListModels",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/2026/{REGION}/sagemaker/aws4_request",
        },
        {"X-Amz-Target": "SageMaker.ListModels", "Host": f"api.sagemaker.{REGION}.amazonaws.com"},
        {"X-Amz-Target": "SageMaker.ListModels", "Host": "api.sagemaker.localhost"},
    )

    # WHEN they are sent
    for headers in marks:
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.gateway_port, timeout=30)
        connection.request("POST", "/", b"{}", {**headers, "Content-Type": "application/x-amz-json-1.1"})
        answer = connection.getresponse()

        # THEN SageMaker answers, in its own protocol
        assert answer.status == 200, (headers, answer.read())
        assert answer.headers["content-type"] == "application/x-amz-json-1.1"
        assert "Models" in json.loads(answer.read())
        connection.close()


def test_accounts_and_regions_are_apart(sandbox: State) -> None:
    # GIVEN a model package group in one account and Region
    local = LocalAws(sandbox.gateway_url)
    here, there, other = SCOPE, Scope(ACCOUNT, "us-east-1"), Scope("111111111111", REGION)
    local.client("sagemaker", here).create_model_package_group(ModelPackageGroupName="apart")

    # WHEN groups are listed
    names = [
        [
            group["ModelPackageGroupName"]
            for group in local.client("sagemaker", scope).list_model_package_groups(NameContains="apart")[
                "ModelPackageGroupSummaryList"
            ]
        ]
        for scope in (here, there, other)
    ]

    # THEN it is in its own place only
    assert names == [["apart"], [], []]


def test_invocations_reach_the_runtime_through_the_gateway_and_uploads_reach_s3(
    aws: Callable[[str], Any],
) -> None:
    # GIVEN a bucket with the name of the runtime's path
    s3 = aws("s3")
    s3.create_bucket(Bucket="endpoints", CreateBucketConfiguration={"LocationConstraint": REGION})

    # WHEN an endpoint that is not there is invoked by a client that knows the gateway only
    with pytest.raises(ClientError) as refused:
        aws("sagemaker-runtime").invoke_endpoint(EndpointName="nobody", Body=b"x")
    upload = s3.create_multipart_upload(Bucket="endpoints", Key="nobody/invocations")

    # THEN the runtime has answered, and the upload was S3's
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert "nobody" in refused.value.response["Error"]["Message"]
    assert upload["UploadId"]


def test_step_functions_call_sagemaker(aws: Callable[[str], Any], wait_for: WaitFor) -> None:
    # GIVEN a state machine that makes a model package group through the SDK integration
    states = aws("stepfunctions")
    definition = {
        "StartAt": "Make",
        "States": {
            "Make": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:sagemaker:createModelPackageGroup",
                "Parameters": {"ModelPackageGroupName": "from-a-state-machine"},
                "End": True,
            }
        },
    }
    machine = states.create_state_machine(
        name="machine", definition=json.dumps(definition), roleArn=f"arn:aws:iam::{ACCOUNT}:role/r"
    )["stateMachineArn"]

    # WHEN it runs
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    described = wait_for(
        "its end",
        lambda: (found := states.describe_execution(executionArn=execution))["status"] != "RUNNING" and found,
    )

    # THEN the group is there
    assert described["status"] == "SUCCEEDED", described
    assert json.loads(described["output"])["ModelPackageGroupArn"].endswith("/from-a-state-machine")


def test_a_template_makes_updates_and_replaces_sagemaker_resources(
    aws: Callable[[str], Any], deploy: Callable[..., dict[str, Any]]
) -> None:
    # GIVEN a stack with a model, its configuration, a group and a pipeline, nothing of it named without need
    def resources(environment: str, definition: str) -> dict[str, Any]:
        return {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
                    "PrimaryContainer": {"Image": IMAGE, "Environment": {"MODE": environment}},
                },
            },
            "Config": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {
                    "ProductionVariants": [
                        {
                            "VariantName": "main",
                            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                            "InstanceType": "ml.m5.large",
                            "InitialInstanceCount": "1",
                            "InitialVariantWeight": 1,
                        }
                    ]
                },
            },
            "Pipeline": {
                "Type": "AWS::SageMaker::Pipeline",
                "Properties": {
                    "PipelineName": "of-a-stack",
                    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
                    "PipelineDefinition": {"PipelineDefinitionBody": definition},
                },
            },
        }

    outputs = {"Model": {"Ref": "Model"}, "Config": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}}
    definition = json.dumps({"Version": "2020-12-01", "Steps": []})
    first = deploy("Made", resources("a", definition), outputs)
    assert first["StackStatus"] == "CREATE_COMPLETE"

    # WHEN the model changes
    second = deploy("Made", resources("b", definition), outputs)

    # THEN model and configuration were replaced, the old ones are gone, the pipeline stayed
    assert second["StackStatus"] == "UPDATE_COMPLETE"
    before, after = (
        {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        for stack in (first, second)
    )
    assert before["Model"] != after["Model"]
    assert before["Config"] != after["Config"]
    sagemaker = aws("sagemaker")
    found = sagemaker.list_endpoint_configs(NameContains="made-config")["EndpointConfigs"]
    assert [config["EndpointConfigName"] for config in found] == [after["Config"]]
    tags = sagemaker.list_tags(ResourceArn=after["Model"])["Tags"]
    assert {"Key": "aws:cloudformation:stack-name", "Value": "Made"} in tags

    # AND WHEN the service refuses an update
    refused = deploy("Made", resources("c", "not a definition"), outputs)

    # THEN the stack is back where it was
    assert refused["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert sagemaker.describe_endpoint_config(EndpointConfigName=after["Config"])

    # AND WHEN the stack is deleted
    aws("cloudformation").delete_stack(StackName="Made")
    deadline = time.monotonic() + 30
    while sagemaker.list_models(NameContains="made-model")["Models"]:
        assert time.monotonic() < deadline


def test_stack_events_have_an_order(aws: Callable[[str], Any], deploy: Callable[..., Any]) -> None:
    # GIVEN a stack whose resources are made within a millisecond
    deploy("Ordered", {name: {"Type": "AWS::SNS::Topic"} for name in ("A", "B", "C")})

    # WHEN its events are read
    events = aws("cloudformation").describe_stack_events(StackName="Ordered")["StackEvents"]

    # THEN no two have the same time, and each resource is made before it is complete
    times = [event["Timestamp"] for event in events]
    assert times == sorted(set(times), reverse=True)
    of_a = [event["ResourceStatus"] for event in reversed(events) if event["LogicalResourceId"] == "A"]
    assert of_a == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]


def test_buckets_keep_the_tags_of_their_template(
    aws: Callable[[str], Any], deploy: Callable[..., Any]
) -> None:
    # GIVEN a bucket with the tag that CDK's auto-delete function asks for
    def bucket(value: str) -> dict[str, Any]:
        tags = [{"Key": "aws-cdk:auto-delete-objects", "Value": value}]
        return {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "tagged", "Tags": tags}}}

    def tags() -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in aws("s3").get_bucket_tagging(Bucket="tagged")["TagSet"]}

    # WHEN it is created and changed
    deploy("Tagged", bucket("true"))
    created = tags()
    deploy("Tagged", bucket("false"))

    # THEN the tags follow
    assert created["aws-cdk:auto-delete-objects"] == "true"
    assert tags()["aws-cdk:auto-delete-objects"] == "false"


def _ratio(threshold: str = "0.5") -> dict[str, Any]:
    """Properties of an alarm on errors divided by invocations, as CDK writes it."""
    dimensions = [{"Name": "EndpointName", "Value": "metered"}, {"Name": "VariantName", "Value": "main"}]
    queries: list[dict[str, Any]] = [
        {"Id": "rate", "Expression": "errors / all", "ReturnData": "true"},
        *(
            {
                "Id": id_,
                "ReturnData": False,
                "MetricStat": {
                    "Metric": {"Namespace": "Test", "MetricName": name, "Dimensions": dimensions},
                    "Period": "60",
                    "Stat": "Sum",
                },
            }
            for id_, name in (("errors", "Errors"), ("all", "All"))
        ),
    ]
    return {
        "Metrics": queries,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "TreatMissingData": "notBreaching",
    }


def test_metric_math_alarms_are_kept_and_fire_on_their_own_dimensions_only(
    aws: Callable[[str], Any], deploy: Callable[..., Any], wait_for: WaitFor
) -> None:
    # GIVEN alarms on an error rate, one from a template and one from the API, whose action is a queue's topic
    cloudwatch, sns, sqs = aws("cloudwatch"), aws("sns"), aws("sqs")
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    properties = _ratio() | {"AlarmName": "of-a-template", "AlarmActions": [topic]}
    stack = deploy("Alarmed", {"Rate": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}})
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    typed = [
        {**query, **({"ReturnData": True} if "Expression" in query else {})} for query in _ratio()["Metrics"]
    ]
    for query in typed:
        if "MetricStat" in query:
            query["MetricStat"]["Period"] = 60
    cloudwatch.put_metric_alarm(
        **(_ratio() | {"AlarmName": "of-the-api", "Metrics": typed, "Threshold": 0.5})
    )

    # WHEN errors come in for another endpoint, and then for this one
    def publish(endpoint: str) -> None:
        dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "main"}]
        data = [{"MetricName": n, "Dimensions": dimensions, "Value": 1.0} for n in ("Errors", "All")]
        cloudwatch.put_metric_data(Namespace="Test", MetricData=data)

    def states() -> dict[str, str]:
        found = cloudwatch.describe_alarms(AlarmNames=["of-a-template", "of-the-api"])["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    publish("other")
    wait_for("an evaluation", lambda: set(states().values()) == {"OK"})

    def fired() -> bool:
        publish("metered")
        return set(states().values()) == {"ALARM"}

    wait_for("both alarms", fired)

    # THEN both know what they watch, history has the change, and the action was called
    for alarm in cloudwatch.describe_alarms(AlarmNames=["of-a-template", "of-the-api"])["MetricAlarms"]:
        assert [query["Id"] for query in alarm["Metrics"]] == ["rate", "errors", "all"]
        assert "MetricName" not in alarm
        assert re.match("Threshold Crossed: ", alarm["StateReason"])
    message = wait_for(
        "the message", lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
    )[0]
    assert json.loads(json.loads(message["Body"])["Message"])["AlarmName"] == "of-a-template"


class Metrics(dict[tuple[str, str, str], list[dict[str, float]]]):
    """ministack's store of points, as far as eviction sees it."""

    def to_dict(self) -> dict[tuple[str, str, str], list[dict[str, float]]]:
        return dict(self)

    def set_scoped(self, account: str, region: str, key: str, value: list[dict[str, float]]) -> None:
        self[account, region, key] = value

    def pop_scoped(self, account: str, region: str, key: str) -> None:
        self.pop((account, region, key))


def test_old_points_go_and_a_series_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN series that are old, half old, young and too long
    monkeypatch.setattr(cloudwatch, "MAX_POINTS_PER_SERIES", 10)
    now = time.time()
    old, young = {"Timestamp": now - 15 * 24 * 3600}, {"Timestamp": now}
    kept = [young] * 3
    metrics = Metrics(
        {
            ("a", "r", "old"): [old],
            ("a", "r", "half"): [old, young],
            ("a", "r", "young"): kept,
            ("b", "r", "long"): [{"Timestamp": now + n} for n in range(11)],
        }
    )

    # WHEN they are looked at
    evict = cloudwatch._Eviction(metrics)
    evict()

    # THEN what is old is gone, the longest lost its older half, and what need not change is the same list
    assert ("a", "r", "old") not in metrics
    assert metrics["a", "r", "half"] == [young]
    assert metrics["a", "r", "young"] is kept
    assert [point["Timestamp"] for point in metrics["b", "r", "long"]] == [now + n for n in range(6, 11)]

    # AND it is not done again at the next request
    metrics["a", "r", "old"] = [old]
    evict()
    assert ("a", "r", "old") in metrics
