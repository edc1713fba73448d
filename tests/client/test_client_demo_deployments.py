"""The demos that deploy: the whole story, and what must not pass for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from client import deploying, waiting
from client.ab import labelled
from client.demos import ab_test, blue_green
from client.watch import follow
from tests.client.fakes import RuntimeServer, ScriptedAws
from tests.client.simulation import AbTest, BlueGreen

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_POLL_SECONDS_SANDBOX", 0.001)
    monkeypatch.setattr(follow, "_SANDBOX_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(deploying, "_MOMENT_SECONDS", 0.01)
    monkeypatch.setattr(blue_green, "_PER_SECOND", 300.0)
    monkeypatch.setattr(blue_green, "_REQUESTS_BEFORE", 30)
    monkeypatch.setattr(ab_test, "_PER_SECOND_SANDBOX", 400.0)
    monkeypatch.setattr(ab_test, "_REQUESTS_PER_PHASE", 100)
    monkeypatch.setattr(labelled, "default_file", lambda: labelled._OWN_FILE)
    monkeypatch.setattr(ab_test, "default_file", lambda: labelled._OWN_FILE)


@pytest.fixture
def simulate(
    aws: ScriptedAws, runtime: RuntimeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Any]:
    def simulate(kind: type, *arguments: Any, **settings: Any) -> Any:
        if kind is BlueGreen:
            settings["folder"] = tmp_path
        simulated = kind(aws, runtime, *arguments, **settings)
        monkeypatch.setattr(deploying, "redeploy_words", simulated.words)
        return simulated

    return simulate


# --- blue-green


def test_a_bad_version_is_rolled_back_and_a_good_one_goes_all_the_way(
    simulate: Callable[..., Any], run: Run
) -> None:
    # GIVEN v1 serving
    simulated = simulate(BlueGreen)

    # WHEN the demo runs
    result = run("demo", "blue-green")

    # THEN v2, v3 and v1 again were deployed, the last in thirds, and the story is told
    assert result.exit_code == 0, result.stderr
    deployed = [[word for word in settings if ".version=" in word] for settings in simulated.settings]
    assert deployed == [[f"patterns.blue-green.version={version}"] for version in ("v2", "v3", "v1")]
    assert "env=dev" in simulated.settings[0]
    for setting in ("strategy=linear", "step_percent=33", "step_instances=null", "bake_seconds=180"):
        assert f"patterns.blue-green.deployment.{setting}" in simulated.settings[2]
    assert not any("deployment." in word for word in simulated.settings[0] + simulated.settings[1])
    assert "this deployment must fail" in result.stderr
    for words in (
        "rolled back",
        "completed",
        "the canary's share is 33 %",
        "alarms are in ALARM",
        "What to try",
    ):
        assert words in result.stdout


def test_the_story_for_programs(simulate: Callable[..., Any], run: Run) -> None:
    simulate(BlueGreen)
    result = run("demo", "blue-green", "--json")
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert [phase["result"] for phase in found["phases"]] == [
        "completed",
        "rolled back",
        "completed",
        "completed",
    ]
    assert [phase["serves"] for phase in found["phases"]] == ["v1", "v1", "v3", "v1"]
    failed = [phase["failed"] for phase in found["phases"]]
    assert failed[1] > 0
    assert (failed[0], failed[2], failed[3]) == (0, 0, 0)
    assert found["failed"] == failed[1] == sum(second["failed"] for second in found["per_second"])
    assert found["requests"] == sum(second["requests"] for second in found["per_second"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rolled_back": ()}, "v2, a canary: it had to be rolled back, but is completed"),
        ({"rolled_back": ("v2", "v3")}, "v3, a canary: it had to be completed, but is rolled back"),
        ({"rolled_back": ("v2", "v3")}, "v3 had to serve, but v1 does"),
        ({"raises": ()}, "no request met the bad version"),
        ({"raises": ("v2", "v3")}, "requests failed, and none may: "),
        ({"fails_after": True}, "requests failed after the rollback"),
    ],
)
def test_a_story_that_goes_otherwise_fails_the_demo(
    simulate: Callable[..., Any], run: Run, settings: dict[str, Any], words: str
) -> None:
    simulate(BlueGreen, **settings)
    result = run("demo", "blue-green")
    assert result.exit_code == 1
    assert "did not go as promised" in result.stderr
    assert words in result.stderr
    assert "What to try next" not in result.stdout


def test_what_a_former_demo_left_is_put_right_first(simulate: Callable[..., Any], run: Run) -> None:
    simulated = simulate(BlueGreen, version="v3")
    result = run("demo", "blue-green")
    assert result.exit_code == 0, result.stderr
    assert "v3 serves: deploying v1 first" in result.stderr
    assert "patterns.blue-green.version=v1" in simulated.settings[0]
    assert "patterns.blue-green.deployment.strategy=all_at_once" in simulated.settings[0]


def test_a_deployment_that_never_reaches_the_endpoint(
    simulate: Callable[..., Any], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(BlueGreen)
    words = ["sh", "-c", "echo config/dev.yaml: no version v2 >&2; exit 1"]
    monkeypatch.setattr(deploying, "redeploy_words", lambda *_, **__: words)
    result = run("demo", "blue-green")
    assert result.exit_code == 1
    assert "v2 was not deployed: its endpoint did not change" in result.stderr
    assert "config/dev.yaml: no version v2" in result.stderr


def test_a_deploy_command_that_is_not_there(
    simulate: Callable[..., Any], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(BlueGreen)
    monkeypatch.setattr(deploying, "redeploy_words", lambda *_, **__: ["/nowhere/cdk"])
    result = run("demo", "blue-green")
    assert result.exit_code == 1
    assert "/nowhere/cdk cannot be run" in result.stderr


# --- ab-test


def test_an_ab_test_from_the_first_request_to_the_dropped_loser(
    simulate: Callable[..., Any], run: Run
) -> None:
    # GIVEN two variants that judge alike
    simulated = simulate(AbTest)

    # WHEN
    result = run("demo", "ab-test")

    # THEN the weights went 50:50, 80:20, 100:0, and without a proof the newcomer was dropped
    assert result.exit_code == 0, result.stderr
    assert simulated.settings == [["env=dev", "patterns.ab-test.variants.challenger=null"]]
    assert simulated.weights == {"champion": 100.0}
    for words in (
        "weights 50 : 50",
        "weights 80 : 20",
        "weights 100 : 0",
        "TargetVariant challenger",
        "McNemar",
        "Not decided",
        "tell models apart only if they are far apart",
        "left: champion",
    ):
        assert words in result.stdout


def test_it_runs_again_after_the_loser_was_dropped(simulate: Callable[..., Any], run: Run) -> None:
    simulated = simulate(AbTest, ["champion"])
    result = run("demo", "ab-test", "--json")
    assert result.exit_code == 0, result.stderr
    assert "a variant is missing" in result.stderr
    assert simulated.settings[0] == ["env=dev"]
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert found["failed"] == 0
    assert found["variants_left"] == ["champion"]
    assert found["phases"][3]["answered"] == {"challenger": 20}


def test_weights_that_are_not_honoured_fail_the_demo(simulate: Callable[..., Any], run: Run) -> None:
    simulate(AbTest, honest=False)
    result = run("demo", "ab-test")
    assert result.exit_code == 1
    assert "champion answered 100.0 % of" in result.stderr
    assert "promised were 50.0 %" in result.stderr


def test_a_loser_that_cannot_be_dropped(simulate: Callable[..., Any], run: Run) -> None:
    simulate(AbTest).deployments_fail = True
    result = run("demo", "ab-test")
    assert result.exit_code == 1
    assert "challenger could not be dropped" in result.stderr
    assert "UPDATE_IN_PROGRESS" in result.stderr
