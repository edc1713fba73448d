"""Waits until an endpoint has become what its stack asked for."""

from __future__ import annotations

import time

from client.commands import client_command
from client.connection import Connection
from client.errors import UserError
from client.invocation import log_group
from client.output import err
from client.patterns import DeployedPattern
from client.status import EndpointStatus, endpoint_problems, endpoint_status

MOVING = {"Creating", "Updating", "SystemUpdating", "RollingBack"}

# a first deployment on AWS takes minutes, and CloudFormation gives up on it after 160 (resource schema)
_LONGEST_WAIT_SECONDS = 30 * 60
_POLL_SECONDS_SANDBOX = 0.2
_POLL_SECONDS_AWS = 10.0


def wait_until_in_service(connection: Connection, deployed: DeployedPattern) -> EndpointStatus:
    """Wait while the endpoint is being made or changed.

    Raises:
        UserError: It failed, serves another configuration than the stack expects, or takes over half an hour.
    """
    endpoint = wait_until_settled(connection, deployed)
    problems = endpoint_problems(endpoint)
    if problems or endpoint.status != "InService":
        raise UserError(
            "; ".join(problems) or f"endpoint {endpoint.name} is {endpoint.status}",
            f"Its logs: CloudWatch log group {log_group(endpoint.name)}",
        )
    return endpoint


def wait_until_settled(connection: Connection, deployed: DeployedPattern) -> EndpointStatus:
    """Wait until nothing happens to the endpoint any more, whatever came of it.

    Raises:
        UserError: That takes over half an hour.
    """
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    said = ""
    with err.status("asking for the endpoint") as spinner:
        while True:
            endpoint = endpoint_status(connection, deployed)
            if endpoint.status not in MOVING:
                return endpoint
            if time.monotonic() > deadline:
                minutes = _LONGEST_WAIT_SECONDS // 60
                raise UserError(
                    f"Endpoint {endpoint.name} is still {endpoint.status} after {minutes} minutes",
                    f"Look at {log_group(endpoint.name)}, and: {client_command('status')}",
                )
            spinner.update(f"endpoint {endpoint.name} is {endpoint.status}")
            if endpoint.status != said and not err.is_terminal:
                err.print(f"endpoint {endpoint.name} is {endpoint.status}", soft_wrap=True)
            said = endpoint.status
            time.sleep(poll_seconds(connection))


def poll_seconds(connection: Connection) -> float:
    """How long to wait between two looks: AWS counts and throttles calls."""
    return _POLL_SECONDS_SANDBOX if connection.is_sandbox else _POLL_SECONDS_AWS
