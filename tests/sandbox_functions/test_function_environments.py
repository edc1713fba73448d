"""Execution environments come and go: killed, idle, of another configuration, deleted, at the end."""

from __future__ import annotations

import os
import signal
from concurrent.futures import wait
from pathlib import Path

import psutil
import pytest

from sandbox.functions.images import ImageStore
from tests.sandbox_functions.function_world import SCOPE, WAITS, World, answer, error


def test_an_environment_killed_at_work_fails_its_call_only(world: World) -> None:
    # GIVEN two calls at work
    config = world.config(WAITS)
    calls, gate = world.work(config, 2)
    killed = world.pids[0]

    # WHEN the process of one is killed
    os.kill(killed, signal.SIGKILL)
    world.until("one failed", lambda: any(call.done() for call in calls))
    gate.touch()

    # THEN that call fails as documented, the other is answered
    outcomes = [call.result(30) for call in calls]
    failed = [outcome for outcome in outcomes if outcome.error_type]
    assert len(failed) == 1
    assert error(failed[0])["errorType"] == "Runtime.ExitError"
    assert "signal: killed" in error(failed[0])["errorMessage"]
    # AND the next calls do not meet the dead one
    assert killed not in {answer(world.call(config)) for _ in range(3)}


def test_an_idle_environment_that_was_killed_is_replaced(world: World) -> None:
    # GIVEN a warm environment
    config = world.config(WAITS)
    first = answer(world.call(config))

    # WHEN it is killed while nobody calls, and that is seen
    os.kill(first, signal.SIGKILL)
    world.until("it gone", lambda: not world.pids)

    # THEN the next call is answered by another
    assert answer(world.call(config)) != first


def test_idle_environments_go_after_a_while(world: World) -> None:
    # GIVEN two environments at work
    config = world.config(WAITS)
    calls, gate = world.work(config, 2)
    processes = [psutil.Process(pid) for pid in world.pids]
    assert len(processes) == 2

    # WHEN they are done and nobody calls for five of AWS's minutes; THEN they end, with their folders
    gate.touch()
    wait(calls)
    world.until("no environment", lambda: not world.pids)
    world.until("no process", lambda: not any(each.is_running() for each in processes))
    assert not list((world.folder / "functions").glob("environment-*"))
    # AND the next call starts one
    assert answer(world.call(config))


def test_another_configuration_has_environments_of_its_own(world: World) -> None:
    # GIVEN a warm environment
    image = world.image("import os\ndef handler(event, context): return [os.getpid(), os.environ['A']]")
    first = world.config(image, Environment={"Variables": {"A": "1"}})
    pid, _ = answer(world.call(first))

    # WHEN a variable changes, and back
    changed = answer(world.call(world.config(image, Environment={"Variables": {"A": "2"}})))

    # THEN it is not seen by the old one
    assert changed[0] != pid
    assert changed[1] == "2"
    assert answer(world.call(first)) == [pid, "1"]


def test_a_deleted_function_leaves_no_process(world: World) -> None:
    # GIVEN a function with an idle environment and one at work
    config = world.config(WAITS)
    calls, gate = world.work(config, 2)
    processes = [psutil.Process(pid) for pid in world.pids]
    assert len(processes) == 2
    gate.touch()
    wait(calls)
    (at_work,), gate = world.work(config, 1)

    # WHEN it is deleted
    world.functions.forget(SCOPE, "task")

    # THEN the call is answered, and then no process is left
    gate.touch()
    assert answer(at_work.result(30))
    world.until("no process", lambda: not any(each.is_running() for each in processes))


def test_no_process_and_no_caller_outlives_the_sandbox(store: ImageStore, tmp_path: Path) -> None:
    # GIVEN a function at work, a deleted one that still is, and one that is being initialised
    with World(tmp_path / "ending", store) as ending:
        calls, _ = ending.work(ending.config(WAITS), 1)
        calls += ending.work(ending.config(WAITS, FunctionName="deleted"), 1)[0]
        ending.functions.forget(SCOPE, "deleted")
        config = ending.config("import time\ntime.sleep(60)\n", FunctionName="starting")
        calls.append(ending.call_later(config))
        ending.until("it started", lambda: ending.functions.processes().get("starting:$LATEST"))
        folder = str(tmp_path / "ending")
        children = psutil.Process().children()
        processes = [each for each in children if folder in " ".join(each.cmdline())]
        assert len(processes) == 3

    # WHEN the sandbox has ended; THEN each caller was told, and no process is left
    assert [error(call.result(1))["errorType"] for call in calls] == ["Runtime.ExitError"] * 3
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive
    with pytest.raises(RuntimeError, match="not running"):
        ending.call(config)
