"""Custom resources of CloudFormation whose service token is a Lambda function.

CloudFormation user guide, "Custom resource request objects" and "Custom resource response objects".
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.clock import Clock
from sandbox.ministack_adapter.asynchronous_calls import AsynchronousCalls, find_function
from sandbox.ministack_adapter.hooks import module
from sandbox.store import Params

LONGEST = 3600
"""ServiceTimeout, AWS seconds: the default and the most."""
LARGEST_RESPONSE = 4096
"""Bytes of a response."""
# functions do not run faster with the clock, real seconds
SHORTEST_SCALED = 60.0
# among the properties of a resource that could not be made and is kept in its stack
_NOT_MADE = "sandbox:NotMade"


class _Failed(Exception):
    """A function was asked and did not succeed; the text is the reason of the stack event.

    Args:
        reason: A sentence.
        physical_id: PhysicalResourceId of the response, or one that CloudFormation makes up.
    """

    def __init__(self, reason: str, physical_id: str) -> None:
        super().__init__(reason)
        self.physical_id = physical_id


class CustomResources:
    """Asks functions for custom resources; in place of ministack's own.

    Args:
        clock: The time scale.
        calls: Calls functions as CloudFormation does, without waiting for their answer.
    """

    def __init__(self, clock: Clock, calls: AsynchronousCalls) -> None:
        self._clock = clock
        self._calls = calls
        self._requests = module("services.cloudformation.custom_resource")

    def install(self) -> None:
        """Let CloudFormation ask here, and remove what could not be made."""
        self._requests.invoke_custom_resource = self._invoke
        stacks = module("services.cloudformation.stacks")
        roll_back = _with_failed(stacks._roll_back_operation)
        for user in (stacks, module("services.cloudformation.handlers")):
            user._roll_back_operation = roll_back

    def _invoke(
        self,
        request_type: str,
        logical_id: str,
        props: Params,
        stack_name: str,
        stack_id: str,
        resource_type: str,
        physical_id: str | None = None,
        old_props: Params | None = None,
    ) -> tuple[str, Params]:
        """Send a request and wait for the response; on a worker thread.

        Raises:
            ValueError: There is no such function, or ServiceTimeout is none.
            _Failed: The function did not succeed.
        """
        if _NOT_MADE in (old_props or {}):  # an update of a stack that was left as it failed
            request_type, physical_id, old_props = "Create", None, None
        props = {name: value for name, value in props.items() if name != _NOT_MADE}
        function, timeout = str(props.get("ServiceToken", "")), _timeout(props)
        record = find_function(function)
        if record is None:
            raise ValueError(f"Function not found: {function} (ServiceToken of {logical_id})")
        request: Params = {
            "RequestType": request_type,
            "ServiceToken": function,
            "StackId": stack_id,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": logical_id,
            "ResourceType": resource_type,
            "ResourceProperties": self._requests._normalise_resource_properties(props),
        }
        if physical_id is not None:
            request["PhysicalResourceId"] = physical_id
        if old_props is not None:
            request["OldResourceProperties"] = self._requests._normalise_resource_properties(old_props)
        try:
            response = self._answer(request, record["config"]["FunctionArn"], timeout)
            return _read(response, request)
        except _Failed as failed:
            if request_type == "Create":
                _keep(stack_name, request, props, failed.physical_id)
            raise

    def _answer(self, request: Params, function: str, timeout: int) -> Params:
        token = str(uuid.uuid4())
        answered = self._requests.register_token(token)
        try:
            self._calls.call(function, request | {"ResponseURL": self._requests._response_url(token)})
            limit = min(float(timeout), max(SHORTEST_SCALED, self._clock.real(timeout)))
            if answered.wait(limit):
                response: Params = self._requests._pending[token]["result"]
                return response
        finally:
            self._requests._pending.pop(token, None)
        raise _Failed(
            "CloudFormation did not receive a response from your custom resource within its ServiceTimeout, "
            f"{timeout} s. Look into the log of {function} for requestId [{request['RequestId']}].",
            _known_id(request),
        )


def _timeout(props: Params) -> int:
    given = props.get("ServiceTimeout", LONGEST)
    if not str(given).isdecimal() or not 1 <= int(given) <= LONGEST:
        raise ValueError(f"ServiceTimeout is {given!r}; it must be an integer from 1 to {LONGEST} seconds.")
    return int(given)


def _known_id(request: Params) -> str:
    """The physical id before the function has said one."""
    stack = request["StackId"].split("/")[1]
    made_up = f"{stack}-{request['LogicalResourceId']}-{request['RequestId'][:8].upper()}"
    return str(request.get("PhysicalResourceId") or made_up)


def _read(response: Params, request: Params) -> tuple[str, Params]:
    """Physical id and attributes of a response.

    Raises:
        _Failed: It says that the function failed, or is not what CloudFormation takes.
    """
    said = response.get("PhysicalResourceId")
    physical_id = str(said or _known_id(request))
    if response.get("Status") == "FAILED":
        raise _Failed(
            f"Received response status [FAILED] from custom resource. Message returned: "
            f"{response.get('Reason') or 'None'} (RequestId: {request['RequestId']})",
            physical_id,
        )
    problem = None
    if response.get("Status") != "SUCCESS":
        problem = f"Invalid response status {response.get('Status')!r}: it must be SUCCESS or FAILED."
    elif not said and request["RequestType"] != "Delete":
        problem = "Invalid PhysicalResourceId: the response of a custom resource must have one."
    elif len(json.dumps(response, ensure_ascii=False).encode()) > LARGEST_RESPONSE:
        problem = f"Response object is too long: at most {LARGEST_RESPONSE} bytes are allowed."
    elif not isinstance(response.get("Data") or {}, dict):
        problem = "Invalid Data: it must be an object."
    if problem:
        raise _Failed(f"{problem} (RequestId: {request['RequestId']})", physical_id)
    return physical_id, {name: _as_attribute(value) for name, value in (response.get("Data") or {}).items()}


def _as_attribute(value: Any) -> Any:
    """What Fn::GetAtt gives: numbers and booleans are strings in CloudFormation."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _keep(stack_name: str, request: Params, props: Params, physical_id: str) -> None:
    """Have a resource that could not be made in its stack: its function is to remove what there is of it."""
    stack = module("services.cloudformation")._stacks.get(stack_name)
    if stack is None:
        return
    logical_id = request["LogicalResourceId"]
    stack.setdefault("_resources", {})[logical_id] = {
        "PhysicalResourceId": physical_id,
        "ResourceType": request["ResourceType"],
        "ResourceStatus": "CREATE_FAILED",
        "LogicalResourceId": logical_id,
        "Properties": props | {_NOT_MADE: True},
        "Attributes": {},
        "Timestamp": module("services.cloudformation.stacks").now_iso(),
    }


def _with_failed(roll_back: Callable[..., Any]) -> Callable[..., Any]:
    """A rollback that also deletes the resource that failed to be made, if it was kept; it goes first."""

    @functools.wraps(roll_back)
    async def roll_back_with_failed(
        stack_name: str, stack_id: str, stack: Params, operation: Params, *others: Any, **named: Any
    ) -> Any:
        failed = operation.get("failed_logical_id")
        record = stack.get("_resources", {}).get(failed) or {}
        created = operation.get("created", [])
        if record.get("ResourceStatus") == "CREATE_FAILED" and failed not in created:
            operation = operation | {"created": [*created, failed]}
        return await roll_back(stack_name, stack_id, stack, operation, *others, **named)

    return roll_back_with_failed
