"""Updates of a stack that SageMaker or the stack itself rolls back, with alarms on the new fleet only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from sandbox import supervisor
from sandbox.home import ACCOUNT, Home
from sandbox.store import Params
from tests.sandbox_process.live import FAILS, IMAGE, ROLE, SAYS, Live, Load, at_once

STACK, ENDPOINT, ALARM = "Guarded", "guarded", "guarded-errors"


@pytest.fixture
def stack(live: Live) -> Iterator[GuardedStack]:
    """A stack that serves "v1"; deleted afterwards."""
    stack = GuardedStack(live)
    assert stack.deploy(SAYS.format(answer="v1"))["StackStatus"] == "CREATE_COMPLETE"
    yield stack
    stack.delete()


class GuardedStack:
    """A model, its configuration, an alarm on that configuration's fleet, the endpoint, and a rule."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._cloudformation = live.aws("cloudformation")
        self._number = 0

    def deploy(self, code: str, *, more: dict[str, Any] | None = None) -> Params:
        """Create or update it with a version of the model; the stack at rest."""
        self._number += 1
        uri = self._live.artifact(f"guarded-{self._number}", code)
        template = {
            "Resources": _resources(uri) | (more or {}),
            "Outputs": {"Config": {"Value": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}}},
        }
        change = (
            self._cloudformation.create_stack if self.seen() is None else self._cloudformation.update_stack
        )
        change(StackName=STACK, TemplateBody=json.dumps(template))
        done: Params = self._live.until("the stack at rest", self._at_rest)
        return done

    def delete(self) -> None:
        self._cloudformation.delete_stack(StackName=STACK)
        self._live.until("the end of the stack", lambda: self.seen() is None)

    def seen(self) -> Params | None:
        try:
            found: Params = self._cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        except ClientError:
            return None
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def _at_rest(self) -> Params | None:
        found = self.seen()
        assert found is not None
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    @property
    def config(self) -> str:
        """The configuration that the stack says it serves."""
        found = self.seen()
        assert found is not None
        return str(found["Outputs"][0]["OutputValue"])

    def reasons(self, logical_id: str) -> str:
        """Why a resource failed, whenever it did."""
        events = self._cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        return "\n".join(
            event.get("ResourceStatusReason", "")
            for event in events
            if event["LogicalResourceId"] == logical_id and event["ResourceStatus"].endswith("FAILED")
        )


def _resources(model_uri: str) -> dict[str, Any]:
    config = {"Fn::GetAtt": ["Config", "EndpointConfigName"]}
    watched = {"EndpointName": ENDPOINT, "VariantName": "main", "EndpointConfigName": config}
    return {
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": model_uri},
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
                        "InitialInstanceCount": 1,
                        "InitialVariantWeight": 1,
                    }
                ]
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": ALARM,
                "Namespace": "AWS/SageMaker",
                "MetricName": "Invocation5XXErrors",
                "Dimensions": [{"Name": name, "Value": value} for name, value in watched.items()],
                "Statistic": "Average",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 0.1,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "TreatMissingData": "notBreaching",
            },
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "DependsOn": "Alarm",
            "Properties": {
                "EndpointName": ENDPOINT,
                "EndpointConfigName": config,
                "DeploymentConfig": at_once(ALARM, wait=240),
            },
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "guarded-trouble"}},
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {
                "Subscription": [{"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]}}]
            },
        },
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {
                    "source": ["aws.sagemaker"],
                    "detail-type": ["SageMaker Endpoint State Change"],
                    "detail": {"EndpointName": [ENDPOINT], "EndpointStatus": ["FAILED", "ROLLING_BACK"]},
                },
                "Targets": [{"Id": "topic", "Arn": {"Ref": "Topic"}}],
            },
        },
    }


def test_a_version_that_its_alarm_rolls_back_fails_the_stack_and_the_next_good_one_goes_through(
    live: Live, stack: GuardedStack
) -> None:
    # GIVEN a stack that serves, under load
    before = stack.config
    with Load(live, ENDPOINT, rate=20) as load:
        # WHEN a version is deployed that raises on every call
        failed = stack.deploy(FAILS)

        # THEN the update fails with the alarm's name, and the stack is as it was
        assert failed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert f"rolled back, it serves {before} as before" in stack.reasons("Endpoint")
        assert f"CloudWatch alarms are in ALARM state: {ALARM}." in stack.reasons("Endpoint")
        assert stack.config == before
        described = live.settled(ENDPOINT)
        assert described["EndpointConfigName"] == before
        alarm = live.cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"][0]
        assert {"Name": "EndpointConfigName", "Value": before} in alarm["Dimensions"]

        # AND whoever listens was told, by a rule and a topic of the stack's own
        sqs = live.aws("sqs")
        url = sqs.get_queue_url(QueueName="guarded-trouble")["QueueUrl"]
        [message] = live.until("the message", lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
        event = json.loads(json.loads(message["Body"])["Message"])
        assert event["detail"]["EndpointStatus"] == "ROLLING_BACK"

        # AND WHEN a good version follows at once
        answered = len(load.answers)
        assert {answer.text for answer in load.answers[answered - 5 :]} == {"v1"}
        done = stack.deploy(SAYS.format(answer="v3"))
        answered = len(load.answers)
        live.until("load after the update", lambda: len(load.answers) > answered + 20)

    # THEN it goes through
    assert done["StackStatus"] == "UPDATE_COMPLETE"
    assert live.settled(ENDPOINT)["EndpointConfigName"] == stack.config != before
    assert {answer.text for answer in load.answers[answered:]} == {"v3"}


def test_a_stack_that_fails_elsewhere_brings_the_endpoint_back_without_a_failed_request(
    live: Live, stack: GuardedStack
) -> None:
    # GIVEN a stack that serves, under load
    before = stack.config
    with Load(live, ENDPOINT, rate=20) as load:
        live.until("some load", lambda: len(load.answers) > 10)

        # WHEN a good version is deployed, and after it a resource that is refused
        refused = {
            "Pipeline": {
                "Type": "AWS::SageMaker::Pipeline",
                "DependsOn": "Endpoint",
                "Properties": {
                    "PipelineName": "refused",
                    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
                    "PipelineDefinition": {"PipelineDefinitionBody": "not a definition"},
                },
            }
        }
        rolled_back = stack.deploy(SAYS.format(answer="v2"), more=refused)
        answered = len(load.answers)
        live.until("load after the rollback", lambda: len(load.answers) > answered + 20)

    # THEN the endpoint was deployed forth and back, guarded both times, and is as it was
    assert rolled_back["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    described = live.settled(ENDPOINT)
    assert (described["EndpointConfigName"], described.get("FailureReason")) == (before, None)
    assert load.failures == []
    texts = [answer.text for answer in load.answers]
    assert (texts[0], "v2" in texts, texts[-1]) == ("v1", True, "v1")
    alarm = live.cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"][0]
    assert {"Name": "EndpointConfigName", "Value": before} in alarm["Dimensions"]


def test_a_sandbox_that_goes_down_in_mid_deployment_leaves_nothing_running(
    home: Home, free_port: Any
) -> None:
    # GIVEN a sandbox in which an update bakes for twenty minutes
    state, _ = supervisor.up(home, supervisor.Options(port=free_port()), lambda text: None)
    live = Live(state)
    try:
        live.config("a", SAYS.format(answer="a"), count=1)
        live.config("b", SAYS.format(answer="b"), count=1)
        live.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="a")
        live.settled("e")
        alarm = live.alarm("errors", "e", "b")
        live.sagemaker.update_endpoint(
            EndpointName="e", EndpointConfigName="b", DeploymentConfig=at_once(alarm, wait=1200)
        )
        live.until("the bake", lambda: "Baking" in str(live.described("e")))
        processes = psutil.Process(state.pid).children(recursive=True)
        assert len([each for each in processes if each.is_running()]) >= 2
    finally:
        live.close()

    # WHEN the sandbox goes down
    supervisor.down(home, lambda text: None)

    # THEN both fleets are gone, and the log shows no fault: the update was neither rolled back nor failed
    assert not psutil.wait_procs(processes, timeout=10)[1]
    log = home.log_file.read_text()
    assert "Traceback" not in log
    assert "RollingBack" not in log
