"""The sandbox's folder, its state and the environment that programs get."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sandbox import home as home_module
from sandbox.errors import SandboxError
from sandbox.home import Home, State

STATE = State(
    pid=4711,
    created=1.5,
    gateway_port=24566,
    runtime_port=24567,
    time_scale=60.0,
    max_model_servers=24,
    started="2026-11-24T00:00:00+00:00",
)


def test_the_folder_belongs_to_the_project_around_the_current_folder(tmp_path: Path) -> None:
    # GIVEN a project with a folder in it
    inner = tmp_path / "project" / "docs"
    inner.mkdir(parents=True)
    (tmp_path / "project" / "cdk.json").touch()

    # WHEN a command runs in it
    # THEN it means the project's sandbox, or what SANDBOX_HOME says
    assert Home.locate({}, inner).path == tmp_path / "project" / ".sandbox"
    assert Home.locate({"SANDBOX_HOME": str(tmp_path / "other")}, inner).path == tmp_path / "other"
    assert Home.locate({}, tmp_path).path == tmp_path / ".sandbox"


def test_state_is_read_as_written_and_nobody_else_can_read_the_folder(tmp_path: Path) -> None:
    # GIVEN a folder that does not exist yet
    home = Home(tmp_path / "deep" / "sandbox")

    # WHEN a state is written
    home.write_state(STATE)

    # THEN it is read as it was, and no draft is left
    assert home.read_state() == STATE
    assert [path.name for path in home.path.glob("state*")] == ["state.json"]
    assert home.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": 1}', '"text"', "\x00\x01"])
def test_a_state_file_that_cannot_be_read_counts_as_none(tmp_path: Path, content: str) -> None:
    # GIVEN a damaged state file
    home = Home(tmp_path)
    home.state_file.write_text(content)

    # WHEN it is read
    # THEN there is no sandbox, and no error
    assert home.read_state() is None


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    # GIVEN a file where the folder's parent should be
    (tmp_path / "file").touch()

    # WHEN the folder is made
    with pytest.raises(SandboxError) as refused:
        Home(tmp_path / "file" / "sandbox").make()

    # THEN the message says where and what to do
    assert str(tmp_path / "file") in str(refused.value)
    assert "SANDBOX_HOME" in str(refused.value)


def test_programs_get_the_sandbox_and_nothing_of_the_developers_aws(tmp_path: Path) -> None:
    # GIVEN a developer's environment with a real account in it, and a proxy
    base = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ENDPOINT_URL_S3": "https://elsewhere",
        "CDK_DEFAULT_ACCOUNT": "123456789012",
        "HTTPS_PROXY": "http://proxy:8080",
        "no_proxy": "intranet",
        "EDITOR": "vi",
    }
    home = Home(tmp_path)

    # WHEN a program's environment is made from it
    environment = home.child_environment(STATE, base)

    # THEN only the sandbox is in it, files that are looked up are the sandbox's, and loopback has no proxy
    assert {name for name in base if name in environment} == {"HTTPS_PROXY", "no_proxy", "EDITOR"}
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:24566"
    assert environment["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] == "http://127.0.0.1:24567"
    assert environment["AWS_ACCESS_KEY_ID"] == "000000000000"
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CDK_HOME"):
        assert Path(environment[name]).is_relative_to(tmp_path)
    assert environment["NO_PROXY"].split(",") == ["intranet", "127.0.0.1", "localhost"]
    assert "HOME" not in home.client_environment(STATE, base)


def test_two_commands_do_not_work_on_a_folder_at_the_same_time(tmp_path: Path) -> None:
    # GIVEN a command that holds the lock, on another thread
    home, held, told = Home(tmp_path), threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        with home.locked("process"):
            held.set()
            told.wait(10)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)

    # WHEN a second one wants it
    with home.locked("process", lambda text: told.set()):
        order.append("second")
    thread.join()

    # THEN it has waited, and said so
    assert told.is_set()
    assert order == ["first", "second"]


def test_a_lock_that_is_not_given_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a command that hangs
    monkeypatch.setattr(home_module, "LOCK_PATIENCE", 0.05)
    home = Home(tmp_path)
    with home.locked("process"):
        # WHEN another one has waited long enough
        # THEN it says who is in the way
        refused = pytest.raises(SandboxError, match="Another sandbox command has been at work in")
        with refused, home.locked("process"):
            pass
        # AND other purposes are free
        with home.locked("deploy"):
            pass
