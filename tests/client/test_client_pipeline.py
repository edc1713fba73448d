from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Annotation
from rich.console import Console
from typer.testing import Result

from client.errors import UserError
from client.pipeline import following
from client.pipeline.definition import Definition
from client.pipeline.executions import ExecutionState, StepState
from client.pipeline.layout import lay_out
from client.pipeline.parameters import check_parameters
from client.pipeline.view import following as live_view
from tests.client.fakes import ScriptedAws, stack

Run = Callable[..., Result]

TEMPLATE = json.loads(
    (Path(__file__).resolve().parents[2] / "stacks" / "ml_pipeline.json").read_text(encoding="utf-8")
)
PIPELINE = "arn:aws:sagemaker:ap-northeast-2:000000000000:pipeline/reviews"
ARN = f"{PIPELINE}/execution/abc123"
EARLIER = f"{PIPELINE}/execution/earlier"
PACKAGE = "arn:aws:sagemaker:ap-northeast-2:000000000000:model-package/reviews/1"
OUTPUTS = {"PipelineName": "reviews", "EndpointName": "reviews-live", "ModelPackageGroupName": "reviews"}
BEGAN = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
GREEN, RED, GREY = (0xD7, 0xF0, 0xDC), (0xF9, 0xD6, 0xD5), (0xF2, 0xF2, 0xF2)


def execution(status: str, **changes: Any) -> dict[str, Any]:
    return {
        "PipelineArn": PIPELINE,
        "PipelineExecutionArn": ARN,
        "PipelineExecutionStatus": status,
        "CreationTime": BEGAN,
        "LastModifiedTime": BEGAN + timedelta(seconds=90),
        **changes,
    }


def step(name: str, status: str = "Succeeded", seconds: float = 10.0, **changes: Any) -> dict[str, Any]:
    ended = {"EndTime": BEGAN + timedelta(seconds=seconds)} if status in ("Succeeded", "Failed") else {}
    return {
        "StepName": name,
        "StepStatus": status,
        "StartTime": BEGAN,
        "AttemptCount": 1,
        "Metadata": {},
        **ended,
        **changes,
    }


def steps(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"PipelineExecutionSteps": list(listed)}


def checked(outcome: str) -> dict[str, Any]:
    return step("CheckAccuracy", Metadata={"Condition": {"Outcome": outcome}})


CACHED = {"CacheHitResult": {"SourcePipelineExecutionArn": EARLIER}}
JOBS = (step("Preprocess", seconds=0.2, **CACHED), step("Train", seconds=42.5), step("Evaluate"))
TOO_LOW = step("AccuracyTooLow", "Failed", FailureReason="the accuracy 0.81 is below 0.99")


@pytest.fixture
def deployed(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> ScriptedAws:
    monkeypatch.setattr(following, "_LOOK_SECONDS_SANDBOX", 0.001)
    aws.deploy(stack("ml-pipeline", "MlPipeline", outputs=OUTPUTS))
    text = json.dumps(TEMPLATE["definition"])
    aws.answers |= {
        "DescribePipeline": {"PipelineArn": PIPELINE, "PipelineDefinition": text},
        "DescribePipelineDefinitionForExecution": {"PipelineDefinition": text},
        "ListPipelineExecutions": {"PipelineExecutionSummaries": [{"PipelineExecutionArn": ARN}]},
        "StartPipelineExecution": {"PipelineExecutionArn": ARN},
        "DescribePipelineExecution": execution("Succeeded"),
        "ListPipelineExecutionSteps": steps(
            *JOBS,
            checked("True"),
            step("Register", Metadata={"RegisterModel": {"Arn": PACKAGE}}),
            step("Deploy"),
        ),
    }
    return aws


@pytest.fixture
def refused(deployed: ScriptedAws) -> ScriptedAws:
    """The accuracy was not enough."""
    reason = "Step failure: One or multiple steps failed."
    deployed.answers["DescribePipelineExecution"] = execution("Failed", FailureReason=reason)
    deployed.answers["ListPipelineExecutionSteps"] = steps(*JOBS, checked("False"), TOO_LOW)
    return deployed


def test_an_execution_is_started_with_parameters(deployed: ScriptedAws, run: Run) -> None:
    # WHEN it is started with two values
    result = run("pipeline", "start", "--parameter", "AccuracyThreshold=0.9", "--parameter", "InputData=a=b")

    # THEN they are sent as they are, and the execution is named
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == ARN
    (sent,) = deployed.bodies("StartPipelineExecution")
    assert sent["PipelineName"] == "reviews"
    assert sent["PipelineParameters"] == [
        {"Name": "AccuracyThreshold", "Value": "0.9"},
        {"Name": "InputData", "Value": "a=b"},
    ]


def test_all_that_is_wrong_with_parameters_is_said_at_once(deployed: ScriptedAws, run: Run) -> None:
    # WHEN five are wrong in different ways
    given = (
        "Epochs=1.5",
        "AccuracyThreshold=nan",
        "Epoch=3",
        "Seed",
        "L2=1",
        "L2=2",
        f"InputData={'x' * 1025}",
    )
    result = run("pipeline", "start", *(word for one in given for word in ("--parameter", one)))

    # THEN one message has all of them and what there is, and nothing was started
    assert result.exit_code == 1
    for part in (
        "Epochs=1.5 is not of type Integer",
        "AccuracyThreshold=nan is not of type Float",
        "no parameter 'Epoch'; did you mean 'Epochs'?",
        "'Seed' has no value: write NAME=VALUE",
        "L2 is given more than once",
        "InputData has 1,025 characters; 1,024 are allowed",
        "ModelApprovalStatus (String) = PendingManualApproval",
    ):
        assert part in result.stderr
    assert not deployed.bodies("StartPipelineExecution")


def test_parameters_by_their_declaration() -> None:
    # GIVEN a needed one, one of few values, and a Boolean
    declared = [
        {"Name": "Needed", "Type": "String"},
        {"Name": "Kind", "Type": "String", "EnumValues": ["a", "b"], "DefaultValue": "a"},
        {"Name": "Fast", "Type": "Boolean", "DefaultValue": False},
    ]

    # WHEN all fit THEN they are taken, truth as the API writes it
    values = check_parameters(declared, ["Needed=", "Kind=b", "Fast=True"])
    assert values == {"Needed": "", "Kind": "b", "Fast": "true"}

    # WHEN none does THEN each is said
    with pytest.raises(UserError) as refusal:
        check_parameters(declared, ["Kind=c", "Fast=1"])
    for part in (
        "Kind=c is not allowed: one of a, b",
        "Fast=1 is not of type Boolean",
        "Needed has no default",
    ):
        assert part in refusal.value.message


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_taken_as_its_type(whole: int, number: float) -> None:
    declared = [{"Name": "N", "Type": "Integer"}, {"Name": "F", "Type": "Float"}]
    given_ = [f"N={whole}", f"F={number!r}"]
    if len(str(whole)) <= 1024:
        assert check_parameters(declared, given_) == {"N": str(whole), "F": repr(number)}


def test_watching_from_start_to_end(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN steps that come one after the other, the training on its second attempt
    full = deployed.answers["ListPipelineExecutionSteps"]
    deployed.answers["DescribePipelineExecution"] = [
        execution("Executing"),
        execution("Executing"),
        execution("Succeeded"),
    ]
    deployed.answers["ListPipelineExecutionSteps"] = [
        steps(JOBS[0], step("Train", "Executing")),
        steps(JOBS[0], step("Train", "Executing", AttemptCount=2)),
        full,
    ]

    # WHEN it is started and waited for
    result = run("pipeline", "start", "--wait")

    # THEN every change is a line: cache hits, attempts, times, the branch that was not taken
    assert result.exit_code == 0, result.stderr
    lines = result.stderr
    assert "Preprocess Succeeded 0.2 s | cached from earlier" in lines
    assert lines.count("Preprocess") == 1
    assert "Train Executing | attempt 2" in lines
    assert "Train Succeeded 42.5 s" in lines
    assert "CheckAccuracy Succeeded 10.0 s | true" in lines
    assert "AccuracyTooLow Not taken" in lines
    # AND the outcome says what it left
    assert result.stdout.splitlines() == [
        ARN,
        "succeeded after 90.0 s: execution abc123",
        f"registered  {PACKAGE}",
        "endpoint  reviews-live",
    ]


def test_an_execution_that_failed(refused: ScriptedAws, run: Run) -> None:
    # WHEN the latest execution is watched
    result = run("pipeline", "watch")

    # THEN the outcome has the step's reason and how to go on
    assert result.exit_code == 2
    assert "failed after 90.0 s: execution abc123" in result.stdout
    assert "AccuracyTooLow  the accuracy 0.81 is below 0.99" in result.stdout
    assert f"retry-pipeline-execution --pipeline-execution-arn {ARN}" in result.stdout
    assert "Register Not taken" in result.stderr
    assert "Deploy Not taken" in result.stderr

    # AND the same for machines
    result = run("pipeline", "watch", "abc123", "--json")
    assert result.exit_code == 2
    shown = json.loads(result.stdout)
    assert (shown["execution"], shown["status"], shown["endpoint"]) == (ARN, "Failed", "reviews-live")
    by_name = {one["name"]: one for one in shown["steps"]}
    assert by_name["Preprocess"]["cached_from"] == EARLIER
    assert by_name["CheckAccuracy"]["outcome"] is False
    assert by_name["AccuracyTooLow"]["reason"] == "the accuracy 0.81 is below 0.99"


def test_an_execution_that_was_stopped(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN a stack without an endpoint, and an execution that was stopped in its training
    deployed.deploy(stack("ml-pipeline", "MlPipeline", outputs={"PipelineName": "reviews"}))
    deployed.answers["DescribePipelineExecution"] = execution("Stopped")
    deployed.answers["ListPipelineExecutionSteps"] = steps(JOBS[0], step("Train", "Stopped"))

    # WHEN it is watched THEN what came after was not reached
    result = run("pipeline", "watch", "--json")
    assert result.exit_code == 2
    shown = json.loads(result.stdout)
    assert shown["endpoint"] is None
    statuses = [one["status"] for one in shown["steps"]]
    assert statuses == ["Succeeded", "Stopped", *["Not reached"] * (len(statuses) - 2)]


def test_more_steps_than_a_page(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN the steps in two pages
    (*first, last) = deployed.answers["ListPipelineExecutionSteps"]["PipelineExecutionSteps"]
    deployed.answers["ListPipelineExecutionSteps"] = [{**steps(*first), "NextToken": "more"}, steps(last)]

    # WHEN they are shown THEN none is missing
    shown = json.loads(run("pipeline", "watch", "--json").stdout)
    assert {one["status"] for one in shown["steps"]} == {"Succeeded", "Not taken"}


def test_waiting_no_longer_than_wanted(deployed: ScriptedAws, run: Run) -> None:
    deployed.answers["DescribePipelineExecution"] = execution("Executing")
    result = run("pipeline", "watch", "--timeout", "5ms")
    assert result.exit_code == 1
    assert "abc123 has not ended within 0.005 s" in result.stderr


def test_what_cannot_be_watched(deployed: ScriptedAws, run: Run) -> None:
    # WHEN the execution is unknown THEN the latest are named
    deployed.fail("DescribePipelineExecution", "ResourceNotFound", "no such execution")
    result = run("pipeline", "watch", "xyz")
    assert result.exit_code == 1
    assert "no execution 'xyz'" in result.stderr
    assert "The latest are: abc123" in result.stderr

    # WHEN there was none yet THEN how to start one
    deployed.answers["ListPipelineExecutions"] = {"PipelineExecutionSummaries": []}
    result = run("pipeline", "watch")
    assert result.exit_code == 1
    assert "never started" in result.stderr
    assert "pipeline start" in result.stderr

    # WHEN the stack has no pipeline yet THEN that
    deployed.deploy(stack("ml-pipeline", "MlPipeline", outputs={}, StackStatus="CREATE_IN_PROGRESS"))
    result = run("pipeline", "watch")
    assert result.exit_code == 1
    assert "names no pipeline in its outputs; it is CREATE_IN_PROGRESS" in result.stderr


def test_the_picture_on_a_terminal() -> None:
    # GIVEN an execution in the middle of its training, whose reason has control characters
    states = (
        StepState("Preprocess", "Processing", "Succeeded", 0.2, 1, cached_from=EARLIER),
        StepState("Train", "Training", "Failed", 42.5, 3, reason="out\x1b[2Jof memory"),
        StepState("Evaluate", "Processing", "Waiting"),
    )
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)

    # WHEN it is drawn THEN each step has its line
    with live_view("reviews", console) as draw:
        draw(ExecutionState(ARN, "Executing", 43.0, "", states))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    for part in ("reviews  abc123  Executing  43 s", "cached from earlier", "attempt 3", "Waiting"):
        assert part in shown
    assert "out\N{REPLACEMENT CHARACTER}[2Jof memory" in shown


def test_the_picture_in_a_file(refused: ScriptedAws, run: Run, tmp_path: Path) -> None:
    # WHEN an execution that failed is drawn
    target = tmp_path / "run.png"
    result = run("pipeline", "graph", "--output", str(target))

    # THEN done, failed and not taken have their colours
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(target)
    failed = {colour: count(target, colour) for colour in (GREEN, RED, GREY)}
    assert all(failed.values())
    # four boxes of one size or larger are green, one is red
    assert failed[GREEN] > 3 * failed[RED]

    # AND WHEN one that went well is THEN nothing is red
    refused.answers["DescribePipelineExecution"] = execution("Succeeded")
    refused.answers["ListPipelineExecutionSteps"] = steps(
        *JOBS, checked("True"), step("Register"), step("Deploy")
    )
    assert run("pipeline", "graph", "abc123", "--output", str(target)).exit_code == 0
    assert count(target, RED) == 0
    assert count(target, GREEN) > failed[GREEN]


def test_the_words_of_the_picture(
    refused: ScriptedAws, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN somebody who looks at what is drawn before it becomes pixels
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))

    # WHEN an execution with a cache hit is drawn, whose condition is false
    assert run("pipeline", "graph", "--output", str(tmp_path / "run.png")).exit_code == 0

    # THEN times, cache hits and outcomes are in the boxes
    (axes,) = drawn[0].axes
    colours = {text.get_text(): text.get_color() for text in axes.texts if text.get_text()}
    for words in (
        "reviews  abc123\nFailed after 90.0 s",
        "Processing: 0.2 s, cached",
        "Training: 42.5 s",
        "Condition: 10.0 s, false",
        "Lambda: not taken",
    ):
        assert words in colours
    # AND the condition's edges say which is which, the one not taken in grey as are those behind it
    assert (colours["true"], colours["false"]) == ("#bdbdbd", "black")
    lines = [line.get_color() for line in axes.lines]
    arrows = [text.arrow_patch.get_edgecolor() for text in axes.texts if isinstance(text, Annotation)]
    assert len(lines) == len(arrows) == 6
    assert lines.count("#bdbdbd") == arrows.count(to_rgba("#bdbdbd")) == 2


def test_where_no_picture_can_be(deployed: ScriptedAws, run: Run, tmp_path: Path) -> None:
    for name, words in (("run.jpg", "must end in .png"), ("no/run.png", "there is no folder")):
        result = run("pipeline", "graph", "--output", str(tmp_path / name))
        assert result.exit_code == 1
        assert words in " ".join(result.stderr.split())
    (tmp_path / "folder.png").mkdir()
    result = run("pipeline", "graph", "--output", str(tmp_path / "folder.png"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_what_comes_before_what_in_the_committed_definition() -> None:
    # WHEN the definition is read
    definition = Definition.parse(json.dumps(TEMPLATE["definition"]))

    # THEN only direct edges are left, those of branches with their outcome
    assert {(edge.before, edge.after, edge.outcome) for edge in definition.edges()} == {
        ("Preprocess", "Train", None),
        ("Train", "Evaluate", None),
        ("Evaluate", "CheckAccuracy", None),
        ("CheckAccuracy", "Register", True),
        ("Register", "Deploy", None),
        ("CheckAccuracy", "AccuracyTooLow", False),
    }
    # AND a branch that is not taken takes its steps with it
    assert definition.not_taken({}) == set()
    assert definition.not_taken({"CheckAccuracy": False}) == {"Register", "Deploy"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ('{"Steps": [{"Type": "Fail"}]}', "cannot be read"),
        ("[]", "cannot be read"),
        (
            '{"Steps": [{"Name": "A", "Type": "Fail", "DependsOn": ["B"]},'
            ' {"Name": "B", "Type": "Fail", "DependsOn": ["A"]}]}',
            "wait for each other: ",
        ),
    ],
)
def test_a_definition_that_is_none(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Definition.parse(text)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Steps that wait for some of those before them."""
    bodies: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 9))):
        before = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        bodies.append({"Name": f"S{number}", "Type": "Lambda", "DependsOn": [f"S{one}" for one in before]})
    return Definition.parse(json.dumps({"Steps": bodies}))


@given(definitions(), st.lists(st.floats(0.5, 5.0), min_size=9, max_size=9))
def test_any_pipeline_has_its_place_on_a_picture(definition: Definition, sizes: list[float]) -> None:
    # WHEN it is laid out
    widths = dict(zip(definition.steps, sizes, strict=False))
    edges = definition.edges()
    layout = lay_out(widths, edges, gap=0.4)

    # THEN all waiting is still to be seen, and every edge leads down
    reach = {name: {name} for name in definition.steps}
    for name in definition.steps:
        for edge in edges:
            if edge.after == name:
                reach[name] |= reach[edge.before]
    for name, one in definition.steps.items():
        assert one.needs <= reach[name]
    assert all(layout.layer[edge.before] < layout.layer[edge.after] for edge in edges)
    # AND boxes are on the picture and beside each other, and no edge goes through one
    spans = {
        name: (layout.center[name] - width / 2, layout.center[name] + width / 2)
        for name, width in widths.items()
    }
    for name, (left, right) in spans.items():
        assert left >= -1e-6
        assert right <= layout.width + 1e-6
        for other, (begin, end) in spans.items():
            if other != name and layout.layer[other] == layout.layer[name]:
                assert end < left or right < begin
        for edge, route in layout.routes.items():
            at = layout.layer[name] - layout.layer[edge.before]
            if 0 < at < len(route) - 1:
                assert not left <= route[at] <= right


def count(picture: Path, colour: tuple[int, int, int]) -> int:
    """Pixels of this colour."""
    pixels = np.rint(imread(picture)[:, :, :3] * 255).astype(int)
    return int((pixels == np.array(colour)).all(axis=2).sum())
