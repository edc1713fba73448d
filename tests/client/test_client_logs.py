from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from typer.testing import Result

from client import logs
from tests.client.fakes import ScriptedAws, stack

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_POLL_SECONDS", 0.001)
    aws.deploy(stack())


def log_event(number: int) -> dict[str, object]:
    return {
        "eventId": str(number),
        "timestamp": int(time.time() * 1000),
        "logStreamName": "primary/i-1",
        "message": f"line {number} [bold]\n",
    }


def test_log_lines_of_all_pages(aws: ScriptedAws, run: Run) -> None:
    aws.answers["FilterLogEvents"] = [
        {"events": [log_event(1), log_event(2)], "nextToken": "more"},
        {"events": [log_event(3)]},
    ]
    result = run("logs", "realtime", "--json")
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line)["eventId"] for line in result.stdout.splitlines()] == ["1", "2", "3"]
    [first, *_] = [params["body"] for name, params in aws.calls if name == "FilterLogEvents"]
    assert b"/aws/sagemaker/Endpoints/realtime-dev" in first


def test_following_shows_each_line_once_until_interrupted(aws: ScriptedAws, run: Run) -> None:
    # GIVEN looks that overlap, and then a Ctrl-C
    aws.answers["FilterLogEvents"] = [
        {"events": [log_event(1)]},
        {"events": [log_event(1), log_event(2)]},
        {"events": [log_event(2)]},
        KeyboardInterrupt(),
    ]
    result = run("logs", "realtime", "--follow")
    assert result.exit_code == 130
    assert [line.split("line ")[1] for line in result.stdout.splitlines()] == ["1 [bold]", "2 [bold]"]


def test_no_log_group_and_no_lines(aws: ScriptedAws, run: Run) -> None:
    aws.fail("FilterLogEvents", "ResourceNotFoundException", "no")
    missing = run("logs", "realtime")
    assert missing.exit_code == 1
    assert "/aws/sagemaker/Endpoints/realtime-dev does not exist" in missing.stderr

    aws.answers["FilterLogEvents"] = {"events": []}
    empty = run("logs", "realtime", "--since", "5m")
    assert empty.exit_code == 0
    assert "nothing was logged" in empty.stderr
