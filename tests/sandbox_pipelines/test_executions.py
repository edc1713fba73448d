"""Executions from start to end: references, branches, cache, retries, stopping, failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import ServiceError
from sandbox.store import Params
from tests.sandbox_api.world import ROLE
from tests.sandbox_jobs.workshop import Workshop, archive, reads, unpacked, writes
from tests.sandbox_pipelines.definitions import (
    Runner,
    at_least,
    condition_step,
    fail_step,
    get,
    join,
    lambda_step,
    parameter,
    processing_step,
    register_step,
    text,
    training_step,
)

Refused = Callable[..., tuple[str, str]]

PREPARE = """
import os, pathlib
base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'], 'processing')
rows = (base / 'raw' / 'rows.csv').read_text().splitlines()
(base / 'train' / 'rows.csv').write_text('\\n'.join(rows[1:]))
"""
TRAIN = """
import os, pathlib
rows = pathlib.Path(os.environ['SM_CHANNEL_TRAIN'], 'rows.csv').read_text().split()
pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.txt').write_text(f"{len(rows)} {os.environ['SM_HP_RATE']}")
print(f'rows: {len(rows)}')
"""
EVALUATE = """
import json, os, pathlib
base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'], 'processing')
assert list((base / 'model').iterdir())
(base / 'report' / 'evaluation.json').write_text(json.dumps({'metrics': {'accuracy': {'value': 0.9}}}))
"""
REPORT = {"Get": "Steps.Evaluate.PropertyFiles.Report"}
SUBMIT = "s3://in/code.tar.gz"


def accuracy(path: str = "metrics.accuracy.value") -> Params:
    return {"Std:JsonGet": {"PropertyFile": REPORT, "Path": path}}


def job_steps() -> list[Params]:
    """Prepare, train and evaluate, all with the cache on."""
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}}
    prepare = processing_step(
        "Prepare",
        PREPARE,
        job={
            "ProcessingInputs": [reads("raw", "x") | {"S3Input": _from(get("Parameters.Data"), "raw")}],
            "ProcessingOutputConfig": {"Outputs": [writes("train", "s3://out/prepared/train")]},
        },
        **cache,
    )
    prepared = get("Steps.Prepare.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri")
    source = {"S3DataType": "S3Prefix", "S3Uri": prepared}
    train = training_step(
        "Train",
        SUBMIT,
        job={
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": SUBMIT,
                "rate": get("Parameters.Rate"),
            },
            "AlgorithmSpecification": {
                "TrainingImage": "sagemaker-scikit-learn:1.2-1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "rows", "Regex": "rows: ([0-9]+)"}],
            },
        },
        **cache,
    )
    model = get("Steps.Train.ModelArtifacts.S3ModelArtifacts")
    evaluate = processing_step(
        "Evaluate",
        EVALUATE,
        job={
            "ProcessingInputs": [reads("model", "x") | {"S3Input": _from(model, "model")}],
            "ProcessingOutputConfig": {"Outputs": [writes("report", "s3://out/report")]},
        },
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "evaluation.json"}],
        **cache,
    )
    return [prepare, train, evaluate]


def _from(uri: Params, name: str) -> Params:
    return {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3DataType": "S3Prefix"}


def whole() -> list[Params]:
    """Jobs, a condition on the accuracy, registration and deployment, or failure."""
    deploy = lambda_step(
        "Deploy",
        "deploy",
        {"package": get("Steps.Register.ModelPackageArn"), "run": get("Execution.PipelineExecutionId")},
        endpoint="String",
        size="Integer",
        details="String",
    )
    words = join("accuracy ", accuracy(), " is below ", get("Parameters.Threshold"))
    check = condition_step(
        "Check",
        at_least(accuracy(), get("Parameters.Threshold")),
        yes=[register_step("Register", get("Steps.Train.ModelArtifacts.S3ModelArtifacts")), deploy],
        no=[fail_step("TooLow", words)],
    )
    after = lambda_step("Tell", "tell", {"endpoint": get("Steps.Deploy.OutputParameters['endpoint']")})
    return [*job_steps(), check, after]


PARAMETERS = [
    parameter("Data", default="s3://in/raw/"),
    parameter("Rate", "Float", 0.5),
    parameter("Threshold", "Float", 0.8),
]


@pytest.fixture
def made(runner: Runner, workshop: Workshop) -> Runner:
    """The whole pipeline with its data, code and functions."""
    workshop.s3.put("s3://in/raw/rows.csv", "head\na\nb\nc")
    workshop.s3.put(SUBMIT, archive({"train.py": TRAIN}))
    workshop.functions.functions["deploy"] = lambda event: {
        "endpoint": f"live-{event['package'][-1]}",
        "size": 2,
        "details": {"nested": True},
    }
    workshop.functions.functions["tell"] = lambda event: None
    runner.create("Whole", whole(), PARAMETERS)
    return runner


def test_a_pipeline_runs_from_data_to_a_deployment_and_its_second_run_is_cached(
    made: Runner, workshop: Workshop, sagemaker: Any
) -> None:
    # GIVEN a pipeline
    # WHEN it runs with a parameter of its own
    execution, steps = made.run("Whole", Rate="0.25")

    # THEN all steps of the branch taken have succeeded, each after what it needs
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert list(steps) == ["Prepare", "Train", "Evaluate", "Check", "Register", "Deploy", "Tell"]
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["Check"]["Metadata"]["Condition"]["Outcome"] == "True"
    # AND data and parameters went through
    job = sagemaker.describe_training_job(
        TrainingJobName=steps["Train"]["Metadata"]["TrainingJob"]["Arn"].split("/")[1]
    )
    assert unpacked(workshop.s3.read(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"model.txt": b"3 0.25"}
    arn = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    outputs = {
        each["Name"]: each["Value"] for each in steps["Deploy"]["Metadata"]["Lambda"]["OutputParameters"]
    }
    assert outputs == {"endpoint": "live-1", "size": "2", "details": '{"nested": true}'}
    assert workshop.functions.calls[-1] == ("tell", {"endpoint": "live-1"})

    # AND WHEN it runs again with nothing changed, and with another rate
    first = execution["PipelineExecutionArn"]
    again, cached = made.run("Whole", Rate="0.25")
    other, changed = made.run("Whole", Rate="0.5")

    # THEN the jobs are taken from the cache as far as nothing changed
    for name in ("Prepare", "Train", "Evaluate"):
        assert cached[name]["CacheHitResult"]["SourcePipelineExecutionArn"] == first
        assert cached[name]["Metadata"] == steps[name]["Metadata"]
    assert again["PipelineExecutionStatus"] == other["PipelineExecutionStatus"] == "Succeeded"
    assert [name for name, step in changed.items() if "CacheHitResult" in step] == ["Prepare"]
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 2
    # AND executions, parameters and the definition can be looked up
    listed = sagemaker.list_pipeline_executions(PipelineName="Whole")["PipelineExecutionSummaries"]
    assert [each["PipelineExecutionArn"] for each in listed][-1] == first
    values = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=first)
    assert values["PipelineParameters"] == [
        {"Name": "Data", "Value": "s3://in/raw/"},
        {"Name": "Rate", "Value": "0.25"},
        {"Name": "Threshold", "Value": "0.8"},
    ]
    shown = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=first)
    assert json.loads(shown["PipelineDefinition"])["Steps"] == whole()
    # AND EventBridge was told in order
    executions = _changes(workshop, first, "pipelineExecution", "Execution Status Change", "Succeeded")
    assert executions == [("", "Executing"), ("Executing", "Succeeded")]


def _changes(
    workshop: Workshop, arn: str, of: str, kind: str, last: str, step: str | None = None
) -> list[tuple[str, str]]:
    words = {"pipelineExecution": "PipelineExecutionStatus", "step": "StepStatus"}[of]

    def probe() -> list[tuple[str, str]] | None:
        found = [
            (detail[f"previous{words}"], detail[f"current{words}"])
            for detail in workshop.details(f"SageMaker Model Building Pipeline {kind}")
            if detail["pipelineExecutionArn"] == arn and detail.get("stepName") == step
        ]
        return found if found and found[-1][1] == last else None

    found: list[tuple[str, str]] = workshop.wait("events", probe)
    return found


def test_a_model_that_is_not_good_enough_is_neither_registered_nor_deployed(
    made: Runner, sagemaker: Any, workshop: Workshop
) -> None:
    # GIVEN a threshold that no model reaches
    # WHEN the pipeline runs
    execution, steps = made.run("Whole", Threshold="0.99")

    # THEN the execution has failed, and says why
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"].startswith("Step failure: One or multiple steps failed.")
    assert "accuracy 0.9 is below 0.99" in execution["FailureReason"]
    assert steps["TooLow"]["StepStatus"] == "Failed"
    assert steps["TooLow"]["Metadata"]["Fail"]["ErrorMessage"] == "accuracy 0.9 is below 0.99"
    assert not {"Register", "Deploy", "Tell"} & set(steps)
    assert not sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert not workshop.functions.calls
    changes = _changes(
        workshop,
        execution["PipelineExecutionArn"],
        "step",
        "Execution Step Status Change",
        "Failed",
        "TooLow",
    )
    assert changes == [("Starting", "Executing"), ("Executing", "Failed")]


def test_missing_data_and_a_failing_script_end_in_failed_and_a_retry_goes_on_there(
    made: Runner, workshop: Workshop
) -> None:
    # GIVEN code that fails
    workshop.s3.put(SUBMIT, archive({"train.py": "raise RuntimeError('the rows are upside down')"}))

    # WHEN the pipeline runs, and with data that is not there
    execution, steps = made.run("Whole")
    missing, nothing = made.run("Whole", Data="s3://in/none/")

    # THEN each says what was wrong and where
    assert execution["PipelineExecutionStatus"] == missing["PipelineExecutionStatus"] == "Failed"
    assert list(steps) == ["Prepare", "Train"]
    assert "RuntimeError: the rows are upside down" in steps["Train"]["FailureReason"]
    assert steps["Train"]["FailureReason"] in execution["FailureReason"]
    assert "TrainingJob" in steps["Train"]["Metadata"]
    assert list(nothing) == ["Prepare"]
    assert "no S3 objects found under S3 URL 's3://in/none/'" in nothing["Prepare"]["FailureReason"]

    # AND WHEN the code is repaired and the execution retried
    workshop.s3.put(SUBMIT, archive({"train.py": TRAIN}))
    arn = execution["PipelineExecutionArn"]
    made.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)
    retried = made.ended(arn)

    # THEN it goes on where it had failed
    assert retried["PipelineExecutionStatus"] == "Succeeded"
    assert "FailureReason" not in retried
    after = made.steps(arn)
    assert after["Prepare"] == steps["Prepare"]
    assert after["Train"]["StepStatus"] == after["Tell"]["StepStatus"] == "Succeeded"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{'metrics': {}}", "has nothing at path 'metrics.accuracy.value'"),
        ("None", "has nothing at path"),
        ("{'metrics': {'accuracy': {'value': 'high'}}}", "cannot compare 'high' with 0.8"),
    ],
)
def test_an_evaluation_without_the_metric_fails_the_condition(
    runner: Runner, workshop: Workshop, written: str, words: str
) -> None:
    # GIVEN an evaluation that writes something else
    code = (
        "import json, os, pathlib\n"
        "base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'], 'processing/report')\n"
        f"(base / 'evaluation.json').write_text(json.dumps({written}))"
    )
    evaluate = _evaluation(code)

    # WHEN a condition reads the accuracy of it
    runner.create("Short", [evaluate, condition_step("Check", at_least(accuracy(), 0.8))])
    execution, steps = runner.run("Short")

    # THEN the condition has failed with a reason
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert words in steps["Check"]["FailureReason"]


def _evaluation(code: str) -> Params:
    return processing_step(
        "Evaluate",
        code,
        job={"ProcessingOutputConfig": {"Outputs": [writes("report", "s3://out/report")]}},
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "evaluation.json"}],
    )


def test_a_property_file_that_was_not_written_or_is_no_json_fails_the_condition(
    runner: Runner, workshop: Workshop
) -> None:
    # GIVEN an evaluation that writes nothing, and one that writes no JSON
    broken = "import os; open(os.environ['SAGEMAKER_BASE_DIR'] + '/processing/report/evaluation.json', 'w')"

    # WHEN conditions read them
    reasons = []
    for name, code in (("None", "pass"), ("Broken", broken)):
        runner.create(name, [_evaluation(code), condition_step("Check", at_least(accuracy(), 0.8))])
        reasons.append(runner.run(name)[1]["Check"]["FailureReason"])

    # THEN both say so
    assert "s3://out/report/evaluation.json cannot be read" in reasons[0]
    assert "is not valid JSON" in reasons[1]


def test_functions_that_fail_answer_nonsense_or_take_too_long_fail_their_step(
    runner: Runner, workshop: Workshop
) -> None:
    # GIVEN such functions, and steps that may take half a second
    released = threading.Event()
    workshop.pipelines.functions._limit = 0.5
    workshop.functions.functions |= {
        "slow": lambda event: released.wait(30),
        "raises": lambda event: {}["nothing"],
        "lacks": lambda event: {"a": "text"},
        "wrong": lambda event: {"n": "five"},
        "text": lambda event: "hello",
    }
    cases = {
        "slow": ({}, "did not answer within the 600 s of a Lambda step"),
        "raises": ({}, "failed: KeyError: 'nothing'"),
        "lacks": ({"b": "String"}, "it has no 'b'"),
        "wrong": ({"n": "Integer"}, "'n' is five, not of type Integer"),
        "text": ({"a": "String"}, "must answer an object"),
        "unknown": ({}, "could not be invoked"),
    }

    # WHEN they are called, THEN each step has failed with the reason
    try:
        for name, (outputs, words) in cases.items():
            runner.create(name, [lambda_step("Call", name, {}, **outputs)])
            execution, steps = runner.run(name)
            assert execution["PipelineExecutionStatus"] == "Failed", name
            assert words in steps["Call"]["FailureReason"]
            assert steps["Call"]["Metadata"]["Lambda"]["Arn"].endswith(name)
    finally:
        released.set()


def test_an_execution_is_stopped_half_way_and_goes_on_by_a_retry(
    runner: Runner, workshop: Workshop, sagemaker: Any, refused: Refused
) -> None:
    # GIVEN an execution whose second step waits for a flag
    flag = workshop.work.parent / "flag"
    waits = (
        "import os, time\nprint('waiting', flush=True)\n"
        f"while not os.path.exists({str(flag)!r}): time.sleep(0.02)"
    )
    runner.create("Long", [processing_step("A"), processing_step("B", waits, DependsOn=["A"])])
    arn = runner.start("Long")
    workshop.wait("B", lambda: "waiting" in [line[2] for line in workshop.logs.lines])
    assert refused(sagemaker.delete_pipeline, PipelineName="Long")[0] == "ConflictException"
    assert refused(sagemaker.retry_pipeline_execution, PipelineExecutionArn=arn)[0] == "ConflictException"

    # WHEN it is stopped
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    stopped, steps = runner.ended(arn), runner.steps(arn)

    # THEN execution, step and job are Stopped
    assert stopped["PipelineExecutionStatus"] == "Stopped"
    assert {name: step["StepStatus"] for name, step in steps.items()} == {"A": "Succeeded", "B": "Stopped"}
    (job,) = sagemaker.list_processing_jobs(StatusEquals="Stopped")["ProcessingJobSummaries"]
    assert job["ProcessingJobArn"] == steps["B"]["Metadata"]["ProcessingJob"]["Arn"]
    assert refused(sagemaker.stop_pipeline_execution, PipelineExecutionArn=arn)[0] == "ConflictException"
    changes = _changes(workshop, arn, "step", "Execution Step Status Change", "Stopped", "B")
    assert [now for _, now in changes] == ["Executing", "Stopping", "Stopped"]

    # AND WHEN it is retried
    flag.touch()
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)

    # THEN only the rest is done
    assert runner.ended(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert runner.steps(arn)["A"] == steps["A"]
    assert runner.steps(arn)["B"]["StepStatus"] == "Succeeded"


def test_stopping_ends_a_pause_between_attempts_and_waits_for_a_function(
    runner: Runner, workshop: Workshop, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a job that is refused and would be tried again in half a day, beside a function that runs
    def refuse(job: Any) -> None:
        raise ServiceError("ResourceLimitExceeded", "full")

    monkeypatch.setattr(workshop.jobs, "create", refuse)
    released = threading.Event()
    workshop.functions.functions["hold"] = lambda event: released.wait(20)
    policy = {"ExceptionType": ["SageMaker.RESOURCE_LIMIT"], "IntervalSeconds": 43200}
    runner.create("P", [processing_step("Job", RetryPolicies=[policy]), lambda_step("Function", "hold")])
    arn = runner.start("P")
    workshop.wait("both", lambda: workshop.functions.calls and "Job" in runner.steps(arn))

    # WHEN it is stopped, and the function answers
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    workshop.wait("the job's end", lambda: runner.steps(arn)["Job"]["StepStatus"] == "Stopped")
    meanwhile = runner.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    released.set()

    # THEN the execution has waited for it
    assert meanwhile["PipelineExecutionStatus"] == "Stopping"
    assert runner.ended(arn)["PipelineExecutionStatus"] == "Stopped"
    assert runner.steps(arn)["Function"]["StepStatus"] == "Succeeded"


def test_a_job_that_somebody_stops_or_that_is_out_of_time_fails_its_step(
    runner: Runner, workshop: Workshop, sagemaker: Any
) -> None:
    # GIVEN a job that may take a second, and one that somebody stops
    forever = "import time\nprint('on', flush=True)\ntime.sleep(600)"
    short = {"StoppingCondition": {"MaxRuntimeInSeconds": 1}}
    runner.create("Short", [processing_step("Job", forever, job=short)])
    runner.create("Long", [processing_step("Job", forever)])
    _, timed_out = runner.run("Short")
    arn = runner.start("Long")
    workshop.wait("the job", lambda: [line[2] for line in workshop.logs.lines].count("on") == 2)

    # WHEN that happens
    (job,) = sagemaker.list_processing_jobs(StatusEquals="InProgress")["ProcessingJobSummaries"]
    sagemaker.stop_processing_job(ProcessingJobName=job["ProcessingJobName"])
    stopped = runner.ended(arn)

    # THEN the steps have failed and say so
    assert "longer than MaxRuntimeInSeconds, 1 s" in timed_out["Job"]["FailureReason"]
    assert stopped["PipelineExecutionStatus"] == "Failed"
    assert "ended as Stopped. Somebody stopped it." in stopped["FailureReason"]


def test_steps_run_beside_each_other_up_to_the_limit(
    runner: Runner, sagemaker: Any, workshop: Workshop
) -> None:
    # GIVEN four functions that count how many run
    lock, now, most = threading.Lock(), [0], [0]
    both = threading.Barrier(2)

    def count(event: Any) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait(20)
        with lock:
            now[0] -= 1

    workshop.functions.functions["count"] = count
    runner.create("Wide", [lambda_step(f"S{number}", "count") for number in range(4)])

    # WHEN two may run at a time
    arn = sagemaker.start_pipeline_execution(
        PipelineName="Wide", ParallelismConfiguration={"MaxParallelExecutionSteps": 2}
    )["PipelineExecutionArn"]

    # THEN two did
    assert runner.ended(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert most == [2]


def test_what_runs_beside_a_failure_comes_to_its_end_and_nothing_new_starts(
    runner: Runner, workshop: Workshop
) -> None:
    # GIVEN a step that ends after its neighbour has failed
    failed = threading.Event()
    workshop.functions.functions["after"] = lambda event: failed.wait(20)
    runner.create(
        "Mixed", [fail_step("Fails", "no"), lambda_step("After", "after"), lambda_step("Next", "after")]
    )
    runner.create("Chain", [fail_step("F", "no"), lambda_step("N", "after") | {"DependsOn": ["F"]}])

    # WHEN the pipelines run
    arn = runner.start("Mixed")
    workshop.wait("failure", lambda: runner.steps(arn).get("Fails", {}).get("StepStatus") == "Failed")
    failed.set()
    execution, steps = runner.ended(arn), runner.steps(arn)

    # THEN the neighbours have succeeded and the execution has failed
    assert (execution["PipelineExecutionStatus"], steps["After"]["StepStatus"]) == ("Failed", "Succeeded")
    assert list(runner.run("Chain")[1]) == ["F"]


def test_a_policy_retries_what_may_be_better_next_time(
    runner: Runner, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a service that refuses twice because of limits, and for ever because of a fault
    refusals = [ServiceError("ResourceLimitExceeded", "full")] * 2
    create = workshop.jobs.create

    def sometimes(job: Any) -> None:
        if "Limit" in job.name and refusals:
            raise refusals.pop()
        if "Fault" in job.name:
            raise ServiceError("InternalFailure", "broken", status=500)
        create(job)

    monkeypatch.setattr(workshop.jobs, "create", sometimes)
    policy = {"ExceptionType": ["SageMaker.RESOURCE_LIMIT"], "IntervalSeconds": 1, "MaxAttempts": 3}
    fault = policy | {"ExceptionType": "Step.SERVICE_FAULT", "MaxAttempts": 2}
    runner.create("Limits", [processing_step("Limit", RetryPolicies=[policy])])
    runner.create("Faults", [processing_step("Fault", RetryPolicies=[policy, fault])])

    # WHEN the pipelines run
    good, limit = runner.run("Limits")
    bad, broken = runner.run("Faults")

    # THEN the one succeeds at its third attempt, the other gives up after as many as it may
    assert (good["PipelineExecutionStatus"], limit["Limit"]["AttemptCount"]) == ("Succeeded", 3)
    assert (bad["PipelineExecutionStatus"], broken["Fault"]["AttemptCount"]) == ("Failed", 3)
    assert "InternalFailure: broken" in broken["Fault"]["FailureReason"]


def test_an_old_result_is_not_taken_from_the_cache(runner: Runner, workshop: Workshop) -> None:
    # GIVEN a step whose result is good for a second of AWS time, and one whose cache is off
    runner.create(
        "Cached",
        [
            processing_step("Old", CacheConfig={"Enabled": True, "ExpireAfter": "T1S"}),
            processing_step("Off", CacheConfig={"Enabled": False, "ExpireAfter": "P1D"}),
            processing_step("On", CacheConfig={"Enabled": True}),
        ],
    )
    _, first = runner.run("Cached")

    # WHEN it runs again, later than that
    workshop.wait("an age", lambda: _age(workshop, first["Old"]) > 1 / 60)
    _, second = runner.run("Cached")

    # THEN only the one without an end is taken over
    assert [name for name, step in second.items() if "CacheHitResult" in step] == ["On"]


def _age(workshop: Workshop, step: Params) -> float:
    from datetime import UTC, datetime

    return float((datetime.now(UTC) - step["EndTime"]).total_seconds())


def test_a_start_is_checked_and_repeated_by_its_token(made: Runner, sagemaker: Any, refused: Refused) -> None:
    # GIVEN a pipeline with typed parameters, one without default
    made.create("Typed", [], [parameter("N", "Integer", 1), parameter("B", "Boolean", True), parameter("S")])
    start = sagemaker.start_pipeline_execution

    # WHEN it is started with mistakes
    given = [{"Name": "N", "Value": "1.5"}, {"Name": "B", "Value": "yes"}, {"Name": "X", "Value": "1"}]
    code, message = refused(start, PipelineName="Typed", PipelineParameters=given)

    # THEN all are told
    assert code == "ValidationException"
    for words in ("'1.5' of parameter 'N' is not of type Integer", "'yes'", "no parameter 'X'", "'S' has no"):
        assert words in message

    # AND WHEN it is started twice by the same token
    token, right = "t" * 32, [{"Name": "S", "Value": "s"}]
    arns = {
        start(PipelineName="Typed", PipelineParameters=right, ClientRequestToken=token)[
            "PipelineExecutionArn"
        ]
        for _ in range(2)
    }

    # THEN there is one execution, and the token is good for nothing else
    (arn,) = arns
    assert made.ended(arn)["PipelineExecutionStatus"] == "Succeeded"
    other = [{"Name": "S", "Value": "other"}]
    refusal = refused(start, PipelineName="Typed", PipelineParameters=other, ClientRequestToken=token)
    assert refusal[0] == "ConflictException"
    for operation in (sagemaker.describe_pipeline_execution, sagemaker.stop_pipeline_execution):
        assert refused(operation, PipelineExecutionArn=f"{arn}x")[0] == "ResourceNotFound"
    assert refused(start, PipelineName="none")[0] == "ResourceNotFound"


def test_steps_that_the_sandbox_does_not_run_fail_with_a_reason(runner: Runner, workshop: Workshop) -> None:
    # GIVEN a step of a type that AWS runs, and one whose API is refused its request
    tuning = {"Name": "Tune", "Type": "Tuning", "Arguments": {}}
    model = {"Name": "Make", "Type": "Model", "Arguments": {"ExecutionRoleArn": ROLE}}

    # WHEN they run
    runner.create("Tune", [tuning])
    runner.create("Make", [model])
    tuned, made = runner.run("Tune")[1], runner.run("Make")[1]

    # THEN the reasons tell
    assert "does not run steps of type Tuning" in tuned["Tune"]["FailureReason"]
    reason = made["Make"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateModel. Error Details: Validation")


def test_a_transform_step_is_a_call_of_the_api_like_the_others(runner: Runner, workshop: Workshop) -> None:
    # GIVEN transform jobs that end by themselves, and one that fails
    jobs: dict[str, Params] = {}

    def create(params: Params, scope: Any) -> Params:
        jobs[params["TransformJobName"]] = params
        return {"TransformJobArn": scope.arn(f"transform-job/{params['TransformJobName'].lower()}")}

    def describe(params: Params, scope: Any) -> Params:
        job = jobs[params["TransformJobName"]]
        if job["ModelName"] == "bad":
            return job | {"TransformJobStatus": "Failed", "FailureReason": "AlgorithmError: no such layer"}
        return job | {"TransformJobStatus": "Completed"}

    workshop.control_plane.add_operations({"CreateTransformJob": create, "DescribeTransformJob": describe})
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://in/x"}}}
    arguments = {
        "ModelName": get("Parameters.Model"),
        "TransformInput": source,
        "TransformOutput": {"S3OutputPath": "s3://out/scores"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    workshop.functions.functions["tell"] = lambda event: None
    path = get("Steps.Score.TransformOutput.S3OutputPath")
    steps = [
        {"Name": "Score", "Type": "Transform", "Arguments": arguments},
        lambda_step("T", "tell", {"at": path}),
    ]
    runner.create("Batch", steps, [parameter("Model", default="good")])

    # WHEN a pipeline makes one of each
    good, done = runner.run("Batch")
    bad, failed = runner.run("Batch", Model="bad")

    # THEN its output can be referred to, its failure is that of the step
    assert good["PipelineExecutionStatus"] == "Succeeded"
    assert done["Score"]["Metadata"]["TransformJob"]["Arn"].startswith("arn:aws:sagemaker:")
    assert workshop.functions.calls == [("tell", {"at": "s3://out/scores"})]
    assert bad["PipelineExecutionStatus"] == "Failed"
    assert "ended as Failed. AlgorithmError: no such layer" in failed["Score"]["FailureReason"]


def test_what_the_sagemaker_sdk_writes_runs(runner: Runner, workshop: Workshop, sagemaker: Any) -> None:
    # GIVEN a definition as the SDK (3.27) writes it, and its code
    definition = (Path(__file__).parent / "sdk_definition.json").read_text(encoding="utf-8")
    workshop.s3.put("s3://b/raw/rows.csv", "head\na\nb")
    workshop.s3.put("s3://b/code.tar.gz", archive({"train.py": TRAIN}))
    workshop.s3.put("s3://b/code/pre.py", PREPARE)
    workshop.s3.put("s3://b/code/eval.py", EVALUATE)
    workshop.functions.functions |= {"deploy": lambda event: {"endpoint": "live"}, "tell": lambda event: None}
    sagemaker.create_pipeline(PipelineName="Sdk", PipelineDefinition=definition, RoleArn=ROLE)

    # WHEN it runs, and with a threshold that is too high
    good, _ = runner.run("Sdk")
    bad, steps = runner.run("Sdk", Threshold="0.95")

    # THEN it goes to its end, by the one branch and the other
    assert good["PipelineExecutionStatus"] == "Succeeded", good
    assert workshop.functions.calls[-1] == ("tell", {"e": "live"})
    (version,) = sagemaker.list_model_packages(ModelPackageGroupName="reviews")["ModelPackageSummaryList"]
    assert version["ModelApprovalStatus"] == "Approved"
    assert "accuracy 0.9 below 0.95" in bad["FailureReason"]
    assert "CacheHitResult" in steps["Eval"]


def test_an_update_of_the_definition_counts_from_the_next_execution_on(
    runner: Runner, workshop: Workshop, sagemaker: Any
) -> None:
    # GIVEN an execution that runs
    released = threading.Event()
    workshop.functions.functions["hold"] = lambda event: released.wait(20)
    runner.create("P", [lambda_step("Old", "hold")])
    arn = runner.start("P")

    # WHEN the definition changes meanwhile
    sagemaker.update_pipeline(PipelineName="P", PipelineDefinition=text([lambda_step("New", "hold")]))
    released.set()

    # THEN the running one keeps its own
    assert runner.ended(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert list(runner.steps(arn)) == ["Old"]
    assert list(runner.run("P")[1]) == ["New"]
