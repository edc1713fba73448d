"""Starting and ending the sandbox's process, whatever happened before or happens meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox import ports, supervisor
from sandbox.errors import SandboxError
from sandbox.home import PROJECT, Home, State
from sandbox.supervisor import Options

FreePort = Callable[[], int]
WaitFor = Callable[..., Any]


def quiet(text: str) -> None:
    pass


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def up(home: Home, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up", *arguments],
        cwd=PROJECT,
        env={**os.environ, "SANDBOX_HOME": str(home.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_sandbox_starts_answers_and_ends_without_a_trace(
    home: Home, free_port: FreePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a developer with a real account in the environment
    monkeypatch.setenv("AWS_PROFILE", "production")
    port = free_port()

    # WHEN the sandbox is started, twice
    state, started = supervisor.up(home, Options(port=port, time_scale=2.0), quiet)
    again, started_again = supervisor.up(home, Options(), quiet)

    # THEN there is one, it answers, and knows nothing of that account
    assert (started, started_again, again) == (True, False, state)
    assert state.gateway_port == port
    assert supervisor.is_healthy(state)
    assert not is_free(state.runtime_port)
    assert "AWS_PROFILE" not in psutil.Process(state.pid).environ()
    listening = {
        connection.laddr[0]
        for connection in psutil.Process(state.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}

    # AND WHEN it is stopped, twice
    assert supervisor.down(home, quiet) is True
    assert supervisor.down(home, quiet) is False

    # THEN process, ports and state are gone
    assert not lives(state.pid)
    assert is_free(state.gateway_port)
    assert is_free(state.runtime_port)
    assert supervisor.running(home) is None
    assert not home.state_file.exists()


def test_a_running_sandbox_is_not_changed_by_up(home: Home, free_port: FreePort) -> None:
    # GIVEN a running sandbox
    state, _ = supervisor.up(home, Options(port=free_port()), quiet)

    # WHEN up asks for other settings
    with pytest.raises(SandboxError) as refused:
        supervisor.up(home, Options(time_scale=60.0, max_model_servers=3), quiet)

    # THEN every difference is told, with what it is and what to do, and the sandbox runs on
    message = str(refused.value)
    assert "--time-scale 1.0" in message
    assert "--max-model-servers 24" in message
    assert "--port" not in message
    assert "python -m sandbox down" in message
    assert supervisor.is_healthy(state)


def test_two_folders_give_two_sandboxes(home: Home, tmp_path: Path, free_port: FreePort) -> None:
    # GIVEN a running sandbox
    first, _ = supervisor.up(home, Options(port=free_port()), quiet)
    other = Home(tmp_path / "other")

    # WHEN another one is started in another folder, and the first one is stopped
    try:
        second, _ = supervisor.up(other, Options(port=free_port()), quiet)
        supervisor.down(home, quiet)

        # THEN the second one has ports of its own and still answers
        assert {first.gateway_port, first.runtime_port}.isdisjoint({second.gateway_port, second.runtime_port})
        assert supervisor.is_healthy(second)
    finally:
        supervisor.down(other, quiet)


def test_two_starts_at_once_make_one_sandbox(home: Home, free_port: FreePort) -> None:
    # GIVEN nothing
    # WHEN two commands start a sandbox in the same folder at once
    port = str(free_port())
    commands = [up(home, "--port", port) for _ in range(2)]
    said = [command.communicate(timeout=60)[0] for command in commands]

    # THEN one has started it and the other has found it
    assert [command.returncode for command in commands] == [0, 0]
    assert sorted("already up" in text for text in said) == [False, True]


def test_a_port_that_is_taken_is_refused_by_name(home: Home, free_port: FreePort) -> None:
    # GIVEN a server on a port
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        # WHEN a sandbox is to have that port
        with pytest.raises(SandboxError, match=f"Port {port} is taken.*leave --port out"):
            supervisor.up(home, Options(port=port), quiet)

    # THEN nothing was started
    assert supervisor.running(home) is None


def test_without_a_wish_the_next_free_port_is_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a server on the usual port
    with socket.create_server(("127.0.0.1", 0)) as server:
        usual = server.getsockname()[1]
        monkeypatch.setattr(ports, "DEFAULT_PORT", usual)

        # WHEN a sandbox is started
        state, _ = supervisor.up(home, Options(), quiet)

    # THEN it has others
    assert usual < state.gateway_port < state.runtime_port


def test_a_port_that_is_taken_meanwhile_is_not_the_end(
    home: Home, free_port: FreePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a port that looks free and is not, as when two sandboxes start at the same moment
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken, free, runtime = server.getsockname()[1], free_port(), free_port()
        choices = iter([(taken, runtime), (free, runtime)])
        monkeypatch.setattr(ports, "choose_ports", lambda wanted: next(choices))
        told: list[str] = []

        # WHEN a sandbox is started
        state, _ = supervisor.up(home, Options(), told.append)

    # THEN it says so and takes the next
    assert state.gateway_port == free
    assert any("taken meanwhile" in text for text in told)


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_killed_sandbox_is_noticed_and_cleaned_up(
    home: Home, free_port: FreePort, wait_for: WaitFor, command: str
) -> None:
    # GIVEN a sandbox whose process was killed
    dead, _ = supervisor.up(home, Options(port=free_port()), quiet)
    os.kill(dead.pid, signal.SIGKILL)
    wait_for("the end of the process", lambda: not lives(dead.pid))

    # WHEN the next command comes
    # THEN it goes about its work
    if command == "down":
        supervisor.down(home, quiet)
        assert not home.state_file.exists()
    else:
        state, started = supervisor.up(home, Options(port=dead.gateway_port), quiet)
        assert started
        assert state.pid != dead.pid


def test_what_a_killed_sandbox_has_left_is_ended(home: Home, wait_for: WaitFor) -> None:
    # GIVEN a process whose session leader, a sandbox, is gone
    orphan_code = "import signal; signal.pause()"  # it does not read: tests may have no standard input
    script = (
        "import subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', '{orphan_code}'], stdout=subprocess.DEVNULL); "
        "print(child.pid)"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    orphan = int(leader.communicate(timeout=30)[0])
    home.write_state(_state(leader.pid, created=1.0))
    assert lives(orphan)

    # WHEN the sandbox is stopped
    supervisor.down(home, quiet)

    # THEN the orphan has ended
    wait_for("the end of the orphan", lambda: not lives(orphan), seconds=10)


def test_a_process_that_has_got_the_number_of_a_dead_sandbox_is_left_alone(home: Home) -> None:
    # GIVEN a state whose process number belongs to somebody else by now, with children
    somebody = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        home.write_state(_state(somebody.pid, created=1.0))

        # WHEN the sandbox is stopped
        ended = supervisor.down(home, quiet)

        # THEN nothing was ended, and the state is forgotten
        assert ended is False
        assert somebody.poll() is None
        assert not home.state_file.exists()
    finally:
        somebody.communicate(timeout=10)


def test_a_process_that_ignores_sigterm_is_killed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a sandbox's process that does not want to end
    monkeypatch.setattr(supervisor, "STOP_GRACE", 0.2)
    script = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); input()"
    )
    stubborn = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == "ready\n"
    home.write_state(_state(stubborn.pid, created=psutil.Process(stubborn.pid).create_time()))

    # WHEN it is stopped
    supervisor.down(home, quiet)

    # THEN it has ended
    assert not lives(stubborn.pid)
    stubborn.communicate(timeout=10)


def test_a_start_that_fails_shows_the_log_and_leaves_nothing(
    home: Home, tmp_path: Path, free_port: FreePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN an installation in which the server cannot be found
    monkeypatch.setattr(supervisor, "PROJECT", tmp_path)

    # WHEN a sandbox is started
    with pytest.raises(SandboxError) as failed:
        supervisor.up(home, Options(port=free_port()), quiet)

    # THEN the message has the last lines of the log, and there is no sandbox
    assert "ended with status 1" in str(failed.value)
    assert "No module named" in str(failed.value)
    assert home.read_state() is None


def test_an_interrupted_start_leaves_nothing_running(
    home: Home, free_port: FreePort, wait_for: WaitFor
) -> None:
    # GIVEN a start that is under way
    command = up(home, "--port", str(free_port()))
    state = wait_for("the process", home.read_state)

    # WHEN it is interrupted
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=60)

    # THEN it ends as interrupted programs do, without a traceback, and its process is gone
    assert command.returncode == 130
    assert "Traceback" not in said
    assert not lives(state.pid)
    assert home.read_state() is None


def test_the_process_ends_by_itself_on_sigterm(home: Home, free_port: FreePort, wait_for: WaitFor) -> None:
    # GIVEN a running sandbox
    state, _ = supervisor.up(home, Options(port=free_port()), quiet)

    # WHEN it gets SIGTERM from somewhere
    os.kill(state.pid, signal.SIGTERM)

    # THEN it ends
    wait_for("its end", lambda: not lives(state.pid), seconds=20)


def _state(pid: int, *, created: float) -> State:
    return replace(
        State(0, 0.0, 1, 2, time_scale=1.0, max_model_servers=1, started=""), pid=pid, created=created
    )
