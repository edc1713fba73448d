"""Calls at the same time: each alone, up to a limit, with environments started ahead."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sandbox.functions.calls import Throttled
from sandbox.functions.images import ImageStore
from tests.sandbox_functions.function_world import SCOPE, WAITS, World, answer, error


def test_fifty_calls_at_once_are_all_answered_each_alone_in_its_process(world: World) -> None:
    # GIVEN a handler that notices a second event at the same time
    config = world.config(
        """
        import os, time
        busy = False
        def handler(event, context):
            global busy
            alone, busy = not busy, True
            time.sleep(0.05)
            busy = False
            return [event, alone, os.getpid()]
        """,
        Timeout=30,
    )

    # WHEN 50 come at once
    calls = [world.call_later(config, number) for number in range(50)]

    # THEN each gets its own answer, nobody shared a process with another at the same time
    answers = [answer(call.result(60)) for call in calls]
    assert [number for number, _, _ in answers] == list(range(50))
    assert all(alone for _, alone, _ in answers)
    # AND there were several of them, but not one for each: who became free took the next
    assert 1 < len({pid for _, _, pid in answers}) <= 50
    assert max(world.metrics.of("ConcurrentExecutions", FunctionName="task")) > 1


def test_calls_beyond_the_reserved_concurrency_are_throttled(world: World) -> None:
    # GIVEN a function with two calls at the same time at most, both taken
    config = world.config(WAITS)
    taken, gate = world.work(config, 2, reserved=2)

    # WHEN a third comes
    with pytest.raises(Throttled) as throttled:
        world.call(config, reserved=2)

    # THEN it is refused for the function's limit and counted; the others are answered, and then the next
    assert throttled.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert world.metrics.of("Throttles", FunctionName="task") == [1]
    gate.touch()
    assert len({answer(call.result(30)) for call in taken}) == 2
    assert answer(world.call(config, reserved=2))


def test_calls_beyond_the_accounts_concurrency_are_throttled(store: ImageStore, tmp_path: Path) -> None:
    # GIVEN an account with one call at the same time, taken by one function
    with World(tmp_path / "small", store, account_concurrency=1) as small:
        (taken,), gate = small.work(small.config(WAITS), 1)

        # WHEN another function is called; THEN it is refused for the account's limit
        with pytest.raises(Throttled) as throttled:
            small.call(small.config(WAITS, FunctionName="other"))
        assert throttled.value.reason == "ConcurrentInvocationLimitExceeded"
        gate.touch()
        assert answer(taken.result(30))


def test_environments_started_ahead_are_warm_and_stay(world: World) -> None:
    # GIVEN a version with two environments started ahead
    config = world.config(WAITS, Version="1")
    config["FunctionArn"] += ":live"
    world.functions.provision(config, SCOPE, 2)
    world.until("two environments", lambda: world.functions.provisioned(config, SCOPE) == (2, ""))
    ahead = set(world.pids)

    # WHEN three calls come at once
    calls, gate = world.work(config, 3)
    gate.touch()
    answers = [answer(call.result(30)) for call in calls]

    # THEN two met a warm one, the third spilled over
    assert len(ahead & set(answers)) == 2
    alias = {"FunctionName": "task", "Resource": "task:live"}
    assert len(world.metrics.of("ProvisionedConcurrencyInvocations", **alias)) == 2
    assert len(world.metrics.of("ProvisionedConcurrencySpilloverInvocations", **alias)) == 1
    assert max(world.metrics.of("ProvisionedConcurrencyUtilization", **alias)) == 1.0
    # AND they outlive idleness, the other does not; one that is killed comes again
    world.until("the third gone", lambda: set(world.pids) == ahead)
    os.kill(min(ahead), signal.SIGKILL)
    world.until(
        "another one",
        lambda: world.functions.provisioned(config, SCOPE) == (2, "") and min(ahead) not in world.pids,
    )
    # AND when they are wanted no longer they go as the others do
    world.functions.provision(config, SCOPE, 0)
    world.until("none", lambda: not world.pids)


def test_environments_that_cannot_be_started_ahead_are_told_and_not_tried_forever(world: World) -> None:
    # GIVEN a version that does not start
    config = world.config("import no_such_module", Version="1")

    # WHEN environments are to be started ahead
    world.functions.provision(config, SCOPE, 2)

    # THEN the reason is told, and it is not tried again and again
    world.until("the reason", lambda: world.functions.provisioned(config, SCOPE)[1])
    available, reason = world.functions.provisioned(config, SCOPE)
    assert (available, reason.partition(":")[0]) == (0, "Runtime.ImportModuleError")
    world.until("no process", lambda: not world.pids)
    tries = world.logs.text.count("INIT_REPORT")
    assert 1 <= tries <= 2
    # AND a call is one try more, on demand, with the same reason
    assert error(world.call(config))["errorType"] == "Runtime.ImportModuleError"
    world.until("no process", lambda: not world.pids)
    assert world.logs.text.count("INIT_REPORT") == tries + 1
