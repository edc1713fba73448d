"""Every evaluation is a metric, and so is what became worse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.store import Params
from tests.ml_pipeline_functions.clients import Objects, answered
from tests.sandbox_jobs.workshop import Workshop, writes
from tests.sandbox_pipelines.definitions import Runner, get, join, parameter, processing_step

PIPELINE, NAMESPACE = "reviews-pipeline", "SageMakerServing/MlPipeline"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"
EVALUATE = """
import os
place = os.environ['SAGEMAKER_BASE_DIR'] + '/processing/evaluation/evaluation.json'
open(place, 'w').write(os.environ['REPORT'])
"""
REPORT = '{"binary_classification_metrics": {"accuracy": {"value": %s}}}'


class Evaluations:
    """The function before a pipeline that only evaluates."""

    def __init__(self, functions: SimpleNamespace, workshop: Workshop, sagemaker: Any) -> None:
        self.functions, self.workshop, self.sagemaker = functions, workshop, sagemaker
        self.runner = Runner(sagemaker, workshop)
        self.points: list[Params] = []
        before, after = REPORT.split("%s")
        place = join("s3://data/results", get("Parameters.Accuracy"), on="/")
        output = writes("evaluation", "x")
        output["S3Output"]["S3Uri"] = place
        step = processing_step(
            "Evaluate",
            EVALUATE,
            job={
                "ProcessingOutputConfig": {"Outputs": [output]},
                "Environment": {"REPORT": join(before, get("Parameters.Accuracy"), after)},
            },
            CacheConfig={"Enabled": True, "ExpireAfter": "P30D"},
        )
        self.runner.create(PIPELINE, [step], [parameter("Accuracy")])

    def put(self, given: Params) -> Params:
        assert given["Namespace"] == NAMESPACE
        self.points += given["MetricData"]
        return {}

    def run(self, accuracy: str) -> Params:
        """The event of an evaluation, as it was published."""
        _, steps = self.runner.run(PIPELINE, Accuracy=accuracy)
        assert steps["Evaluate"]["StepStatus"] == "Succeeded", steps["Evaluate"].get("FailureReason")

        def published() -> Params | None:
            last = self.workshop.details(STEP_CHANGE)[-1]
            return last if last["currentStepStatus"] == "Succeeded" else None

        return {"detail-type": STEP_CHANGE, "detail": self.workshop.wait("event", published)}

    def __call__(self, event: Params) -> Params:
        self.points.clear()
        answer: Params = self.functions.accuracy.handler(event, None)
        return answer


@pytest.fixture
def evaluations(
    functions: SimpleNamespace,
    workshop: Workshop,
    wired: Any,
    reach: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Evaluations:
    monkeypatch.setenv("PIPELINE_NAME", PIPELINE)
    monkeypatch.setenv("METRICS_NAMESPACE", NAMESPACE)
    evaluations = Evaluations(functions, workshop, wired)
    reach(sagemaker=wired, s3=workshop.s3, cloudwatch=answered("cloudwatch", PutMetricData=evaluations.put))
    return evaluations


def test_accuracy_and_its_drop(evaluations: Evaluations, capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN the first evaluation
    event = evaluations.run("0.9")
    # WHEN its event comes
    answer = evaluations(event)
    # THEN there is its accuracy, at the time of the step's end, and no drop
    assert (answer["status"], answer["accuracy"], answer["drop"]) == ("Published", 0.9, None)
    (point,) = evaluations.points
    assert point["MetricName"] == "Accuracy"
    assert point["Dimensions"] == [{"Name": "Pipeline", "Value": PIPELINE}]
    assert point["Timestamp"] == datetime.fromisoformat(event["detail"]["stepEndTime"])
    assert json.loads(capsys.readouterr().out)["status"] == "Published"
    # AND of a worse one there is the drop
    second = evaluations.run("0.85")
    evaluations(second)
    assert {point["MetricName"]: pytest.approx(point["Value"]) for point in evaluations.points} == {
        "Accuracy": 0.85,
        "AccuracyDrop": 0.05,
    }
    # AND one that was taken from the cache is compared with the one before it
    cached = evaluations.run("0.9")
    assert "cacheHitResult" in cached["detail"]
    assert evaluations(cached)["drop"] == pytest.approx(-0.05)
    # AND an event that comes late is about its own execution
    assert evaluations(second)["drop"] == pytest.approx(0.05)
    # AND a report that was removed is passed over
    del evaluations.workshop.s3.objects["data", "results/0.85/evaluation.json"]
    assert evaluations(cached)["drop"] == pytest.approx(0.0)
    # AND is told if it is the execution's own
    with pytest.raises(evaluations.functions.accuracy.AccuracyError, match=r"left no evaluation.json"):
        evaluations(second)


def test_cache_hit_that_names_its_source_only(
    functions: SimpleNamespace, objects: Objects, reach: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a step with no job of its own: it names the execution that it was taken from
    head = "arn:aws:sagemaker:ap-northeast-2:000000000000:pipeline/reviews-pipeline"
    job = "arn:aws:sagemaker:ap-northeast-2:000000000000:processing-job/evaluate-1"
    common = {"StepName": "Evaluate", "StepStatus": "Succeeded", "EndTime": datetime(2026, 1, 1, tzinfo=UTC)}
    steps = {
        f"{head}/execution/source": common | {"Metadata": {"ProcessingJob": {"Arn": job}}},
        f"{head}/execution/cached": common
        | {"CacheHitResult": {"SourcePipelineExecutionArn": f"{head}/execution/source"}},
    }
    output = {"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://data/results/1"}}
    sagemaker = answered(
        "sagemaker",
        ListPipelineExecutionSteps=lambda given: {
            "PipelineExecutionSteps": [steps[given["PipelineExecutionArn"]]]
        },
        ListPipelineExecutions=lambda given: {
            "PipelineExecutionSummaries": [{"PipelineExecutionArn": arn} for arn in reversed(steps)]
        },
        DescribeProcessingJob=lambda given: {"ProcessingOutputConfig": {"Outputs": [output]}},
    )
    points: list[Params] = []
    cloudwatch = answered("cloudwatch", PutMetricData=lambda given: points.append(given) or {})
    report = {"binary_classification_metrics": {"accuracy": {"value": 0.75}}}
    objects.put("results/1/evaluation.json", body=json.dumps(report).encode())
    reach(sagemaker=sagemaker, s3=objects.client, cloudwatch=cloudwatch)
    monkeypatch.setenv("PIPELINE_NAME", PIPELINE)
    monkeypatch.setenv("METRICS_NAMESPACE", NAMESPACE)
    detail = {
        "pipelineArn": head,
        "pipelineExecutionArn": f"{head}/execution/cached",
        "stepName": "Evaluate",
        "currentStepStatus": "Succeeded",
    }
    # WHEN its event comes
    answer = functions.accuracy.handler({"detail-type": STEP_CHANGE, "detail": detail}, None)
    # THEN the accuracy is that execution's
    assert (answer["accuracy"], answer["drop"]) == (0.75, 0.0)
    # AND a report that is none is told
    objects.put("results/1/evaluation.json", body=b'{"binary_classification_metrics": {}}')
    with pytest.raises(functions.accuracy.AccuracyError, match=r"no number from 0 to 1 at"):
        functions.accuracy.handler({"detail-type": STEP_CHANGE, "detail": detail}, None)


@pytest.mark.parametrize(
    "changed",
    [{"stepName": "Train"}, {"currentStepStatus": "Failed"}, {"pipelineArn": "arn:x:pipeline/others"}],
)
def test_other_steps_are_ignored(
    functions: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, changed: Params
) -> None:
    # GIVEN the event of something else
    monkeypatch.setenv("PIPELINE_NAME", PIPELINE)
    detail = {
        "pipelineArn": f"arn:x:pipeline/{PIPELINE}",
        "pipelineExecutionArn": "arn:x",
        "stepName": "Evaluate",
        "currentStepStatus": "Succeeded",
    }
    # WHEN it comes
    answer = functions.accuracy.handler({"detail-type": STEP_CHANGE, "detail": detail | changed}, None)
    # THEN nothing is looked at
    assert answer["status"] == "Ignored"
