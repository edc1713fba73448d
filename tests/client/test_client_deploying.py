from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from client import deploying
from client.commands import redeploy_command, redeploy_words
from client.connection import Connection
from client.deploying import Deployment
from client.patterns import DeployedPattern
from tests.client.simulation import EVENT

STACK = DeployedPattern("blue-green", "dev", "BlueGreenDeployment", "CREATE_COMPLETE")


def scripted(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(deploying, "redeploy_words", lambda *_, **__: [sys.executable, "-c", script])


def test_the_words_go_to_the_sandbox_or_to_the_cdk_without_a_shell() -> None:
    settings = ["env=dev", "patterns.blue-green.version=v2; rm -rf /"]
    local = redeploy_words("blue-green", "BlueGreenDeployment", settings, in_sandbox=True)
    assert local == [
        sys.executable,
        "-m",
        "sandbox",
        "deploy",
        "blue-green",
        "-c",
        settings[0],
        "-c",
        settings[1],
    ]
    remote = redeploy_words("blue-green", "BlueGreenDeployment", settings, in_sandbox=False)
    assert Path(remote[0]).name == "cdk"
    assert remote[1:6] == ["deploy", "BlueGreenDeployment", "-c", settings[0], "-c"]
    assert "--require-approval=never" in remote


def test_the_command_that_a_person_sees_is_quoted() -> None:
    shown = redeploy_command("blue-green", "BlueGreenDeployment", ["a=b c"], in_sandbox=False)
    assert shown == ".venv/bin/cdk deploy BlueGreenDeployment -c 'a=b c'"


def test_what_it_does_and_what_it_said_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a command that tells an event in colours, something else, and fails
    scripted(
        monkeypatch, f"print('\\x1b[1m' + {EVENT!r} + '\\x1b[0m'); print('Outputs:'); raise SystemExit(3)"
    )

    # WHEN
    with Deployment(Connection(), STACK) as deployment:
        status = deployment.wait()

    # THEN
    assert status == 3
    assert deployment.doing == "UPDATE_IN_PROGRESS AWS::SageMaker::Endpoint Endpoint"
    assert deployment.words() == f"{EVENT}\nOutputs:"


def test_nothing_is_left_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # GIVEN a deployment that takes long and one that does not listen
    stubborn = f"signal.signal({int(signal.SIGINT)}, signal.SIG_IGN); " if os.name == "posix" else ""
    monkeypatch.setattr(deploying, "_PATIENCE_SECONDS", 0.5)
    for prefix in ("", stubborn):
        ready = tmp_path / f"ready-{bool(prefix)}"
        scripted(
            monkeypatch,
            f"import pathlib, signal, time; {prefix}pathlib.Path({str(ready)!r}).touch(); time.sleep(60)",
        )
        # WHEN the caller gives up before its end
        with Deployment(Connection(), STACK) as deployment:
            while not ready.exists():
                time.sleep(0.01)
            assert deployment.running
        # THEN it has ended
        assert not deployment.running
