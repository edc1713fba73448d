"""The stack of batch: its settings, what these refuse, and what clients read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import load
from tests.snapshots.synthesis import ENVIRONMENTS, synthesise

CONFIG = Path(__file__).resolve().parents[2] / "config"
STACK = "BatchInference"
OUTPUTS = {
    *("StateMachineArn", "InputUri", "OutputUri", "QuarantineUri", "ClaimsTableName", "SinkKind"),
    *("TableName", "IndexName", "IndexShards", "IdColumn", "TextColumn", "ModelName", "ModelArtifactUri"),
    *("FailureTopicArn", "AlarmTopicArn", "DashboardName"),
}


def settings(environment: str = "dev", **changes: str) -> Any:
    """The committed section with settings given on the command line."""
    given = {f"patterns.batch.{key.replace('__', '.')}": value for key, value in changes.items()}
    return load(environment, CONFIG, given).patterns.batch  # type: ignore[attr-defined]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_outputs_are_those_that_clients_read(environment: str) -> None:
    outputs = synthesise(environment).template(STACK)["Outputs"]
    assert set(outputs) == OUTPUTS
    assert f"stateMachine:batch-{environment}" in json.dumps(outputs["StateMachineArn"]["Value"])
    assert outputs["IdColumn"]["Value"] == "id"
    assert outputs["TextColumn"]["Value"] == "document"
    assert outputs["SinkKind"]["Value"] == "dynamodb"


def test_dev_waits_for_objects_and_prod_starts_each_night_too() -> None:
    for environment, schedules in (("dev", 0), ("prod", 1)):
        assembly = synthesise(environment)
        assert len(assembly.resources(STACK, "AWS::Scheduler::Schedule")) == schedules
        assert len(assembly.resources(STACK, "AWS::Events::Rule")) == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_job_in_the_state_machine_is_the_one_of_the_settings(environment: str) -> None:
    (machine,) = synthesise(environment).resources(STACK, "AWS::StepFunctions::StateMachine").values()
    parts = machine["Properties"]["DefinitionString"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else "token" for part in parts)
    request = json.loads(text)["States"]["Transform"]["Parameters"]
    wanted = settings(environment).transform
    assert request["TransformResources"]["InstanceType"] == wanted.instance_type
    assert request["TransformResources"]["InstanceCount"] == wanted.instance_count
    assert request["MaxPayloadInMB"] == wanted.max_payload_mb
    assert request["DataProcessing"]["OutputFilter"] == "$['id','SageMakerOutput']"


@pytest.mark.parametrize(
    ("changes", "schedule"),
    [
        ({"every": "day", "at": "02:30"}, "30 2 * * ? *"),
        ({"every": "week", "day": "MON", "at": "02:30"}, "30 2 ? * MON *"),
        ({"every": "cron", "expression": "0/10 * * * ? *"}, "0/10 * * * ? *"),
    ],
)
def test_a_schedule_is_daily_weekly_or_cron(changes: dict[str, str], schedule: str) -> None:
    made = settings(trigger__schedule=json.dumps({**changes, "time_zone": "Asia/Seoul"}))
    assert made.trigger.schedule.build().expression == schedule


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"transform__instance_type": "ml.c7g.large"},
            "patterns.batch.transform.instance_type = 'ml.c7g.large'",
        ),
        ({"transform__max_concurrent": "200"}, "patterns.batch.transform.max_concurrent"),
        ({"transform__request_retries": "4"}, "patterns.batch.transform.request_retries = 4"),
        ({"transform__request_timeout_seconds": "0"}, "patterns.batch.transform.request_timeout_seconds"),
        ({"transform__output_filter": "id"}, "patterns.batch.transform.output_filter = 'id': starts with $"),
        ({"transform__split": "Line"}, "patterns.batch.transform.split"),
        ({"workflow__poll_seconds": "1"}, "patterns.batch.workflow.poll_seconds = '1 s': looking at a job"),
        ({"workflow__range_mb": "0"}, "patterns.batch.workflow.range_mb = 0"),
        ({"workflow__id_column": "document"}, "patterns.batch.workflow.id_column = 'document'"),
        (
            {"trigger__schedule": "{every: day}"},
            "patterns.batch.trigger.schedule.at = None: every: day takes at, and none of the others",
        ),
        (
            {"trigger__schedule": "{every: cron, expression: '0 3 * * ? *', at: '02:30'}"},
            "patterns.batch.trigger.schedule.at = '02:30'",
        ),
        (
            {"trigger__schedule": "{every: day, at: '02:30', time_zone: Asia/Soul}"},
            "patterns.batch.trigger.schedule.time_zone = 'Asia/Soul'",
        ),
        ({"trigger__object": "{prefix: ready}"}, "patterns.batch.trigger.object.prefix = 'ready'"),
        ({"sink": "redis"}, "patterns.batch.sink"),
        ({"dynamodb__ttl_days": "0"}, "patterns.batch.dynamodb.ttl_days = 0"),
        ({"postgresql__min_capacity": "0.3"}, "patterns.batch.postgresql.min_capacity = 0.3"),
        ({"alarms__silent_hours": "200"}, "patterns.batch.alarms.silent_hours = 200"),
        ({"model__framework_version": "'9.9'"}, "patterns.batch.model.framework_version = '9.9'"),
    ],
)
def test_what_is_wrong_is_told_under_its_key(changes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        settings(**changes)
    assert message in str(refused.value)
