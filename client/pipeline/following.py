"""Follows an execution until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from client.connection import Connection
from client.errors import UserError
from client.pipeline.executions import ExecutionState, execution_definition, execution_state

_LOOK_SECONDS_SANDBOX = 0.3
_LOOK_SECONDS_AWS = 5.0


def follow(
    connection: Connection, arn: str, *, timeout: float, draw: Callable[[ExecutionState], None]
) -> ExecutionState:
    """Wait until an execution has ended.

    Args:
        connection: Where.
        arn: Which one.
        timeout: Seconds to wait at most; the execution goes on afterwards.
        draw: Called at each look, at the last one, too.

    Raises:
        UserError: It has not ended in that time.
    """
    pause = _LOOK_SECONDS_SANDBOX if connection.is_sandbox else _LOOK_SECONDS_AWS
    definition = execution_definition(connection, arn)
    until = time.monotonic() + timeout
    while True:
        state = execution_state(connection, arn, definition)
        draw(state)
        if state.has_ended:
            return state
        if time.monotonic() > until:
            raise UserError(
                f"Execution {state.id} has not ended within {timeout:g} s",
                f"It goes on. Watch it longer: client pipeline watch {state.id} --timeout 12h",
            )
        time.sleep(pause)
