"""The version behind a function's alias, and how it fares."""

from __future__ import annotations

from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from client.connection import Connection
from client.metrics import HOUR, Figures, Queries, figures
from client.patterns import DeployedPattern

# by function and alias (Lambda developer guide, metrics); Duration comes in milliseconds
_FIGURES: Queries = {
    "invocations": ("Invocations", "Sum"),
    "errors": ("Errors", "Sum"),
    "throttles": ("Throttles", "Sum"),
}


@dataclass
class FunctionStatus:
    """A function as it is now.

    Args:
        name: Its name.
        alias: The alias that callers use.
        version: The version behind it; None if the alias is not there.
        state: API ``State`` of that version; ``NotFound`` if the stack names a function that is not there.
        last_update: API ``LastUpdateStatus`` of that version.
        reason: What Lambda says about the state; empty if nothing.
        last_hour: ``invocations``, ``errors``, ``throttles``.
    """

    name: str
    alias: str
    version: str | None
    state: str
    last_update: str = ""
    reason: str = ""
    last_hour: Figures = field(default_factory=dict)


def function_status(connection: Connection, deployed: DeployedPattern) -> FunctionStatus:
    """Ask Lambda about the alias and the version behind it.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: Lambda could not be asked.
    """
    name, alias = deployed.outputs["FunctionName"], deployed.outputs.get("FunctionAlias", "")
    client = connection.client("lambda")
    try:
        version = client.get_alias(FunctionName=name, Name=alias)["FunctionVersion"] if alias else "$LATEST"
        answer = client.get_function_configuration(FunctionName=name, Qualifier=version)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            return FunctionStatus(name, alias, None, "NotFound")
        raise
    return FunctionStatus(
        name,
        alias,
        version,
        answer.get("State") or "Active",
        answer.get("LastUpdateStatus") or "",
        answer.get("StateReason") or answer.get("LastUpdateStatusReason") or "",
    )


def function_figures(connection: Connection, function: FunctionStatus) -> Figures:
    """Invocations, errors and throttles through the alias in the last hour."""
    dimensions = {"FunctionName": function.name, "Resource": f"{function.name}:{function.alias}"}
    return figures(connection, {"": dimensions}, _FIGURES, HOUR, namespace="AWS/Lambda")[""]


def function_problems(function: FunctionStatus) -> list[str]:
    """Why a function is not what its stack asked for; empty if it is."""
    reason = f": {function.reason}" if function.reason else ""
    if function.state == "NotFound":
        return [f"function {function.name} or its alias {function.alias} does not exist any more"]
    problems = []
    if function.state == "Failed":
        problems.append(f"version {function.version} of function {function.name} is Failed{reason}")
    if function.last_update == "Failed":
        problems.append(f"the last update of function {function.name} failed{reason}")
    return problems
