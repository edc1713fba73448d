"""Whatever is wrong with account, keys or network: one message, exit status 1, no traceback."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from typer.testing import Result

from client.errors import UserError, explain
from tests.client.fakes import ScriptedAws

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        ("ExpiredToken", "credentials have expired", "aws sso login"),
        ("ExpiredTokenException", "credentials have expired", "AWS_PROFILE"),
        ("InvalidClientTokenId", "does not accept these credentials", "aws sso login"),
        ("SignatureDoesNotMatch", "does not accept these credentials", "-m sandbox run --"),
        ("AccessDenied", "Not allowed: DescribeStacks was denied", "permission"),
        ("Throttling", "throttled", "try again"),
        ("SomethingNew", "DescribeStacks failed with SomethingNew: because", ""),
    ],
)
def test_a_refusal_of_aws(aws: ScriptedAws, run: Run, code: str, words: str, hint: str) -> None:
    aws.fail("DescribeStacks", code, "because")
    result = run("status")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert words in result.stderr
    assert "because" in result.stderr
    assert hint in result.stderr


def test_no_credentials(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = run("status")
    assert result.exit_code == 1
    assert "No AWS credentials were found" in result.stderr
    assert "-m sandbox run -- " in result.stderr


def test_half_the_credentials(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = run("status")
    assert result.exit_code == 1
    assert "missing: AWS_SECRET_ACCESS_KEY" in result.stderr


@pytest.mark.parametrize("region", [None, "not a region"])
def test_no_usable_region(run: Run, monkeypatch: pytest.MonkeyPatch, region: str | None) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region:
            monkeypatch.setenv(name, region)
        else:
            monkeypatch.delenv(name)
    result = run("status")
    assert result.exit_code == 1
    assert "No usable AWS Region" in result.stderr
    assert "AWS_REGION" in result.stderr


def test_a_profile_that_does_not_exist(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    result = run("status")
    assert result.exit_code == 1
    assert "nobody" in result.stderr
    assert "AWS_PROFILE" in result.stderr


def test_the_sandbox_is_not_running(run: Run) -> None:
    # GIVEN an endpoint URL on loopback where nothing listens
    result = run("status")
    assert result.exit_code == 1
    assert "Cannot reach the service" in result.stderr
    assert "-m sandbox up" in result.stderr


def test_an_endpoint_url_that_is_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    result = run("status")
    assert result.exit_code == 1
    assert "AWS_ENDPOINT_URL" in result.stderr


def _all_errors(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(one for child in root.__subclasses__() for one in _all_errors(child))]


class _AnyDetails(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return key


@pytest.mark.parametrize("kind", _all_errors(exceptions.BotoCoreError), ids=lambda kind: kind.__name__)
def test_every_error_of_botocore_has_words(kind: type[Exception]) -> None:
    # GIVEN an error of each class that botocore has, with whatever details its message wants
    error = kind.__new__(kind)
    Exception.__init__(error, str(getattr(kind, "fmt", "")).format_map(_AnyDetails()))

    # THEN it is put into words
    assert isinstance(explain(error), UserError)


def test_a_bug_is_not_dressed_up() -> None:
    assert explain(KeyError("x")) is None
    assert explain(ValueError("something else")) is None


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    # GIVEN a command that is waiting for input
    process = subprocess.Popen(
        [sys.executable, "-m", "client", "invoke", "realtime", "--file", "-", "--content-type", "text/plain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONFAULTHANDLER": "0"},
    )
    with process:
        assert process.stdin is not None
        # more than a pipe holds gets through only when the other side has begun to read; when nothing is left
        # in the pipe, it waits for more
        process.stdin.write(b"x" * 200_000)
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while _left_in(process.stdin.fileno()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

        # WHEN it is interrupted
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    # THEN it ends at once, without a traceback
    assert process.returncode == 130, errors.decode()
    assert b"Traceback" not in errors


def _left_in(pipe: int) -> int:
    """Bytes that nobody has read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
