"""Steps side by side, retried, taken from the cache, refused; starts and updates of pipelines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import ServiceError
from sandbox.store import Params
from tests.sandbox_api.world import ROLE
from tests.sandbox_jobs.workshop import Workshop, archive
from tests.sandbox_pipelines.definitions import (
    Runner,
    fail_step,
    get,
    lambda_step,
    parameter,
    processing_step,
    text,
)
from tests.sandbox_pipelines.whole_pipeline import (
    EVALUATE,
    PREPARE,
    TRAIN,
)

Refused = Callable[..., tuple[str, str]]


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
