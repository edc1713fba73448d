"""What a person sees at the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.home import PROJECT


def sandbox(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=PROJECT,
        env={**os.environ, "SANDBOX_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [["deploy", "realtime"], ["destroy", "x"], ["env"], ["run", "--", "true"]]
)
def test_without_a_sandbox_commands_say_how_to_start_one(tmp_path: Path, arguments: list[str]) -> None:
    # GIVEN no sandbox
    # WHEN a command needs one
    done = sandbox(tmp_path, *arguments)

    # THEN one line says what to do
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "The sandbox is not running. Start it: python -m sandbox up\n"


def test_down_and_status_without_a_sandbox_are_no_mistakes(tmp_path: Path) -> None:
    # GIVEN no sandbox
    # WHEN it is stopped or looked at
    down, status = sandbox(tmp_path / "none", "down"), sandbox(tmp_path / "none", "status", "--json")

    # THEN both say so, scripts can tell, and no folder was made
    assert (down.returncode, down.stdout) == (0, "The sandbox is not running.\n")
    assert status.returncode == 1
    assert json.loads(status.stdout)["running"] is False
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--time-scale", "0"],
        ["up", "--time-scale", "fast"],
        ["up", "--port", "99999"],
        ["up", "--max-model-servers", "0"],
        ["deploy"],
        ["nosuch"],
        ["up", "surplus"],
    ],
)
def test_wrong_usage_is_refused_before_anything_happens(tmp_path: Path, arguments: list[str]) -> None:
    # GIVEN a command with a mistake in it
    # WHEN it is called
    done = sandbox(tmp_path / "none", *arguments)

    # THEN it says how to call it, without a traceback
    assert done.returncode == 2
    assert "Usage: python -m sandbox" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()


def test_the_printed_environment_points_a_shell_at_the_sandbox(sandbox_home: Path) -> None:
    # GIVEN a shell that works in a real account
    script = (
        'eval "$("$0" -m sandbox env)"; "$0" -c "import boto3; '
        "print(boto3.client('sts').get_caller_identity()['Account'])\""
    )

    # WHEN it takes over the sandbox's environment
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable],
        cwd=PROJECT,
        env={
            **os.environ,
            "SANDBOX_HOME": str(sandbox_home),
            "AWS_PROFILE": "production",
            "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
            "HTTP_PROXY": "http://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # THEN AWS SDKs in it speak with the sandbox
    assert done.stdout.strip() == "000000000000", done.stderr


def test_run_gives_a_command_the_environment_and_gives_back_its_status(sandbox_home: Path) -> None:
    # GIVEN a running sandbox
    # WHEN commands are run in its environment
    said = sandbox(
        sandbox_home,
        "run",
        "--",
        "sh",
        "-c",
        'echo "$AWS_ACCESS_KEY_ID $AWS_PROFILE $1"; exit 7',
        "--",
        "--x",
    )
    missing = sandbox(sandbox_home, "run", "--", "no-such-command-anywhere")

    # THEN output and status are the command's own
    assert (said.returncode, said.stdout) == (7, "000000000000  --x\n")
    assert missing.returncode == 1
    assert missing.stderr == "There is no command 'no-such-command-anywhere'.\n"


def test_status_tells_ports_endpoints_and_processes(sandbox_home: Path) -> None:
    # GIVEN a running sandbox
    # WHEN it is asked for its status
    text, machine = sandbox(sandbox_home, "status"), sandbox(sandbox_home, "status", "--json")

    # THEN people and programs get the same
    found = json.loads(machine.stdout)
    assert found["healthy"] is True
    assert found["gateway"] in text.stdout
    assert found["runtime"] in text.stdout
    assert "No endpoints." in text.stdout
    assert found["endpoints"] == []
    assert found["processes"][0]["pid"] == found["pid"]
    assert found["memory_bytes"] > 10_000_000


def test_a_context_value_without_a_key_is_refused(sandbox_home: Path) -> None:
    # GIVEN a running sandbox
    # WHEN a pattern is deployed with a malformed context value
    done = sandbox(sandbox_home, "deploy", "realtime", "-c", "prod", "-c", "=x")

    # THEN both are named
    assert done.returncode == 1
    assert done.stderr == "A context value looks like key=value, not 'prod', '=x'.\n"
