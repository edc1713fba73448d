"""Serverless inference: the first call starts a container, the next finds it, a crowd is throttled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.invocation import Answer, Target, invoke
from client.metrics import HOUR, Queries, figures
from client.output import err, out
from client.patterns import DeployedPattern
from client.payloads import REVIEWS, from_texts
from client.predictions import read_predictions
from client.waiting import wait_until_in_service

EXPECTED = ["positive", "negative"]
THROTTLED = "ThrottlingException"
ANSWERED = "answered"
_SETUP: Queries = {
    "invocations": ("Invocations", "Sum"),
    "cold_starts": ("ModelSetupTime", "SampleCount"),
    # in microseconds (developer guide, monitoring serverless endpoints)
    "setup": ("ModelSetupTime", "Sum"),
}
_METRIC_WITHIN_SECONDS_SANDBOX = 10.0
_METRIC_WITHIN_SECONDS_AWS = 180.0
_LOOK_SECONDS_SANDBOX = 0.3
_LOOK_SECONDS_AWS = 10.0
# the sandbox keeps a container for ten minutes of AWS time: ten seconds at the demos' time scale
_PAUSE_SECONDS_SANDBOX = 12.0
# large enough that requests meet each other, far below the 4 MB that serverless endpoints take
_TEXTS_AT_ONCE = 4000
_TIMES_OVER = 3
_ATTEMPTS = 3


@dataclass(frozen=True)
class Call:
    """One request, and what CloudWatch knew of cold starts around it.

    Args:
        answer: What came back.
        labels: What the model made of the two reviews.
        setup_ms: Milliseconds that the container took to start, by CloudWatch; None if none was started.
    """

    answer: Answer
    labels: list[str]
    setup_ms: float | None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "latency_ms": round(self.answer.latency_ms, 3),
            "cold": self.setup_ms is not None,
            "setup_ms": self.setup_ms,
            "labels": self.labels,
        }


class OnDemand(Outcome):
    """A cold call, a warm one, and a crowd."""

    def __init__(
        self,
        first: Call,
        second: Call,
        limit: int,
        crowd: Counter[str],
        must_be_cold: bool,
        next_steps: Sequence[Step],
    ) -> None:
        super().__init__(next_steps)
        self.first, self.second = first, second
        self.limit, self.crowd, self.must_be_cold = limit, crowd, must_be_cold

    @property
    def problem(self) -> UserError | None:
        """What was not as the pattern promises."""
        lines = [
            f"the {name} call: expected {', '.join(EXPECTED)}, got {', '.join(call.labels) or 'no labels'}"
            for name, call in (("first", self.first), ("second", self.second))
            if call.labels != EXPECTED
        ]
        if self.must_be_cold and self.first.setup_ms is None:
            lines.append(
                "the first call was not cold: a container of an earlier call was still there, or CloudWatch "
                "got no ModelSetupTime; wait some minutes of AWS time and try again"
            )
        if self.second.setup_ms is not None:
            lines.append("the second call was not warm: a container was started for it")
        if not self.crowd[ANSWERED]:
            lines.append("no request of the crowd was answered")
        if not self.crowd[THROTTLED]:
            lines.append(f"{self.crowd.total()} requests at once, but none was throttled")
        others = {name: count for name, count in self.crowd.items() if name not in (ANSWERED, THROTTLED)}
        if others:
            told = ", ".join(f"{count} x {name}" for name, count in others.items())
            lines.append(f"requests of the crowd failed otherwise: {told}")
        return (
            UserError("The endpoint does not behave as a serverless one", "\n".join(lines)) if lines else None
        )

    def show(self) -> None:
        """Both calls side by side, then the crowd."""
        table = Table(header_style="bold", title="Two reviews, sent twice", title_justify="left")
        table.add_column("")
        table.add_column("latency", justify="right")
        table.add_column("container started (ModelSetupTime)", justify="right")
        table.add_column("labels")
        for name, call in (("first call", self.first), ("next call", self.second)):
            cold = call.setup_ms is not None
            table.add_row(
                Text.assemble(name, "  ", ("cold", "bold cyan") if cold else ("warm", "bold yellow")),
                f"{call.answer.latency_ms:,.1f} ms",
                f"{call.setup_ms:,.0f} ms" if call.setup_ms is not None else "none: one was there",
                ", ".join(call.labels),
            )
        out.print(table)
        words = ", ".join(f"{self.crowd[name]} {_words(name)}" for name in sorted(self.crowd))
        out.print(
            Text.assemble(
                (f"{self.crowd.total()} requests at once", "bold"),
                f", of which max_concurrency lets {self.limit} in: {words}",
            ),
            soft_wrap=True,
        )

    def figures(self) -> dict[str, Any]:
        """Calls and crowd."""
        return {
            "first": self.first.as_dict(),
            "next": self.second.as_dict(),
            "max_concurrency": self.limit,
            "at_once": dict(self.crowd),
        }


def demo_serverless(connection: Connection, deployed: DeployedPattern) -> OnDemand:
    """Call after a pause, call again, then call more often at once than is allowed.

    On AWS the demo does not wait until containers are gone: there the first call may be warm.

    Raises:
        UserError: The endpoint is not what the stack asked for, does not become ready, or refuses.
    """
    endpoint = wait_until_in_service(connection, deployed)
    limit, provisioned = _concurrency(connection, endpoint.name)
    must_be_cold = connection.is_sandbox and not provisioned
    err.print(
        f"endpoint {endpoint.name} is InService: no instances, at most {limit} containers", soft_wrap=True
    )
    if must_be_cold and _seen(connection, deployed)["invocations"]:
        with err.status("letting warm containers go"):
            time.sleep(_PAUSE_SECONDS_SANDBOX)
    first = _call(connection, deployed)
    second = _call(connection, deployed)
    crowd: Counter[str] = Counter()
    for _ in range(_ATTEMPTS):
        crowd = _crowd(connection, Target(endpoint.name), _TIMES_OVER * limit)
        if crowd[THROTTLED]:
            break
    steps = client_steps(
        connection,
        ("your own texts", f'invoke {deployed.pattern} "정말 재미있게 봤어요"'),
        ("a crowd for ten seconds", f"load {deployed.pattern} --concurrency 20 --duration 10s"),
    )
    return OnDemand(
        first,
        second,
        limit,
        crowd,
        must_be_cold,
        steps + usual_steps(connection, deployed, "memory or concurrency in config/dev.yaml"),
    )


def _concurrency(connection: Connection, endpoint_name: str) -> tuple[int, int]:
    """Most requests at a time, and containers that are always warm."""
    described = connection.client("sagemaker").describe_endpoint(EndpointName=endpoint_name)
    variants = described.get("ProductionVariants") or [{}]
    config = variants[0].get("CurrentServerlessConfig")
    if not config:
        raise UserError(
            f"Endpoint {endpoint_name} is not serverless",
            "Deploy the pattern serverless; for endpoints on instances there is the demo realtime.",
        )
    return int(config["MaxConcurrency"]), int(config.get("ProvisionedConcurrency") or 0)


def _seen(connection: Connection, deployed: DeployedPattern) -> dict[str, float]:
    """Invocations, cold starts and the time that these took, in the last hour."""
    dimensions = {"EndpointName": deployed.endpoint_name, "VariantName": deployed.variant_names[0]}
    found = figures(connection, {"": dimensions}, _SETUP, HOUR)[""]
    return {key: value or 0.0 for key, value in found.items()}


def _call(connection: Connection, deployed: DeployedPattern) -> Call:
    """Call once, and wait until CloudWatch has counted it: then it knows of its cold start, too."""
    before = _seen(connection, deployed)
    answer = invoke(connection, Target(deployed.endpoint_name), from_texts(REVIEWS))
    labels = [one.label for one in read_predictions(answer.body, answer.content_type) or []]
    within = _METRIC_WITHIN_SECONDS_SANDBOX if connection.is_sandbox else _METRIC_WITHIN_SECONDS_AWS
    deadline = time.monotonic() + within
    with err.status("waiting for CloudWatch"):
        while True:
            now = _seen(connection, deployed)
            if now["cold_starts"] > before["cold_starts"]:
                return Call(answer, labels, (now["setup"] - before["setup"]) / 1000)
            if now["invocations"] > before["invocations"] or time.monotonic() > deadline:
                return Call(answer, labels, None)
            time.sleep(_LOOK_SECONDS_SANDBOX if connection.is_sandbox else _LOOK_SECONDS_AWS)


def _crowd(connection: Connection, target: Target, callers: int) -> Counter[str]:
    """What became of so many requests at once."""
    # a retry would hide a throttled request
    client = connection.new_client("sagemaker-runtime", attempts=1)
    parameters = target.parameters(from_texts(REVIEWS * (_TEXTS_AT_ONCE // len(REVIEWS))))

    def ask(_: int) -> str:
        try:
            client.invoke_endpoint(**parameters)["Body"].read()
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code", "Unknown"))
        except (BotoCoreError, OSError) as error:
            return type(error).__name__
        return ANSWERED

    try:
        with ThreadPoolExecutor(callers) as pool:
            return Counter(pool.map(ask, range(callers)))
    finally:
        client.close()


def _words(name: str) -> str:
    return {THROTTLED: f"throttled ({THROTTLED})"}.get(name, name)
