"""What a demo comes to: shown to a person, or as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from client.commands import client_command, python, redeploy_command
from client.connection import Connection
from client.errors import UserError
from client.output import out
from client.patterns import DeployedPattern


@dataclass(frozen=True)
class Step:
    """Something to try next.

    Args:
        what: What it does.
        command: What to type.
    """

    what: str
    command: str


class Outcome(ABC):
    """What a demo comes to.

    Args:
        next_steps: What to try next, if all was well.
    """

    def __init__(self, next_steps: Sequence[Step]) -> None:
        self.next_steps = next_steps

    @property
    @abstractmethod
    def problem(self) -> UserError | None:
        """What was not as the pattern promises; None if all was."""

    @abstractmethod
    def show(self) -> None:
        """The result for a person, on stdout."""

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """The result, ready for JSON."""

    def as_dict(self) -> dict[str, Any]:
        """Whether all was well, and the result."""
        return {"ok": self.problem is None, **self.figures()}

    def show_next_steps(self) -> None:
        """What to try next, on stdout."""
        out.print(Text("What to try next", style="bold"))
        for step in self.next_steps:
            out.print(Text.assemble((f"  {step.what}\n", "dim"), f"    {step.command}"), soft_wrap=True)


def client_steps(connection: Connection, *steps: tuple[str, str]) -> list[Step]:
    """Steps with this client.

    Args:
        connection: Where the pattern runs.
        steps: What it does, and the arguments.
    """
    local = connection.is_sandbox
    return [Step(what, client_command(arguments, in_sandbox=local)) for what, arguments in steps]


def usual_steps(connection: Connection, deployed: DeployedPattern, change: str) -> list[Step]:
    """Steps that go with every pattern, worded for where it runs.

    Args:
        connection: Where.
        deployed: The pattern.
        change: What may be changed and deployed again.
    """
    local = connection.is_sandbox
    steps = client_steps(connection, ("is it what I deployed?", "status"))
    if local:
        steps.append(Step("boto3 and the AWS CLI in this shell", f'eval "$({python()} -m sandbox env)"'))
    again = redeploy_command(deployed.pattern, deployed.stack_name, in_sandbox=local)
    steps.append(Step(f"change {change}, deploy again", again))
    steps.append(
        Step("stop everything", "make down")
        if local
        else Step("remove it: it costs money while it exists", f".venv/bin/cdk destroy {deployed.stack_name}")
    )
    return steps
