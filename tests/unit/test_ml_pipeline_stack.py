"""The stack of the ML pipeline: what starts it, what it tells, its settings, and what these refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import load
from tests.snapshots.synthesis import ENVIRONMENTS, Assembly, synthesise

CONFIG = Path(__file__).resolve().parents[2] / "config"
STACK = "MlPipeline"
OUTPUTS = {
    *("PipelineName", "PipelineArn", "ModelPackageGroupName", "EndpointName", "VariantNames"),
    *("DeployFunctionName", "StartFunctionName", "RawDataUri", "RollbackAlarmNames"),
    *("AlarmTopicArn", "DashboardName"),
}


def settings(environment: str = "dev", **changes: str) -> Any:
    """The committed section with settings given on the command line."""
    given = {f"patterns.ml-pipeline.{key.replace('__', '.')}": value for key, value in changes.items()}
    return load(environment, CONFIG, given).patterns.ml_pipeline  # type: ignore[attr-defined]


def detail_types(assembly: Assembly) -> dict[str, list[dict[str, Any]]]:
    """Patterns of the stack's rules by the kind of event."""
    found: dict[str, list[dict[str, Any]]] = {}
    for rule in assembly.resources(STACK, "AWS::Events::Rule").values():
        pattern = rule["Properties"]["EventPattern"]
        found.setdefault(pattern["detail-type"][0], []).append(pattern["detail"])
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_outputs_are_those_that_clients_read(environment: str) -> None:
    outputs = synthesise(environment).template(STACK)["Outputs"]
    assert set(outputs) == OUTPUTS
    assert outputs["PipelineName"]["Value"] == f"ml-pipeline-{environment}"
    assert outputs["ModelPackageGroupName"]["Value"] == f"ml-pipeline-{environment}-models"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_events_start_deploy_measure_and_tell(environment: str) -> None:
    rules = detail_types(synthesise(environment))
    # new data start an execution
    (created,) = rules["Object Created"]
    assert created["object"]["key"] == [{"wildcard": "raw/*/_SUCCESS"}]
    # a decision about a version deploys, and one that is to be made is told
    packages = rules["SageMaker Model Package State Change"]
    assert sorted("ModelApprovalStatus" in detail for detail in packages) == [False, True]
    # an evaluation is measured
    (step,) = rules["SageMaker Model Building Pipeline Execution Step Status Change"]
    assert (step["stepName"], step["currentStepStatus"]) == (["Evaluate"], ["Succeeded"])
    # a failure is told
    (execution,) = rules["SageMaker Model Building Pipeline Execution Status Change"]
    assert execution["currentPipelineExecutionStatus"] == ["Failed"]


def test_dev_waits_for_data_and_prod_starts_each_week_too() -> None:
    for environment, schedules in (("dev", 0), ("prod", 1)):
        made = synthesise(environment).resources(STACK, "AWS::Scheduler::Schedule")
        assert len(made) == schedules


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_duty_has_a_role_of_its_own(environment: str) -> None:
    # GIVEN the roles by who may take them on
    takers = [
        statement["Principal"]["Service"]
        for name, role in synthesise(environment).resources(STACK, "AWS::IAM::Role").items()
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if not name.startswith("CustomS3AutoDelete")  # aws-cdk-lib's own
    ]
    # THEN executions, processing, training and serving are four; so are the functions
    assert takers.count("sagemaker.amazonaws.com") == 4
    assert takers.count("lambda.amazonaws.com") == 4


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_live_model_depends_on_does_not_expire(environment: str) -> None:
    buckets = synthesise(environment).resources(STACK, "AWS::S3::Bucket")
    (data,) = (one for name, one in buckets.items() if "AccessLogs" not in name)
    (rule,) = data["Properties"]["LifecycleConfiguration"]["Rules"]
    assert "ExpirationInDays" not in rule
    assert rule["AbortIncompleteMultipartUpload"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_failures_lost_events_and_a_drop_of_accuracy_raise_alarms(environment: str) -> None:
    alarms = synthesise(environment).resources(STACK, "AWS::CloudWatch::Alarm").values()
    described = " ".join(alarm["Properties"]["AlarmDescription"] for alarm in alarms)
    assert "failed executions" in described
    assert "drop of accuracy" in described
    for function in ("deploy", "start", "accuracy"):
        assert f"failed calls of the {function} function" in described
        assert f"lost events of the {function} function" in described
    (drop,) = (one for one in alarms if one["Properties"].get("MetricName") == "AccuracyDrop")
    wanted = settings(environment).pipeline_alarms.accuracy_drop
    assert drop["Properties"]["Threshold"] == wanted
    assert drop["Properties"]["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jobs__framework_version": "'9.9'"}, "patterns.ml-pipeline.jobs.framework_version = '9.9'"),
        ({"jobs__framework": "keras"}, "patterns.ml-pipeline.jobs.framework"),
        ({"jobs__image": "mine"}, "patterns.ml-pipeline.jobs.image"),
        ({"endpoint__instance_count": "0"}, "patterns.ml-pipeline.endpoint.instance_count"),
        (
            {"deployment__strategy": "canary", "deployment__step_instances": "1"},
            "patterns.ml-pipeline.deployment",
        ),
        (
            {
                "scaling": "{min_instances: 1, max_instances: 2, invocations_per_instance_per_minute: 100}",
            },
            "patterns.ml-pipeline.scaling",
        ),
        ({"starts__schedule": "{every: day}"}, "patterns.ml-pipeline.starts.schedule.at = None"),
        ({"starts__on_new_data": "sometimes"}, "patterns.ml-pipeline.starts.on_new_data"),
        ({"pipeline_alarms__accuracy_drop": "1.5"}, "patterns.ml-pipeline.pipeline_alarms.accuracy_drop"),
        ({"pipeline_alarms__silent_hours": "200"}, "patterns.ml-pipeline.pipeline_alarms.silent_hours = 200"),
    ],
)
def test_what_is_wrong_is_told_under_its_key(changes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        settings(**changes)
    assert message in str(refused.value)
