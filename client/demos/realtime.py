"""Real-time inference: two Korean reviews, each judged at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.invocation import Answer, Target, invoke
from client.output import err, out, plain
from client.patterns import DeployedPattern
from client.payloads import REVIEWS, from_texts
from client.predictions import Prediction, read_predictions
from client.scaling import invocations_per_minute_target
from client.waiting import wait_until_in_service

EXPECTED = ("positive", "negative")


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


class Predicted(Outcome):
    """Reviews and what the endpoint made of them."""

    def __init__(self, shown: Sequence[Shown], next_steps: Sequence[Step]) -> None:
        super().__init__(next_steps)
        self.shown = shown

    @property
    def problem(self) -> UserError | None:
        """What came instead of the right answers; None if they were right."""
        wrong = [one for one in self.shown if not one.right]
        if not wrong:
            return None
        lines = []
        for one in wrong:
            came = one.prediction.label if one.prediction else one.answer.body[:300].decode(errors="replace")
            lines.append(f"{one.text!r}: expected {one.expected}, got {came!r}")
        lines.append("If the endpoint serves a model of your own, this is expected: use `invoke` instead.")
        return UserError(f"{len(wrong)} of {len(self.shown)} predictions are not right", "\n".join(lines))

    def show(self) -> None:
        """The answers for a person."""
        table = Table(header_style="bold")
        table.add_column("review", overflow="fold")
        table.add_column("label")
        table.add_column("score", justify="right")
        table.add_column("latency", justify="right")
        table.add_column("variant")
        for one in self.shown:
            label = one.prediction.label if one.prediction else "?"
            table.add_row(
                one.text,
                Text(plain(label).plain, style="green" if one.right else "bold red"),
                f"{one.prediction.score:.3f}" if one.prediction else "-",
                f"{one.answer.latency_ms:.1f} ms",
                plain(one.answer.variant),
            )
        out.print(table)

    def figures(self) -> dict[str, Any]:
        """The predictions."""
        return {"predictions": [one.as_dict() for one in self.shown]}


def demo_realtime(connection: Connection, deployed: DeployedPattern) -> Predicted:
    """Wait for the endpoint, send the workshop's two reviews, one request each.

    Raises:
        UserError: The endpoint is not what the stack asked for, does not become ready, or refuses.
    """
    endpoint = wait_until_in_service(connection, deployed)
    err.print(f"endpoint {endpoint.name} is InService and serves {endpoint.serving_config}", soft_wrap=True)
    shown = [
        ask(connection, Target(endpoint.name), text, expected)
        for text, expected in zip(REVIEWS, EXPECTED, strict=True)
    ]
    pattern = deployed.pattern
    steps = client_steps(
        connection,
        ("your own text", f'invoke {pattern} "정말 재미있게 봤어요"'),
        ("load, to see it scale out", _load(connection, deployed)),
    )
    steps += usual_steps(connection, deployed, "config/dev.yaml or model_code/sentiment")
    return Predicted(shown, steps)


def ask(connection: Connection, target: Target, text: str, expected: str) -> Shown:
    """Send one review.

    Raises:
        UserError: The endpoint refuses.
    """
    answer = invoke(connection, target, from_texts([text]))
    predictions = read_predictions(answer.body, answer.content_type)
    return Shown(text, expected, predictions[0] if predictions and len(predictions) == 1 else None, answer)


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
