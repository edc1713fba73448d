"""Shows a deployed pattern working, without a question asked; the exit status tells whether it did."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from client.commands import client_command, deploy_command, python
from client.connection import Connection
from client.errors import UserError
from client.invocation import Answer, Target, invoke, log_group
from client.output import err, out, plain
from client.patterns import DeployedPattern
from client.payloads import REVIEWS, from_texts
from client.predictions import Prediction, read_predictions
from client.scaling import invocations_per_minute_target
from client.status import EndpointStatus, endpoint_problems, endpoint_status

# a first deployment on AWS takes minutes, and CloudFormation gives up on it after 160 (resource schema)
_LONGEST_WAIT_SECONDS = 30 * 60
_POLL_SECONDS_SANDBOX = 0.2
_POLL_SECONDS_AWS = 10.0
_MOVING = {"Creating", "Updating", "SystemUpdating", "RollingBack"}

_EXPECTED = ("positive", "negative")


@dataclass(frozen=True)
class Shown:
    """One review and what the endpoint made of it."""

    text: str
    expected: str
    prediction: Prediction | None
    answer: Answer

    @property
    def right(self) -> bool:
        """Whether the label is the one that a reader would give."""
        return self.prediction is not None and self.prediction.label == self.expected

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "text": self.text,
            "expected": self.expected,
            "label": self.prediction.label if self.prediction else None,
            "score": self.prediction.score if self.prediction else None,
            "variant": self.answer.variant,
            "latency_ms": round(self.answer.latency_ms, 3),
            "body": None if self.prediction else self.answer.body.decode(errors="replace"),
        }


def demo_realtime(connection: Connection, deployed: DeployedPattern) -> list[Shown]:
    """Wait for the endpoint, send the workshop's two reviews, one request each.

    Raises:
        UserError: The endpoint is not what the stack asked for, does not become ready, or refuses.
    """
    endpoint = wait_until_in_service(connection, deployed)
    err.print(f"endpoint {endpoint.name} is InService and serves {endpoint.serving_config}", soft_wrap=True)
    target = Target(endpoint.name)
    shown = []
    for text, expected in zip(REVIEWS, _EXPECTED, strict=True):
        answer = invoke(connection, target, from_texts([text]))
        predictions = read_predictions(answer.body, answer.content_type)
        one = predictions[0] if predictions and len(predictions) == 1 else None
        shown.append(Shown(text, expected, one, answer))
    return shown


def wait_until_in_service(connection: Connection, deployed: DeployedPattern) -> EndpointStatus:
    """Wait while the endpoint is being made or changed.

    Raises:
        UserError: It failed, serves another configuration than the stack expects, or takes over half an hour.
    """
    poll = _POLL_SECONDS_SANDBOX if connection.is_sandbox else _POLL_SECONDS_AWS
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    said = ""
    with err.status("asking for the endpoint") as spinner:
        while True:
            endpoint = endpoint_status(connection, deployed)
            if endpoint.status not in _MOVING:
                break
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
            time.sleep(poll)
    problems = endpoint_problems(endpoint)
    if problems or endpoint.status != "InService":
        raise UserError(
            "; ".join(problems) or f"endpoint {endpoint.name} is {endpoint.status}",
            f"Its logs: CloudWatch log group {log_group(endpoint.name)}",
        )
    return endpoint


def show_predictions(shown: list[Shown]) -> None:
    """The answers for a person."""
    table = Table(header_style="bold")
    table.add_column("review", overflow="fold")
    table.add_column("label")
    table.add_column("score", justify="right")
    table.add_column("latency", justify="right")
    table.add_column("variant")
    for one in shown:
        label = one.prediction.label if one.prediction else "?"
        table.add_row(
            one.text,
            Text(plain(label).plain, style="green" if one.right else "bold red"),
            f"{one.prediction.score:.3f}" if one.prediction else "-",
            f"{one.answer.latency_ms:.1f} ms",
            plain(one.answer.variant),
        )
    out.print(table)


def explain_wrong(shown: list[Shown]) -> UserError | None:
    """What came instead of the right answers; None if they were right."""
    wrong = [one for one in shown if not one.right]
    if not wrong:
        return None
    lines = []
    for one in wrong:
        came = one.prediction.label if one.prediction else one.answer.body[:300].decode(errors="replace")
        lines.append(f"{one.text!r}: expected {one.expected}, got {came!r}")
    return UserError(
        f"{len(wrong)} of {len(shown)} predictions are not right",
        "\n".join(
            [*lines, "If the endpoint serves a model of your own, this is expected: use `invoke` instead."]
        ),
    )


def show_next_steps(connection: Connection, deployed: DeployedPattern) -> None:
    """What to try now, worded for where the pattern runs."""
    local, pattern = connection.is_sandbox, deployed.pattern
    steps = [
        ("your own text", client_command(f'invoke {pattern} "정말 재미있게 봤어요"', in_sandbox=local)),
        ("load, to see it scale out", client_command(_load(connection, deployed), in_sandbox=local)),
        ("is it what I deployed?", client_command("status", in_sandbox=local)),
        (
            "change config/dev.yaml or model_code/sentiment, deploy again",
            deploy_command(pattern, in_sandbox=True)
            if local
            else f".venv/bin/cdk deploy {deployed.stack_name}",
        ),
        (
            "stop everything" if local else "remove it: it costs money while it exists",
            "make down" if local else f".venv/bin/cdk destroy {deployed.stack_name}",
        ),
    ]
    if local:
        steps.insert(4, ("boto3 and the AWS CLI in this shell", f'eval "$({python()} -m sandbox env)"'))
    out.print(Text("What to try next", style="bold"))
    for what, command in steps:
        out.print(Text.assemble((f"  {what}\n", "dim"), f"    {command}"), soft_wrap=True)


def _load(connection: Connection, deployed: DeployedPattern) -> str:
    """Arguments of a load that makes the endpoint scale out, going by its own scaling policy."""
    rate = 100.0
    try:
        target = invocations_per_minute_target(connection, deployed.endpoint_name, deployed.variant_names[0])
        if target:
            rate = max(1.0, round(1.5 * target / 60))
    except (ClientError, BotoCoreError, IndexError):
        pass  # a hint only; a load of some kind is always worth a try
    return f"load {deployed.pattern} --rate {rate:g} --duration 5m"


DEMOS: dict[str, Callable[[Connection, DeployedPattern], list[Shown]]] = {"realtime": demo_realtime}
