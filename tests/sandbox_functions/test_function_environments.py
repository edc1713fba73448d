"""Execution environments: what a handler finds, how many there are, and when they come and go."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import wait

import psutil
import pytest

from sandbox.functions.calls import Throttled
from sandbox.functions.images import ImageStore
from tests.sandbox_functions.function_world import BASE, SCOPE, World, answer, error

WHO = """
import os, time
def handler(event, context):
    time.sleep(event or 0)
    return os.getpid()
"""


def test_a_handler_finds_what_lambda_gives_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a function with variables of its own and of its image, and a developer with secrets
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    code = """
        import logging, os, sys, time
        STARTED = time.time()
        logging.getLogger().setLevel(logging.INFO)
        def handler(event, context):
            logging.info("asked")
            return {
                "environment": dict(os.environ),
                "folder": os.getcwd(),
                "path": sys.path,
                "started": STARTED,
                "event": event,
                "context": {
                    name: getattr(context, name)
                    for name in (
                        "aws_request_id", "function_name", "function_version", "memory_limit_in_mb",
                        "log_group_name", "log_stream_name", "invoked_function_arn",
                    )
                },
                "left": context.get_remaining_time_in_millis(),
            }
        """
    dockerfile = f'FROM {BASE}\nENV MODEL=/var/task/model A=image\nCOPY *.py ./\nCMD ["app.handler"]\n'
    config = world.config(
        world.image(code, dockerfile),
        Version="3",
        Timeout=9,
        Environment={"Variables": {"A": "function", "B": "2"}},
        TracingConfig={"Mode": "Active"},
    )
    config["FunctionArn"] += ":live"

    # WHEN it is called twice
    first, second = (answer(world.call(config, {"inputs": ["가"]})) for _ in range(2))

    # THEN the event and the context are those of the call
    context = first["context"]
    assert first["event"] == {"inputs": ["가"]}
    assert (context["function_name"], context["function_version"]) == ("task", "3")
    assert context["invoked_function_arn"] == config["FunctionArn"]
    assert (context["memory_limit_in_mb"], context["log_group_name"]) == ("256", "/aws/lambda/task")
    assert "[3]" in context["log_stream_name"]
    assert 0 < first["left"] <= 9000
    assert context["aws_request_id"] != second["context"]["aws_request_id"]

    # AND the environment is Lambda's, with nothing of the developer's
    environment = first["environment"]
    root = environment["LAMBDA_TASK_ROOT"]
    assert first["folder"] == os.path.realpath(root)
    assert first["path"][0] == root
    assert environment["MODEL"] == f"{root}/model"
    assert (environment["A"], environment["B"]) == ("function", "2")
    assert (environment["TZ"], environment["AWS_REGION"]) == (":UTC", SCOPE.region)
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert environment["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert not {"AWS_PROFILE", "PYTHONPATH"} & environment.keys()

    # AND the module was loaded once, which only the first report counts
    assert first["started"] == second["started"]
    reports = [line for _, _, line in world.logs.lines if line.startswith("REPORT")]
    assert ["Init Duration" in line for line in reports] == [True, False]
    assert any(line.startswith("[INFO]\t") and line.endswith("\tasked") for _, _, line in world.logs.lines)
    assert {(group, stream) for group, stream, _ in world.logs.lines} == {
        ("/aws/lambda/task", context["log_stream_name"])
    }


def test_metrics_are_by_function_alias_and_version(world: World) -> None:
    # GIVEN a version that is called by its alias, and as it is
    config = world.config(WHO, Version="7")
    by_alias = config | {"FunctionArn": config["FunctionArn"] + ":live"}

    # WHEN both ways are taken
    world.call(by_alias)
    world.call(config)

    # THEN the function counts both, the alias its own
    alias = {"FunctionName": "task", "Resource": "task:live"}
    assert world.metrics.of("Invocations", FunctionName="task") == [1, 1]
    assert world.metrics.of("Invocations", **alias) == [1]
    assert world.metrics.of("Errors", **alias) == [0]
    assert world.metrics.of("Throttles", **alias) == [0]
    assert world.metrics.of("ConcurrentExecutions", **alias, ExecutedVersion="7") == [1]
    (duration,) = world.metrics.of("Duration", **alias)
    assert 0 < duration < 10_000


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
    config = world.config(WHO)
    taken = [world.call_later(config, 2, reserved=2) for _ in range(2)]
    world.until("two environments", lambda: len(world.pids) == 2)
    world.until("both at work", lambda: world.logs.text.count("START RequestId") == 2)

    # WHEN a third comes
    with pytest.raises(Throttled) as throttled:
        world.call(config, 0, reserved=2)

    # THEN it is refused for the function's limit and counted; the others are answered, and then the next
    assert throttled.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert world.metrics.of("Throttles", FunctionName="task") == [1]
    assert len({answer(call.result(30)) for call in taken}) == 2
    assert answer(world.call(config, 0, reserved=2))


def test_calls_beyond_the_accounts_concurrency_are_throttled(store: ImageStore, world: World) -> None:
    # GIVEN an account with one call at the same time, taken by one function
    with World(world.folder / "small", store, account_concurrency=1) as small:
        config = small.config(WHO)
        taken = small.call_later(config, 1)
        small.until("it at work", lambda: "START RequestId" in small.logs.text)

        # WHEN another function is called; THEN it is refused for the account's limit
        with pytest.raises(Throttled) as throttled:
            small.call(small.config(WHO, FunctionName="other"))
        assert throttled.value.reason == "ConcurrentInvocationLimitExceeded"
        assert answer(taken.result(30))


def test_an_environment_killed_at_work_fails_its_call_only(world: World) -> None:
    # GIVEN two calls at work
    config = world.config(WHO)
    calls = [world.call_later(config, 1) for _ in range(2)]
    world.until("both at work", lambda: world.logs.text.count("START RequestId") == 2)
    killed = world.pids[0]

    # WHEN the process of one is killed
    os.kill(killed, signal.SIGKILL)

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
    config = world.config(WHO)
    first = answer(world.call(config))

    # WHEN it is killed while nobody calls, and that is seen
    os.kill(first, signal.SIGKILL)
    world.until("it gone", lambda: not world.pids)

    # THEN the next call is answered by another
    assert answer(world.call(config)) != first


def test_idle_environments_go_after_a_while(world: World) -> None:
    # GIVEN two warm environments, at sixty times the speed
    config = world.config(WHO)
    wait([world.call_later(config, 0.5) for _ in range(2)])
    processes = [psutil.Process(pid) for pid in world.pids]
    assert len(processes) == 2

    # WHEN nobody calls for five of AWS's minutes; THEN they end, with their folders
    world.until("no environment", lambda: not world.pids)
    world.until("no process", lambda: not any(each.is_running() for each in processes))
    assert not list((world.folder / "functions").glob("environment-*"))
    # AND the next call starts one
    assert answer(world.call(config))


def test_environments_started_ahead_are_warm_and_stay(world: World) -> None:
    # GIVEN a version with two environments started ahead
    config = world.config(WHO, Version="1")
    config["FunctionArn"] += ":live"
    world.functions.provision(config, SCOPE, 2)
    world.until("two environments", lambda: world.functions.provisioned(config, SCOPE) == (2, ""))
    ahead = set(world.pids)

    # WHEN three calls come at once
    calls = [world.call_later(config, 1) for _ in range(3)]
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
    time.sleep(0.5)
    assert world.logs.text.count("INIT_REPORT") == tries <= 4


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
    # GIVEN a function with a call at work and an idle environment
    config = world.config(WHO)
    wait([world.call_later(config, 0.3) for _ in range(2)])
    processes = [psutil.Process(pid) for pid in world.pids]
    at_work = world.call_later(config, 1)
    world.until("it at work", lambda: world.logs.text.count("START RequestId") == 3)

    # WHEN it is deleted
    world.functions.forget(SCOPE, "task")

    # THEN the call is answered, and then no process is left
    assert answer(at_work.result(30))
    world.until("no process", lambda: not any(each.is_running() for each in processes))


def test_no_process_outlives_the_sandbox(store: ImageStore, world: World) -> None:
    # GIVEN functions, one of them at work
    other = World(world.folder / "ending", store)
    with other:
        config = other.config(WHO)
        other.call(config)
        at_work = other.call_later(config, 30)
        other.until("it at work", lambda: other.logs.text.count("START RequestId") == 2)
        processes = [psutil.Process(pid) for pid in other.pids]
        assert processes
    # WHEN the sandbox ends; THEN the caller is told and no process is left
    assert error(at_work.result(10))["errorType"] == "Runtime.ExitError"
    psutil.wait_procs(processes, timeout=10)
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def test_the_runtime_api_answers_nobody_else(world: World) -> None:
    # GIVEN a running environment and the listener's address
    from http.client import HTTPConnection

    config = world.config(
        "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']"
    )
    address, _, token = answer(world.call(config)).partition("/")

    # WHEN somebody asks without its path, or with it for what is not there
    def ask(method: str, path: str) -> tuple[int, str]:
        connection = HTTPConnection(address)
        connection.request(method, path, body=b"{}")
        reply = connection.getresponse()
        told = json.loads(reply.read())["errorType"]
        connection.close()
        return reply.status, told

    # THEN it is refused, and the function goes on
    assert ask("GET", "/2018-06-01/runtime/invocation/next") == (403, "InvalidPath")
    assert ask("GET", f"/{'x' * len(token)}/2018-06-01/runtime/invocation/next") == (403, "InvalidPath")
    assert ask("POST", f"/{token}/2018-06-01/runtime/invocation/other/response") == (400, "InvalidRequestID")
    assert ask("DELETE", f"/{token}/2018-06-01/runtime/invocation/next") == (404, "InvalidPath")
    assert answer(world.call(config))
