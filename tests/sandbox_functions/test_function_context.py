"""What a handler finds, how its calls are counted, and what the Runtime API tells others."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection

import pytest

from tests.sandbox_functions.function_world import BASE, SCOPE, WAITS, World, answer


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
    config = world.config(WAITS, Version="7")
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


def test_the_runtime_api_answers_nobody_else(world: World) -> None:
    # GIVEN a running environment and the listener's address
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
