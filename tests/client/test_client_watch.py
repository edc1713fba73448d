from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from typer.testing import Result

from client.status import AlarmStatus, EndpointStatus
from client.watch import follow
from client.watch.snapshot import Fleet, Snapshot
from client.watch.view import View
from tests.client.fakes import ScriptedAws, endpoint, stack, variants

Run = Callable[..., Result]

OUTPUTS = {
    "EndpointName": "blue-green-dev",
    "EndpointConfigName": "config-1",
    "VariantNames": "primary",
    "ModelVersion": "v1",
    "RollbackAlarmNames": "Rollback5xx,RollbackLatency",
}


def serving(config: str, status: str = "InService", **changes: Any) -> dict[str, Any]:
    return endpoint(
        EndpointName="blue-green-dev",
        EndpointConfigName=config,
        EndpointStatus=status,
        ProductionVariants=variants({"primary": 1.0}, CurrentInstanceCount=3, DesiredInstanceCount=3),
        **changes,
    )


def updating(to: str, stage: str = "Baking", status: str = "Updating") -> dict[str, Any]:
    """config-1 serves, another one is on its way."""
    stages = [{"Status": stage, "StatusMessage": f"{stage} for a while."}]
    coming = variants({"primary": 1.0}, CurrentInstanceCount=3, DesiredInstanceCount=3, VariantStatus=stages)
    pending = {
        "EndpointConfigName": to,
        "StartTime": datetime(2026, 11, 24, tzinfo=UTC),
        "ProductionVariants": coming,
    }
    return serving("config-1", status, PendingDeploymentSummary=pending)


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> ScriptedAws:
    monkeypatch.setattr(follow, "_SANDBOX_SECONDS", (0.001, 0.001))
    aws.deploy(stack("blue-green", "BlueGreenDeployment", outputs=OUTPUTS))
    aws.answers["GetMetricData"] = {
        "MetricDataResults": [
            {"Id": "m0_invocations", "Values": [30.0, 10.0]},
            {"Id": "m1_invocations", "Values": [20.0]},
            {"Id": "m1_errors_5xx", "Values": [15.0, 5.0]},
        ]
    }
    aws.answers["DescribeAlarms"] = {
        "MetricAlarms": [
            {"AlarmName": "Rollback5xx", "StateValue": "ALARM", "MetricName": "Invocation5XXErrors"},
            {"AlarmName": "RollbackLatency", "StateValue": "OK", "MetricName": "ModelLatency"},
        ]
    }
    return aws


def test_a_deployment_that_goes_all_the_way(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN a deployment that begins after a while
    deployed.answers["DescribeEndpoint"] = [
        serving("config-1"),
        serving("config-1"),
        updating("config-2", "Creating"),
        updating("config-2"),
        serving("config-2"),
    ]

    # WHEN it is watched
    result = run("watch", "blue-green")

    # THEN every stage is told, fleet by fleet, and how it ended
    assert result.exit_code == 0, result.stderr
    lines = result.stderr
    assert "v1 (serves)" in lines
    assert "…config-2 (new)" in lines
    assert "v1 (old) 66.7 % of the traffic with 0.0 % errors" in lines
    assert "33.3 % of the traffic with 100.0 % errors" in lines
    assert "Invocation5XXErrors ALARM" in lines
    assert "primary Creating: Creating for a while." in lines
    assert "primary Baking" in lines
    assert "completed after" in result.stdout
    assert "serves config-2" in result.stdout


@pytest.mark.parametrize(
    "ending",
    [
        [updating("config-2", "Deleting", "RollingBack"), serving("config-1", FailureReason="alarm fired")],
        # seen too late to catch the rollback itself
        [serving("config-1", FailureReason="alarm fired")],
    ],
)
def test_a_rollback_ends_with_status_2(deployed: ScriptedAws, run: Run, ending: list[dict[str, Any]]) -> None:
    deployed.answers["DescribeEndpoint"] = [updating("config-2"), *ending]
    result = run("watch", "blue-green", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["result"] == "rolled back"
    assert (found["wanted_config"], found["serving_config"]) == ("config-2", "config-1")
    assert found["reason"] == "alarm fired"
    assert found["last"]["alarms"] == {"Rollback5xx": "ALARM", "RollbackLatency": "OK"}


def test_an_endpoint_that_fails(deployed: ScriptedAws, run: Run) -> None:
    deployed.answers["DescribeEndpoint"] = [
        updating("config-2"),
        serving("config-1", "UpdateRollbackFailed", FailureReason="no capacity"),
    ]
    result = run("watch", "blue-green")
    assert result.exit_code == 2
    assert "failed after" in result.stdout
    assert "no capacity" in result.stdout


def test_a_deployment_that_was_over_before_it_was_seen(deployed: ScriptedAws, run: Run) -> None:
    deployed.answers["DescribeEndpoint"] = [serving("config-1"), serving("config-2")]
    result = run("watch", "blue-green")
    assert result.exit_code == 0
    assert "completed" in result.stdout


def test_shifted_weights_are_a_deployment_too(deployed: ScriptedAws, run: Run) -> None:
    deployed.answers["DescribeEndpoint"] = [serving("config-1", "Updating"), serving("config-1")]
    assert run("watch", "blue-green").exit_code == 0


def test_nothing_to_watch(deployed: ScriptedAws, run: Run) -> None:
    deployed.answers["DescribeEndpoint"] = serving("config-1")
    result = run("watch", "blue-green", "--wait", "10ms")
    assert result.exit_code == 1
    assert "No deployment of endpoint blue-green-dev began within 0.01s" in result.stderr


def test_figures_that_may_not_be_seen_are_left_out(deployed: ScriptedAws, run: Run) -> None:
    for operation in ("GetMetricData", "DescribeAlarms"):
        deployed.fail(operation, "AccessDenied", "you may not")
    deployed.answers["DescribeEndpoint"] = [updating("config-2"), serving("config-2")]
    result = run("watch", "blue-green")
    assert result.exit_code == 0, result.stderr
    assert "v1 (old) no traffic" in result.stderr


# --- the picture


def snapshot(*fleets: Fleet, **changes: Any) -> Snapshot:
    state = EndpointStatus("blue-green-dev", "Updating", "config-1", "config-1")
    alarms = (AlarmStatus("Rollback", "ALARM", "", "Invocation5XXErrors"),)
    values: dict[str, Any] = {"alarms": alarms, "stages": ("primary Baking: 카나리 굽는 중",), **changes}
    return Snapshot(state, fleets, **values)


OLD = Fleet("config-1", "old", 40, 0, 2 / 3, 3, 3)
NEW = Fleet("config-2", "new", 20, 20, 1 / 3, 1, 3)


def drawn(view: View, what: Snapshot, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(view.picture(what, 12.3))
    return capture.get().splitlines()


def test_the_picture_shows_both_fleets_alarms_and_stage() -> None:
    view = View("v1 -> v2", 3, {"config-1": "v1"}, lambda: "120 requests")
    lines = drawn(view, snapshot(OLD, NEW, notes=("[bold]alarms: denied",)))
    picture = "\n".join(lines)
    assert "v1 -> v2  blue-green-dev  Updating  12 s" in lines[0]
    for words in (
        "66.7 %",
        "33.3 %",
        "100.0 %",
        "1/3",
        "Invocation5XXErrors ALARM",
        "굽는 중",
        "120 requests",
    ):
        assert words in picture
    assert "not shown: [bold]alarms: denied" in picture
    bars = [line.count("\N{FULL BLOCK}") for line in lines if "\N{LIGHT SHADE}" in line]
    assert bars == [16, 8]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_never_wraps_so_it_does_not_jump(width: int) -> None:
    view = View("v1 -> v2", 3, {}, lambda: "긴 " * 100)
    stages = ("primary Baking: " + "매우 긴 설명 " * 30,)
    assert len(drawn(view, snapshot(OLD, NEW, stages=stages), width)) == 7


def test_on_a_terminal_one_picture_is_replaced_by_the_next() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with View("v1 -> v2", 3).drawn(console) as show:
        show(snapshot(OLD, NEW), 1)
        show(snapshot(OLD, NEW), 2)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2K" in written
    assert "\x1b[?25h" in written  # the cursor is back


def test_elsewhere_a_line_is_written_for_each_change_only() -> None:
    console = Console(file=io.StringIO(), width=100)
    with View("v1 -> v2", 3).drawn(console) as show:
        for second in range(5):
            show(snapshot(OLD, NEW), second)
        show(snapshot(OLD, NEW, stages=()), 5)
        show(snapshot(OLD, NEW, stages=()), 30)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert len(written.splitlines()) == 3
