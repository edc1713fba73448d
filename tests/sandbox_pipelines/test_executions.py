"""Executions from start to end: references, branches, cache, failures, stopping."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.errors import ServiceError
from sandbox.store import Params
from tests.sandbox_jobs.workshop import Workshop, archive, unpacked, writes
from tests.sandbox_pipelines.definitions import (
    Runner,
    at_least,
    condition_step,
    lambda_step,
    processing_step,
)
from tests.sandbox_pipelines.whole_pipeline import (
    SUBMIT,
    TRAIN,
    accuracy,
    whole,
)

Refused = Callable[..., tuple[str, str]]


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
    # AND CloudWatch has counted both runs, by pipeline, by step, and of all pipelines
    values = workshop.metrics.values
    places: tuple[dict[str, str], ...] = ({"PipelineName": "Long"}, {})
    for where in places:
        assert values("ExecutionStarted", **where) == [1, 1]
        assert values("ExecutionStopped", **where) == values("ExecutionSucceeded", **where) == [1]
        assert values("ExecutionFailed", **where) == []
        assert len(values("ExecutionDuration", **where)) == 2
    counted = {
        step: [len(values(f"Step{name}", PipelineName="Long", StepName=step)) for name in _STEP_METRICS]
        for step in ("A", "B")
    }
    assert counted == {"A": [1, 1, 0, 0, 1], "B": [2, 1, 1, 0, 2]}
    durations = values("StepDuration", PipelineName="Long", StepName="B")
    took = values("ExecutionDuration", PipelineName="Long")
    # the second run began at the retry
    assert all(0 < step <= execution for step, execution in zip(durations, took, strict=True))
    kinds = {(namespace, unit) for _, namespace, _, unit, _, _ in workshop.metrics.records}
    assert kinds == {("AWS/Sagemaker/ModelBuildingPipeline", unit) for unit in ("Count", "Milliseconds")}


_STEP_METRICS = ("Started", "Succeeded", "Stopped", "Failed", "Duration")


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
