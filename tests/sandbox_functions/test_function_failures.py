"""Functions that break: each ends as the failure that Lambda documents, and the next call is served."""

from __future__ import annotations

import json
import re

import pytest

from sandbox.functions.images import ImageStore
from tests.sandbox_functions.function_world import BASE, SCOPE, World, answer, error

FAILS_TO_START = {
    "no module": ("import no_such_module\n", "app.handler", "Runtime.ImportModuleError"),
    "no function": ("x = 1\n", "app.handler", "Runtime.HandlerNotFound"),
    "no such file": ("x = 1\n", "other.handler", "Runtime.ImportModuleError"),
    "no dot": ("x = 1\n", "handler", "Runtime.MalformedHandlerName"),
    "no syntax": ("def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError"),
    "raises": ("raise ValueError('at import')\n", "app.handler", "ValueError"),
    "exits": ("import sys\nsys.exit(3)\n", "app.handler", "Runtime.ExitError"),
    "no handler": ("x = 1\n", "", "Runtime.InvalidEntrypoint"),
}
WORDS = {
    "no module": "Unable to import module 'app': No module named 'no_such_module'",
    "no function": "Handler 'handler' missing on module 'app'",
    "no such file": "Unable to import module 'other': No module named 'other'",
    "no dot": "Bad handler 'handler'",
    "no syntax": "Syntax error in module 'app': invalid syntax (app.py, line 1)",
    "raises": "at import",
    "exits": "Runtime exited with error: exit status 3",
    "no handler": "neither the image's CMD nor ImageConfig.Command names a handler",
}


@pytest.mark.parametrize("case", FAILS_TO_START)
def test_a_function_that_does_not_start_says_why(case: str, world: World) -> None:
    # GIVEN a function that cannot be initialised
    code, handler, error_type = FAILS_TO_START[case]
    command = f"CMD {json.dumps([handler])}\n" if handler else ""
    config = world.config(world.image(code, f"FROM {BASE}\nCOPY *.py ./\n{command}"))

    # WHEN it is called, twice
    for _ in range(2):
        told = error(world.call(config))

        # THEN the caller gets Lambda's type and words
        assert told["errorType"] == error_type
        assert WORDS[case] in told["errorMessage"]

    # AND so does the log; nothing runs on
    if case not in {"exits", "no handler"}:
        assert f"[ERROR] {error_type}: " in world.logs.text
        assert f"Phase: init\tStatus: error\tError Type: {error_type}" in world.logs.text
    world.until("the end of its processes", lambda: not world.pids)
    assert world.metrics.of("Errors", FunctionName="task") == [1, 1]


def test_an_error_of_the_handler_has_its_type_and_place(world: World) -> None:
    # GIVEN a handler that raises in a function of its own, when it is asked to
    config = world.config(
        """
        class Wrong(Exception):
            pass
        def check(event):
            if event == "bad":
                raise Wrong("not this one")
        def handler(event, context):
            check(event)
            return context.aws_request_id
        """
    )

    # WHEN it is called with what it refuses
    told = error(world.call(config, "bad"))

    # THEN type, words and place are told, with the image's paths
    assert (told["errorType"], told["errorMessage"]) == ("Wrong", "not this one")
    assert [re.sub(r"\^+", "^", line).splitlines()[0] for line in told["stackTrace"]] == [
        '  File "/var/task/app.py", line 8, in handler',
        '  File "/var/task/app.py", line 6, in check',
    ]
    assert "[ERROR] Wrong: not this one" in world.logs.text

    # AND the same environment serves the next call
    (pid,) = world.pids
    assert answer(world.call(config, "good"))
    assert world.pids == [pid]
    assert world.metrics.of("Errors", FunctionName="task") == [1, 0]


def test_a_handler_that_takes_too_long_is_ended(world: World) -> None:
    # GIVEN a handler that sleeps when it is asked to, with a timeout of a second
    config = world.config(
        """
        import subprocess, sys, time
        def handler(event, context):
            if event:
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
                time.sleep(60)
            return context.get_remaining_time_in_millis()
        """,
        Timeout=1,
    )
    assert 0 < answer(world.call(config, 0)) <= 1000
    (pid,) = world.pids

    # WHEN it sleeps
    outcome = world.call(config, 1)

    # THEN the caller is told, and the log
    assert re.fullmatch(
        r"RequestId: \S+ Error: Task timed out after 1.00 seconds", error(outcome)["errorMessage"]
    )
    assert outcome.error_type == "Sandbox.Timedout"
    assert re.search(r"Z \S+ Task timed out after 1.00 seconds", world.logs.text)
    assert "Status: timeout" in outcome.log

    # AND the next call gets another process
    assert answer(world.call(config, 0))
    assert pid not in world.pids


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("sys.exit(7)", "Runtime exited with error: exit status 7"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.abort()", "Runtime exited with error: signal: aborted"),
    ],
)
def test_a_handler_that_ends_its_process_fails_one_call(ending: str, words: str, world: World) -> None:
    # GIVEN a handler that ends its process when it is asked to
    config = world.config(
        f"""
        import os, signal, sys
        def handler(event, context):
            if event:
                {ending}
            return os.getpid()
        """
    )
    first = answer(world.call(config))

    # WHEN it does
    told = error(world.call(config, "end"))

    # THEN that call fails as Lambda says, and the next one is served by another process
    assert told["errorType"] == "Runtime.ExitError"
    assert words in told["errorMessage"]
    assert answer(world.call(config)) != first


def test_what_is_not_json_is_a_marshal_error(world: World) -> None:
    # GIVEN a handler that returns what it is asked for
    config = world.config(
        """
        from decimal import Decimal
        def handler(event, context):
            return {"set": {1, 2}, "text": "한글", "decimal": Decimal("1.5"), "none": None}[event]
        """
    )

    # WHEN that can, or cannot be written as JSON; THEN it is returned, or is an error
    assert answer(world.call(config, "text")) == "한글"
    assert answer(world.call(config, "decimal")) == 1.5
    assert answer(world.call(config, "none")) is None
    told = error(world.call(config, "set"))
    assert told["errorType"] == "Runtime.MarshalError"
    assert told["errorMessage"].startswith("Unable to marshal response: Object of type set")


def test_an_answer_that_is_too_large_is_an_error(world: World) -> None:
    # GIVEN a handler that returns as much as it is asked for
    config = world.config("def handler(event, context): return 'x' * event")

    # WHEN it returns the most that is allowed, and more
    fits = world.call(config, 6 * 1024 * 1024 - 2)
    more = world.call(config, 6 * 1024 * 1024 + 200)

    # THEN the one is answered, the other is an error
    assert not fits.error_type
    assert len(fits.payload) == 6 * 1024 * 1024
    assert error(more)["errorType"] == "Function.ResponseSizeTooLarge"
    assert "exceeded maximum allowed payload size" in error(more)["errorMessage"]
    assert answer(world.call(config, 1)) == "x"


def test_a_function_with_too_much_memory_is_ended(world: World) -> None:
    # GIVEN a function that may have 128 MB
    config = world.config(
        """
        import time
        def handler(event, context):
            block = bytearray(event * 1024 * 1024)
            for at in range(0, len(block), 4096):
                block[at] = 1
            time.sleep(5 if event > 128 else 0)
            return len(block)
        """,
        MemorySize=128,
    )
    assert answer(world.call(config, 20)) == 20 * 1024 * 1024

    # WHEN it takes more
    outcome = world.call(config, 300)

    # THEN it is ended, and the report tells
    assert error(outcome)["errorType"] == "Runtime.OutOfMemory"
    assert "Memory Size: 128 MB\tMax Memory Used: 128 MB" in outcome.log
    assert "Status: error\tError Type: Runtime.OutOfMemory" in outcome.log


def test_an_initialisation_over_its_limit_is_done_again_within_the_call(
    tmp_path: object, store: ImageStore, world: World
) -> None:
    # GIVEN initialisations of at most half a second, and a function that takes one and a half
    with World(world.folder / "other", store, init_seconds=0.5) as slow:
        code = "import time\ntime.sleep({})\ndef handler(event, context): return event\n"
        config = slow.config(code.format(1.5))
        hopeless = slow.config(code.format(60), Timeout=1)

        # WHEN it is called
        assert answer(slow.call(config, "came")) == "came"

        # THEN it was begun twice, as on Lambda, and one that takes longer than the timeout as well fails
        assert slow.logs.text.count("Phase: init\tStatus: timeout") == 1
        assert error(slow.call(hopeless))["errorType"] == "Sandbox.Timedout"


def test_megabytes_of_output_are_lines_in_the_log(world: World) -> None:
    # GIVEN a handler that prints a lot, without an end of the last line, and one endless line
    config = world.config(
        """
        import os, sys
        def handler(event, context):
            for number in range(40000):
                print(f"line {number} " + "x" * 90)
            sys.stderr.write("to stderr\\n")
            os.write(1, b"native\\n")
            print("y" * 600_000)
            print("the end", end="")
            return "done"
        """
    )

    # WHEN it is called
    assert answer(world.call(config)) == "done"

    # THEN every line is in the log, in order, between START and END
    lines = [line for _, _, line in world.logs.lines]
    assert lines[0].startswith("START RequestId: ")
    printed = [line for line in lines if line.startswith("line ")]
    assert [line.split()[1] for line in printed] == [str(number) for number in range(40000)]
    assert {"to stderr", "native", "the end"} <= set(lines)
    assert sum(len(line) for line in lines if line.startswith("y")) == 600_000
    end = next(at for at, line in enumerate(lines) if line.startswith("END RequestId: "))
    assert end > lines.index("the end")
    assert lines[end + 1].startswith("REPORT RequestId: ")


def test_a_function_without_its_image_says_so(world: World) -> None:
    # GIVEN a function of an image that is gone
    config = world.config("x = 1") | {"CodeSha256": "0" * 64, "ImageUri": "registry/app:1"}

    # WHEN it is called; THEN the caller is told
    outcome = world.functions.execute(config, SCOPE, b"{}", reserved=None)
    assert error(outcome)["errorMessage"].startswith("The sandbox has no image registry/app:1")
