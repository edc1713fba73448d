"""The batch workflow: what is refused, what its states say, and what each part may do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from sagemaker_serving.dynamodb_sink import DynamoDbSink
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.instances import Architecture
from sagemaker_serving.model import Container, ContainerInvocation, ServingModel
from sagemaker_serving.storage import EncryptionKey, Retention
from sagemaker_serving.transform import BatchTransform, JoinSource
from sagemaker_serving.transform_states import Flow, FunctionArns, definition
from sagemaker_serving.transform_workflow import TransformWorkflow, WorkflowSettings

Synthesised = Callable[[], Template]
Make = Callable[..., TransformWorkflow]
RETENTION = Retention(keep_data=False)
DUTIES = ("claim", "prepare", "land", "reconcile", "release")
JOB = BatchTransform(instance_type="ml.m5.large", output_filter="$['id','SageMakerOutput']")


@pytest.fixture
def make(stack: cdk.Stack, key: EncryptionKey, model: ServingModel, tmp_path: Path) -> Make:
    """A workflow, with other arguments where a test is about them."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "claim.py").write_text("")

    def make_workflow(**arguments: Any) -> TransformWorkflow:
        given: dict[str, Any] = {
            "workflow_name": "batch-dev",
            "model": model,
            "transform": JOB,
            "sink": arguments.pop("sink", None)
            or DynamoDbSink(stack, "Sink", key=key, retention=arguments.get("retention", RETENTION)),
            "code": code,
            "key": key,
            "retention": RETENTION,
        }
        return TransformWorkflow(stack, "Workflow", **{**given, **arguments})

    return make_workflow


def states(**arguments: Any) -> dict[str, dict[str, Any]]:
    """The states of a workflow whose parts have plain names."""
    given: dict[str, Any] = {
        "workflow_name": "batch-dev",
        "functions": FunctionArns(**{duty: f"arn:{duty}" for duty in DUTIES}),
        "function_seconds": 900,
        "transform": JOB,
        "model_name": "model-1",
        "bucket_name": "results",
        "key_arn": "arn:key",
        "failure_topic_arn": "arn:topic",
        "poll_seconds": 30,
        "timeout_seconds": 43_200,
        "prepare_concurrency": 5,
        "land_concurrency": 7,
    }
    return dict(definition(Flow(**{**given, **arguments}))["States"])


def next_states(state: dict[str, Any]) -> Iterator[str]:
    """Where a state can lead to."""
    yield from (state[name] for name in ("Next", "Default") if name in state)
    for branch in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield branch["Next"]


def reachable(machine: dict[str, dict[str, Any]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += next_states(machine[name])
    return seen


def workers(machine: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The one state of each map's children."""
    return {
        name: next(iter(state["ItemProcessor"]["States"].values()))
        for name, state in machine.items()
        if state["Type"] == "Map"
    }


def statements(template: Template, policy: str) -> dict[str, dict[str, Any]]:
    (found,) = (
        item["Properties"]
        for name, item in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith(policy)
    )
    return {item["Sid"]: item for item in found["PolicyDocument"]["Statement"]}


def actions(statement: dict[str, Any]) -> set[str]:
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


def test_every_state_is_reachable_and_leads_to_one_that_exists() -> None:
    machine = states()
    assert reachable(machine, "Request") == set(machine)
    for name, state in machine.items():
        ends = state.get("End") or state["Type"] in {"Succeed", "Fail"}
        assert bool(ends) != bool("Next" in state or "Choices" in state), name
        assert ("Choices" in state) == ("Default" in state), name


def test_whatever_goes_wrong_ends_in_a_failed_execution_and_somebody_is_told() -> None:
    machine = states()
    for name, state in machine.items():
        if state["Type"] not in {"Task", "Map"}:
            continue
        # GIVEN any state that can fail THEN all that it does not handle by itself is caught
        catch_all = state["Catch"][-1]
        assert catch_all["ErrorEquals"] == ["States.ALL"], name
        # AND the way from there ends as failed, past the message, and never as succeeded
        path = reachable(machine, catch_all["Next"])
        assert "Failed" in path
        assert {"Notify", "Failed"} & {catch_all["Next"], *path}
        assert not path & {"NothingNew", "Reconcile", "Land"}
        if name != "Notify":
            assert "Notify" in path
        # AND what was claimed is given back, if anything can be
        if name not in {"Claim", "Release", "Notify"}:
            assert "Release" in path, name


def test_every_call_has_a_timeout_and_comes_back_with_full_jitter() -> None:
    machine = states()
    calls = [state for state in machine.values() if state["Type"] == "Task"] + list(workers(machine).values())
    assert len(calls) == 10
    for state in calls:
        assert state["TimeoutSeconds"] > 0
        assert state["Retry"]
        for retry in state["Retry"]:
            assert retry["JitterStrategy"] == "FULL"
            assert retry["BackoffRate"] == 2
            assert retry["IntervalSeconds"] < retry["MaxDelaySeconds"]
            assert 1 <= retry["MaxAttempts"] <= 10
            # States.ALL stands alone and last, as the language wants it
            assert retry["ErrorEquals"] == ["States.ALL"] or "States.ALL" not in retry["ErrorEquals"]
            assert "States.ALL" not in retry["ErrorEquals"] or retry is state["Retry"][-1]
    # AND calls of functions wait longer than the function may take
    assert all(state["TimeoutSeconds"] > 900 for state in workers(machine).values())


def test_ranges_are_mapped_from_s3_and_results_go_to_s3() -> None:
    # GIVEN the two maps
    machine = states()
    maps = {name: state for name, state in machine.items() if state["Type"] == "Map"}
    assert set(maps) == {"Prepare", "Land"}
    for name, concurrency in (("Prepare", 5), ("Land", 7)):
        state = maps[name]
        # THEN each item is an execution of its own, and neither list passes through a state
        assert state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
        assert state["MaxConcurrency"] == concurrency
        assert state["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
        assert state["ItemReader"]["Parameters"]["Bucket"] == "results"
        assert "ranges.json" in state["ItemReader"]["Parameters"]["Key.$"]
        assert state["ResultWriter"]["Parameters"]["Bucket"] == "results"
        assert state["ResultPath"] is None
        # AND one failed worker fails the map: nothing is tolerated
        assert not any(key.startswith("Tolerated") for key in state)


def test_the_job_is_filtered_and_joined_and_its_filters_are_no_paths() -> None:
    # GIVEN filters that look like paths into the state
    job = BatchTransform(
        instance_type="ml.m5.large", input_filter="$.job_name", output_filter="$['id','SageMakerOutput']"
    )
    request = states(transform=job)["Transform"]["Parameters"]
    # THEN they are written as they are, and the names are read from the state
    assert request["DataProcessing"] == {
        "JoinSource": "Input",
        "InputFilter": "$.job_name",
        "OutputFilter": "$['id','SageMakerOutput']",
    }
    assert request["TransformJobName.$"] == "$.job_name"
    assert request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri.$"] == "$.prepared_uri"
    assert request["TransformOutput"]["S3OutputPath.$"] == "$.output_uri"
    assert request["ModelName"] == "model-1"


def test_a_job_that_was_created_by_a_lost_attempt_is_waited_for() -> None:
    catches = states()["Transform"]["Catch"]
    assert catches[0]["ErrorEquals"] == ["SageMaker.ResourceInUseException"]
    assert catches[0]["Next"] == "TransformRuns"


def test_also_a_failed_job_is_landed_and_counted() -> None:
    # GIVEN the end of a transform job in each status
    machine = states()
    endings = [branch["Next"] for branch in machine["HowIsTransform"]["Choices"]]
    # THEN what there is of its answers is landed, and Reconcile hears how it ended
    for ending in (*endings, "TransformSkipped"):
        assert machine[ending]["Next"] == "Land"
        told = {name.removesuffix(".$") for name in machine[ending]["Parameters"]}
        assert told == {"status", "failure_reason", "ended_at", "landings"}
    assert machine["HowIsTransform"]["Default"] == "TransformRuns"
    payload = machine["Reconcile"]["Parameters"]["Payload"]
    assert set(payload["transform"]) == {"status.$", "failure_reason.$", "landings.$"}


def test_rows_that_two_workers_landed_at_once_are_landed_again_as_often_as_reconcile_asks() -> None:
    machine = states()
    (again,) = machine["Counted"]["Choices"]
    assert again == {
        "Variable": "$.reconciled.Payload.recount",
        "BooleanEquals": True,
        "Next": "LandAgain",
    }
    # Reconcile is told how often it was, so that this has an end
    assert machine["LandAgain"]["Parameters"]["landings.$"] == "States.MathAdd($.transform.landings, 1)"
    assert machine["LandAgain"]["Next"] == "Land"
    assert machine["Counted"]["Default"] == "Reconciled"


def test_nobody_waits_for_a_job_that_cannot_be_watched() -> None:
    assert states()["LookAtTransform"]["Catch"][-1]["Next"] == "StopTransform"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"range_mb": 0}, "range_mb = 0: must be a whole number from 1 to 100"),
        ({"range_mb": 101}, "range_mb = 101"),
        ({"prepare_concurrency": 0}, "prepare_concurrency = 0: must be a whole number from 1 to 10000"),
        ({"land_concurrency": 10_001}, "land_concurrency = 10001"),
        ({"id_column": "text"}, "id_column = 'text': names the column that identifies a row"),
        ({"text_column": ""}, "text_column = ''"),
        ({"max_text_characters": 0}, "max_text_characters = 0: must be a whole number of at least 1"),
        ({"poll_interval": cdk.Duration.seconds(0)}, "poll_interval = '0 s'"),
        (
            {"poll_interval": cdk.Duration.seconds(5), "timeout": cdk.Duration.hours(12)},
            "would write 87,400 events, and an execution ends at 25,000 (Step Functions quotas). "
            "Fix: look every 18 s, or shorten timeout",
        ),
        ({"timeout": cdk.Duration.seconds(59)}, "timeout = '59 s'"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match="WorkflowSettings") as refused:
        WorkflowSettings(**arguments)
    assert message in str(refused.value)


def test_the_pause_that_is_proposed_is_accepted() -> None:
    WorkflowSettings(poll_interval=cdk.Duration.seconds(18), timeout=cdk.Duration.hours(12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workflow_name": "batch_dev"}, "workflow_name = 'batch_dev'"),
        ({"workflow_name": "b" * 41}, "has at most 40 characters"),
        (
            {"transform": BatchTransform(instance_type="ml.m5.large", join=JoinSource.NONE)},
            "transform.join = 'None': the workflow hands rows to the job, and finds them again, as Input",
        ),
        (
            {
                "transform": BatchTransform(
                    instance_type="ml.m5.large", content_type="text/csv", accept="text/csv"
                )
            },
            "transform.content_type = 'text/csv'",
        ),
        (
            {"transform": BatchTransform(instance_type="ml.m5.large", max_payload_mb=0)},
            "transform.max_payload_mb = 0: rows are checked against it",
        ),
    ],
)
def test_what_the_workflow_cannot_do_is_refused(make: Make, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match="Test/Workflow") as refused:
        make(**arguments)
    assert message in str(refused.value)


def test_models_that_a_transform_job_cannot_run_are_refused(
    make: Make, stack: cdk.Stack, container: Callable[..., Container]
) -> None:
    # GIVEN a model of containers that are called by name, built for Graviton
    direct = ServingModel(
        stack,
        "Direct",
        containers=[container(hostname="a"), container(hostname="b")],
        invocation=ContainerInvocation.DIRECT,
    )
    direct.architecture = Architecture.ARM64
    # WHEN a workflow is made of it THEN both are told
    with pytest.raises(InvalidConfiguration, match="2 problems") as refused:
        make(model=direct)
    assert "cannot say which of a model's containers it calls" in str(refused.value)
    assert "transform jobs run on x86-64 only" in str(refused.value)


def test_a_series_of_containers_is_a_model_too(
    make: Make, stack: cdk.Stack, container: Callable[..., Container], synthesised: Synthesised
) -> None:
    series = ServingModel(
        stack,
        "Series",
        containers=[container(), container()],
        invocation=ContainerInvocation.SERIAL,
    )
    make(model=series)
    synthesised().resource_count_is("AWS::StepFunctions::StateMachine", 1)


def test_each_function_may_do_its_own_duty_only(make: Make, synthesised: Synthesised) -> None:
    make()
    template = synthesised()
    by_duty = {duty: statements(template, f"WorkflowFunctions{duty.capitalize()}Policy") for duty in DUTIES}
    common = {"WriteLogs", "WriteTraces", "UseKey"}
    assert {duty: set(found) - common for duty, found in by_duty.items()} == {
        "claim": {"ListInput", "ReadInput", "WritePlan", "TakeObjects", "SeeWhoIsStillRunning"},
        "prepare": {"ReadInput", "SeeWhatIsMissing", "WriteParts"},
        "land": {"ReadAnswers", "SeeWhatIsMissing", "WriteReports", "CompareAndWriteRows"},
        "reconcile": {
            *("ReadReports", "SeeWhatIsMissing", "WriteReport", "MarkObjects", "CountRows", "PublishMetrics"),
        },
        "release": {"ReadPlan", "SeeWhatIsMissing", "GiveBackObjects"},
    }
    # AND nobody deletes objects or rows, and metrics go into the one namespace
    everything = {action for found in by_duty.values() for item in found.values() for action in actions(item)}
    assert not {action for action in everything if "Delete" in action or action.endswith("*")}
    published = by_duty["reconcile"]["PublishMetrics"]
    assert published["Condition"] == {"StringEquals": {"cloudwatch:namespace": "SageMakerServing/Batch"}}
    # AND only Prepare and Claim see the input
    readers = {duty for duty, found in by_duty.items() if "/input/*" in json.dumps(found)}
    assert readers == {"claim", "prepare"}


def test_the_state_machine_runs_jobs_of_its_own_names_only(make: Make, synthesised: Synthesised) -> None:
    make()
    allowed = statements(synthesised(), "WorkflowPolicy")
    jobs = allowed["RunTransformJobs"]
    assert actions(jobs) == {f"sagemaker:{verb}TransformJob" for verb in ("Create", "Describe", "Stop")}
    assert ":transform-job/batch-dev-*" in json.dumps(jobs["Resource"])
    assert "iam:PassRole" not in json.dumps(allowed)
    assert allowed["EncryptVolumes"]["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": True}}
    unnarrowed = {sid for sid, item in allowed.items() if item["Resource"] == "*"}
    assert unnarrowed == {"DeliverLogsAndTraces"}


def test_who_runs_it_puts_files_starts_reads_results_and_looks_up_rows(
    make: Make, stack: cdk.Stack, synthesised: Synthesised
) -> None:
    # GIVEN a role of the company's
    role = iam.Role(stack, "Nightly", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    # WHEN it is let run the workflow
    make().grant_run(role)
    # THEN it may do what that takes, and writes nowhere but into the input
    allowed = statements(synthesised(), "WorkflowRunPolicy")
    assert set(allowed) == {
        *("PutFiles", "StartWorkflow", "FollowExecutions", "ReadResults", "SeeWhatIsThere", "UseKey"),
        "LookUpRows",
    }
    writing = [item for item in allowed.values() if any("Put" in action for action in actions(item))]
    assert [item["Sid"] for item in writing] == ["PutFiles"]
    assert "/input/*" in json.dumps(allowed["PutFiles"]["Resource"])
    assert "dynamodb:GetItem" in actions(allowed["LookUpRows"])


def test_the_model_reads_parts_and_writes_answers(make: Make, synthesised: Synthesised) -> None:
    make()
    allowed = statements(synthesised(), "WorkflowJobPolicy")
    assert set(allowed) == {"ReadParts", "ListParts", "WriteAnswers", "UseKey"}
    assert "/work/*" in json.dumps(allowed["ReadParts"])
    assert "/output/*" in json.dumps(allowed["WriteAnswers"])


def test_executions_are_logged_traced_and_named(make: Make, synthesised: Synthesised) -> None:
    make()
    template = synthesised()
    (machine,) = template.find_resources("AWS::StepFunctions::StateMachine").values()
    properties = machine["Properties"]
    assert properties["StateMachineName"] == "batch-dev"
    # a result that is thrown away is a null, and stays one on the way into the template
    assert '"ResultPath": null' in json.dumps(properties["DefinitionString"]).replace('\\"', '"')
    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    assert properties["TracingConfiguration"] == {"Enabled": True}
    # AND it is made after what it may do
    assert any(name.startswith("WorkflowPolicy") for name in machine["DependsOn"])
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    names = {group["Properties"]["LogGroupName"] for group in groups}
    assert "/aws/vendedlogs/states/batch-dev" in names
    assert {f"/aws/lambda/batch-dev-{duty}" for duty in DUTIES} <= names
    assert all("KmsKeyId" in group["Properties"] for group in groups)


def test_functions_know_where_things_are(make: Make, synthesised: Synthesised) -> None:
    make(settings=WorkflowSettings(id_column="no", text_column="review", range_mb=2))
    template = synthesised()
    functions = {
        item["Properties"].get("FunctionName"): item["Properties"]
        for item in template.find_resources("AWS::Lambda::Function").values()
    }
    for duty in DUTIES:
        made = functions[f"batch-dev-{duty}"]
        assert made["Handler"] == f"{duty}.handler"
        assert made["TracingConfig"] == {"Mode": "Active"}
        assert "KmsKeyArn" in made
        given = made["Environment"]["Variables"]
        assert set(given) == {
            *("WORKFLOW_NAME", "METRIC_NAMESPACE", "CLAIMS_TABLE_NAME", "WORK_BUCKET", "OUTPUT_BUCKET"),
            *("MODEL_NAME", "ID_COLUMN", "TEXT_COLUMN", "RANGE_BYTES", "MAX_PAYLOAD_BYTES"),
            "MAX_TEXT_CHARACTERS",
            *("SINK", "TABLE_NAME", "INDEX_NAME", "INDEX_SHARDS", "TTL_DAYS"),
        }
        assert (given["ID_COLUMN"], given["TEXT_COLUMN"]) == ("no", "review")
        assert (given["RANGE_BYTES"], given["MAX_PAYLOAD_BYTES"]) == ("2097152", "6291456")


def test_work_is_thrown_away_early_and_unfinished_uploads_too(make: Make, synthesised: Synthesised) -> None:
    make(retention=Retention(keep_data=True, data_days=90))
    buckets = synthesised().find_resources("AWS::S3::Bucket")
    (results,) = (
        item["Properties"] for name, item in buckets.items() if "StorageResults" in name and "Log" not in name
    )
    rules = {rule["Id"]: rule for rule in results["LifecycleConfiguration"]["Rules"]}
    assert rules["expire-work"]["Prefix"] == "work/"
    assert rules["expire-work"]["ExpirationInDays"] == 7
    assert rules["expire"]["ExpirationInDays"] == 90
    assert rules["expire"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
