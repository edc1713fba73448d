"""Entry of an execution environment: gets events from the Runtime API, calls the handler, sends answers back.

It is what AWS's runtime interface client for Python is in an image. Started as a script; knows the Runtime
API (AWS Lambda Developer Guide, runtimes-api) and of the sandbox only how a process ends with its parent.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn

_API = "2018-06-01/runtime"
MEMORY_HEADER = "Sandbox-Max-Memory-Kb"
"""Header of answers: the most memory that the process has had."""

Handler = Callable[[Any, "LambdaContext"], Any]
_LEVEL_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"


class RuntimeFault(Exception):
    """The function cannot be started, or its answer not be sent.

    Args:
        error_type: As Lambda names it, for example ``Runtime.ImportModuleError``.
        message: For the caller.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class RuntimeApi:
    """The Runtime API, on one connection that stays open.

    Args:
        address: ``host:port`` and perhaps a path, as in AWS_LAMBDA_RUNTIME_API.
    """

    def __init__(self, address: str) -> None:
        host, _, path = address.partition("/")
        self._connection = HTTPConnection(host)
        self._base = f"/{path}/{_API}" if path else f"/{_API}"

    def next(self) -> tuple[dict[str, str], bytes]:
        """Headers, names in lower case, and body of the next event; waits for it."""
        return self._ask("GET", "/invocation/next", None)

    def succeed(self, request_id: str, body: bytes) -> None:
        """Send an answer.

        Raises:
            RuntimeFault: It is too large.
        """
        self._post(f"/invocation/{request_id}/response", body)

    def fail(self, request_id: str, error: dict[str, Any]) -> None:
        """Send an error of the handler."""
        self._post(f"/invocation/{request_id}/error", _encoded(error), error["errorType"])

    def fail_to_start(self, error: dict[str, Any]) -> None:
        """Tell that the function cannot be started."""
        self._post("/init/error", _encoded(error), error["errorType"])

    def _post(self, path: str, body: bytes, error_type: str | None = None) -> None:
        self._ask("POST", path, body, error_type)

    def _ask(
        self, method: str, path: str, body: bytes | None, error_type: str | None = None
    ) -> tuple[dict[str, str], bytes]:
        headers = {MEMORY_HEADER: str(_peak_memory()), "Content-Type": "application/json"}
        if error_type:
            headers["Lambda-Runtime-Function-Error-Type"] = error_type
        self._connection.request(method, self._base + path, body=body, headers=headers)
        with self._connection.getresponse() as answer:
            content = answer.read()
            if answer.status == 413:
                raise RuntimeFault("Function.ResponseSizeTooLarge", json.loads(content)["errorMessage"])
            if answer.status >= 300:
                raise ConnectionError(f"{method} {path}: {answer.status} {content[:200]!r}")
            return {name.lower(): value for name, value in answer.getheaders()}, content


class LambdaContext:
    """What a handler is told of its invocation (AWS Lambda Developer Guide, python-context).

    Args:
        headers: Of the event.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers["lambda-runtime-invoked-function-arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self._deadline_ms = int(headers["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function times out; 0 at least."""
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message: object) -> None:
        """Write to the log."""
        sys.stdout.write(str(message))


class _RequestId(logging.Filter):
    """Gives log records the id of the request that is being answered."""

    current = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self.current
        return True


def main() -> NoReturn:
    """Serve until the process is ended."""
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    task_root = os.environ["LAMBDA_TASK_ROOT"]
    request_ids = _configure_logging()
    sys.path.insert(0, task_root)
    sys.dont_write_bytecode = True  # the image is read-only on AWS
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:
        fault = described(error, None, task_root)
        _log_error(fault)
        api.fail_to_start(fault)
        sys.exit(1)
    while True:
        headers, body = api.next()
        context = LambdaContext(headers)
        request_ids.current = context.aws_request_id
        if trace := headers.get("lambda-runtime-trace-id"):
            os.environ["_X_AMZN_TRACE_ID"] = trace
        try:
            answer = marshalled(handler(json.loads(body), context))
            _flush()
            api.succeed(context.aws_request_id, answer)
        except Exception as error:
            fault = described(error, context.aws_request_id, task_root)
            _log_error(fault)
            api.fail(context.aws_request_id, fault)


def load(name: str) -> Handler:
    """Import a handler.

    Args:
        name: ``module.function``; a module in folders as ``folder/module.function``.

    Raises:
        RuntimeFault: There is none, with Lambda's own words.
    """
    module_name, _, function_name = name.rpartition(".")
    if not module_name:
        raise RuntimeFault(
            "Runtime.MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack (expected 2)"
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise RuntimeFault(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    except SyntaxError as error:
        raise RuntimeFault(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}"
        ) from error
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError:
        raise RuntimeFault(
            "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'"
        ) from None
    return handler


def marshalled(answer: Any) -> bytes:
    """A handler's answer as JSON.

    Raises:
        RuntimeFault: It cannot be written as JSON.
    """
    try:
        return json.dumps(answer, ensure_ascii=False, default=_number).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RuntimeFault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def described(error: Exception, request_id: str | None, task_root: str) -> dict[str, Any]:
    """An error as Lambda tells it to callers; paths are those of the image."""
    frames = traceback.extract_tb(error.__traceback__)
    # those of the function's own code: from its first frame on
    own = next((at for at, frame in enumerate(frames) if frame.filename.startswith(task_root)), len(frames))
    lines = traceback.format_list(frames[own:])
    described: dict[str, Any] = {
        "errorMessage": str(error),
        "errorType": error.error_type if isinstance(error, RuntimeFault) else type(error).__name__,
        "stackTrace": [line.replace(task_root, "/var/task") for line in lines],
    }
    if request_id:
        described["requestId"] = request_id
    cause = error.__cause__
    if isinstance(error, RuntimeFault) and isinstance(cause, SyntaxError) and cause.filename:
        place = cause.filename.replace(task_root, "/var/task")
        described["stackTrace"] = [
            f'  File "{place}" Line {cause.lineno}\n    {(cause.text or "").strip()}\n'
        ]
    return described


def _log_error(error: dict[str, Any]) -> None:
    _flush()
    words = f"[ERROR] {error['errorType']}: {error['errorMessage']}\n"
    if error["stackTrace"]:
        words += "Traceback (most recent call last):\n" + "".join(error["stackTrace"])
    print(words, end="" if words.endswith("\n") else "\n", flush=True)


def _configure_logging() -> _RequestId:
    request_ids = _RequestId()
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter(_LEVEL_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(request_ids)
    logging.getLogger().addHandler(handler)
    return request_ids


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed by the handler's code
            continue


def _encoded(error: dict[str, Any]) -> bytes:
    # lone surrogates of odd messages must not keep an error from being told
    return json.dumps(error, ensure_ascii=True).encode()


def _number(value: object) -> float:
    """Decimals, which DynamoDB gives, are numbers."""
    from decimal import Decimal

    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _peak_memory() -> int:
    """Most memory of this process so far, KiB."""
    try:
        # getrusage would also count what the parent had when it made this process
        status = Path("/proc/self/status").read_text("ascii", "replace")
        return int(status.partition("VmHWM:")[2].split(None, 1)[0])
    except (OSError, ValueError, IndexError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most


def _end_with_parent() -> None:
    """Without leaving the repository on the path that the function's code sees."""
    root = str(Path(__file__).resolve().parents[2])
    before = list(sys.path)
    sys.path.insert(0, root)
    from sandbox.model_server.guards import end_with_parent

    sys.path[:] = [entry for entry in before if entry not in ("", root)]
    end_with_parent()


if __name__ == "__main__":
    _end_with_parent()
    main()
