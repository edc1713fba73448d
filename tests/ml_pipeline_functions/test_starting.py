"""An execution starts for data that have arrived, once for the same data."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.store import Params
from tests.ml_pipeline_functions.clients import Objects
from tests.sandbox_jobs.workshop import Workshop
from tests.sandbox_pipelines.definitions import Runner, lambda_step, parameter

PIPELINE, BUCKET = "reviews-pipeline", "data"
SCHEDULE = {"trigger": "schedule"}


class Start:
    """The function before a pipeline whose only step the test lets go."""

    def __init__(self, functions: SimpleNamespace, workshop: Workshop, sagemaker: Any) -> None:
        self.functions, self.sagemaker, self.workshop = functions, sagemaker, workshop
        self.go, self.fails = threading.Event(), False
        self.runner = Runner(sagemaker, workshop)
        workshop.functions.functions["work"] = self._work
        self.runner.create(
            PIPELINE, [lambda_step("Work", "work")], [parameter("InputData", default="reviews")]
        )

    def _work(self, event: Params) -> None:
        assert self.go.wait(30)
        if self.fails:
            raise RuntimeError("no")

    def __call__(self, event: Params) -> Params:
        answer: Params = self.functions.start.handler(event, None)
        assert set(answer) == {"status", "execution", "input_data", "message"}
        assert all(type(value) is str for value in answer.values())
        return answer

    def ended(self, execution: str) -> None:
        self.go.set()
        self.runner.ended(execution)

    @property
    def executions(self) -> list[Params]:
        found: list[Params] = self.sagemaker.list_pipeline_executions(PipelineName=PIPELINE)[
            "PipelineExecutionSummaries"
        ]
        return found


@pytest.fixture
def start(
    functions: SimpleNamespace,
    workshop: Workshop,
    wired: Any,
    objects: Objects,
    reach: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Start]:
    reach(sagemaker=wired, s3=objects.client)
    for name, value in {"PIPELINE_NAME": PIPELINE, "BUCKET": BUCKET, "RAW_PREFIX": "raw/"}.items():
        monkeypatch.setenv(name, value)
    start = Start(functions, workshop, wired)
    yield start
    start.go.set()


def created(key: str, bucket: str = BUCKET) -> Params:
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": 0}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def test_marker_starts_an_execution_once(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN the event of a marker in a nested folder
    event = created("raw/2026/11 월/_SUCCESS")
    # WHEN it comes
    answer = start(event)
    # THEN an execution reads that folder, and is told in one line
    assert (answer["status"], answer["input_data"]) == ("Started", "2026/11 월")
    (execution,) = start.executions
    assert execution["PipelineExecutionArn"] == answer["execution"]
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}", execution["PipelineExecutionDisplayName"])
    given = start.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=answer["execution"])
    assert given["PipelineParameters"] == [{"Name": "InputData", "Value": "2026/11 월"}]
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == "Started"
    # AND the same event does nothing, while it runs and when it has succeeded
    assert start(event)["execution"] == answer["execution"]
    start.ended(answer["execution"])
    again = start(event)
    assert (again["status"], again["execution"]) == ("AlreadyDone", answer["execution"])
    # BUT another folder does
    assert start(created("raw/2026/12/_SUCCESS"))["status"] == "Started"


def test_failed_execution_and_changed_pipeline_start_anew(start: Start) -> None:
    # GIVEN an execution that failed
    event = created("raw/reviews/_SUCCESS")
    start.fails = True
    start.ended(start(event)["execution"])
    # WHEN the data come again
    start.fails = False
    second = start(event)
    # THEN they are tried again
    assert second["status"] == "Started"
    start.ended(second["execution"])
    assert start(event)["status"] == "AlreadyDone"
    # AND again when the pipeline has changed
    start.sagemaker.update_pipeline(PipelineName=PIPELINE, PipelineDescription="other steps")
    assert start(event)["status"] == "Started"
    assert len(start.executions) == 3


def test_data_of_an_execution_without_parameters_are_the_default(start: Start) -> None:
    # GIVEN an execution that a person started without parameters
    execution = start.runner.start(PIPELINE)
    # WHEN the default's folder is complete
    answer = start(created("raw/reviews/_SUCCESS"))
    # THEN it is done already, whatever SageMaker lists of parameters that were not given
    assert (answer["status"], answer["execution"]) == ("AlreadyDone", execution)
    definition = start.sagemaker.describe_pipeline(PipelineName=PIPELINE)["PipelineDefinition"]
    assert start.functions.executions.default_data(definition) == "reviews"


def test_two_calls_at_the_same_moment_start_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN two triggers that both see no execution
    listed = threading.Barrier(2)
    newest_first = start.functions.executions.newest_first

    def both_look(pipeline: str) -> Iterator[Any]:
        found = list(newest_first(pipeline))
        listed.wait(10)
        return iter(found)

    monkeypatch.setattr(start.functions.executions, "newest_first", both_look)
    # WHEN both go on
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(start, [created("raw/new/_SUCCESS")] * 2))
    # THEN there is one execution
    assert {answer["execution"] for answer in answers} == {
        execution["PipelineExecutionArn"] for execution in start.executions
    }
    assert len(start.executions) == 1


@pytest.mark.parametrize(
    "event",
    [
        created("raw/_SUCCESS"),
        created("raw/reviews/ratings.txt"),
        created("raw/reviews/NOT_SUCCESS"),
        created("results/reviews/_SUCCESS"),
        created("raw//_SUCCESS"),
        created("raw/reviews/_SUCCESS", bucket="others"),
    ],
)
def test_other_objects_are_ignored(start: Start, event: Params) -> None:
    # GIVEN an object that is no marker
    # WHEN its event comes
    answer = start(event)
    # THEN it says what one would be
    assert answer["status"] == "Ignored"
    assert "s3://data/raw/<folder>/_SUCCESS" in answer["message"]
    assert start.executions == []


def test_schedule_takes_the_newest_folder(start: Start, objects: Objects) -> None:
    # GIVEN folders over several pages, and things that are none
    objects.put("raw/old/ratings.txt", 1)
    objects.put("raw/2026/11/ratings.txt", 5)
    objects.put("raw/2026/10/ratings.txt", 4)
    objects.put("raw/empty/", 50)
    objects.put("raw/readme.txt", 51)
    objects.put("other/x/y.txt", 52)
    # WHEN it is time
    # THEN the folder with the newest object is read
    first = start(SCHEDULE)
    assert (first["status"], first["input_data"]) == ("Started", "2026/11")
    # AND nothing happens when it is time again without new data
    start.ended(first["execution"])
    assert start(SCHEDULE)["status"] == "AlreadyDone"
    # AND as soon as there are markers, only complete folders count, with the folders in them
    objects.put("raw/old/_SUCCESS", 2)
    objects.put("raw/done/part/1.txt", 6)
    objects.put("raw/done/_SUCCESS", 1)
    objects.put("raw/incomplete/1.txt", 40)
    assert start(SCHEDULE)["input_data"] == "done"


def test_schedule_without_data(start: Start, objects: Objects, capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN an empty bucket
    # WHEN it is time
    # THEN the call fails, so that the alarm tells, and says what to do
    with pytest.raises(start.functions.start.StartError, match=r"no folder .* Upload"):
        start(SCHEDULE)
    assert json.loads(capsys.readouterr().out)["status"] == "Error"


def test_calls_that_cannot_be_done(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an unknown event, a name that is too long, and no pipeline
    with pytest.raises(ValueError, match="schedule"):
        start({})
    with pytest.raises(start.functions.start.StartError, match="shorter name"):
        start(created(f"raw/{'x' * 300}/_SUCCESS"))
    monkeypatch.setenv("PIPELINE_NAME", "none")
    # WHEN it is called
    # THEN it says what SageMaker said
    with pytest.raises(start.functions.start.StartError, match=r"none cannot be started.*does not exist"):
        start(created("raw/x/_SUCCESS"))
