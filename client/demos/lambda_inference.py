"""Lambda container: invoked directly and over HTTP, cold and warm; unsigned requests are refused."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from rich.table import Table
from rich.text import Text

from client.connection import READ_TIMEOUT_SECONDS, Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.functions.invocation import invoke_function, invoke_http
from client.functions.state import FunctionStatus, function_problems, function_status
from client.invocation import Answer
from client.output import err, out
from client.patterns import DeployedPattern
from client.payloads import REVIEWS, from_texts
from client.predictions import read_predictions

EXPECTED = ["positive", "negative"]
# a function URL and an HTTP API with IAM authorization say so (Lambda and API Gateway developer guides)
_REFUSED = 403
# the sandbox keeps an environment for five minutes of AWS time: five seconds at the demos' time scale
_PAUSE_SECONDS_SANDBOX = 7.0


@dataclass(frozen=True)
class Called:
    """One request.

    Args:
        way: How it went.
        answer: What came back.
        tells_init: Whether this way tells of the start of an environment; HTTP fronts do not.
    """

    way: str
    answer: Answer
    tells_init: bool = True

    @property
    def start(self) -> str:
        """Whether an environment was started for it, as Lambda's log says."""
        if not self.tells_init:
            return ""
        return f"cold: {self.answer.init_ms:,.0f} ms" if self.answer.init_ms is not None else "warm"

    @property
    def labels(self) -> list[str]:
        """What the model made of the two reviews; empty if the answer has another form."""
        return [one.label for one in read_predictions(self.answer.body, self.answer.content_type) or []]

    @property
    def content(self) -> Any:
        """The answer, read."""
        try:
            return json.loads(self.answer.body)
        except ValueError:
            return self.answer.body

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "way": self.way,
            "latency_ms": round(self.answer.latency_ms, 3),
            "init_ms": self.answer.init_ms,
            "labels": self.labels,
            "version": self.answer.variant or None,
        }


class FunctionCalled(Outcome):
    """Calls by each way, and what became of one without a signature."""

    def __init__(
        self, calls: Sequence[Called], unsigned: int | None, must_be_cold: bool, next_steps: Sequence[Step]
    ) -> None:
        super().__init__(next_steps)
        self.calls, self.unsigned, self.must_be_cold = calls, unsigned, must_be_cold

    @property
    def problem(self) -> UserError | None:
        """What was not as the pattern promises."""
        lines = [
            f"{one.way}: expected {', '.join(EXPECTED)}, "
            f"got {one.answer.body[:200].decode(errors='replace')!r}"
            for one in self.calls
            if one.labels != EXPECTED
        ]
        first, second = self.calls[:2]
        if self.must_be_cold and first.answer.init_ms is None:
            lines.append(
                "the first call was not cold: by Lambda's log no environment was started for it; "
                "wait some minutes of AWS time and try again"
            )
        if second.answer.init_ms is not None:
            lines.append("the next call was not warm: an environment was started for it")
        if any(one.content != self.calls[0].content for one in self.calls):
            lines.append("the ways do not give the same answers")
        if self.unsigned not in (None, _REFUSED):
            lines.append(f"a request without a signature was answered {self.unsigned}, not {_REFUSED}")
        return UserError("The function does not answer as it should", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """A row for each call."""
        table = Table(header_style="bold", title="Two reviews, sent again and again", title_justify="left")
        table.add_column("")
        table.add_column("latency", justify="right")
        table.add_column("environment started", justify="right")
        table.add_column("labels")
        for one in self.calls:
            table.add_row(one.way, f"{one.answer.latency_ms:,.1f} ms", one.start, ", ".join(one.labels))
        out.print(table)
        if self.unsigned is not None:
            out.print(
                Text.assemble("over HTTP without a signature  ", (f"refused ({self.unsigned})", "yellow"))
                if self.unsigned == _REFUSED
                else Text(f"over HTTP without a signature: {self.unsigned}", style="bold red"),
                soft_wrap=True,
            )

    def figures(self) -> dict[str, Any]:
        """Calls and refusal."""
        return {"calls": [one.as_dict() for one in self.calls], "unsigned_status": self.unsigned}


def demo_lambda(connection: Connection, deployed: DeployedPattern) -> FunctionCalled:
    """Call twice through the Lambda API, twice over HTTP, once without a signature.

    On AWS, and where environments are started ahead, the first call may be warm.

    Raises:
        UserError: The function is not what the stack asked for, refuses or fails.
    """
    function = function_status(connection, deployed)
    problems = function_problems(function)
    if problems:
        raise UserError("; ".join(problems), "Deploy again.")
    err.print(
        f"function {function.name}, alias {function.alias} -> version {function.version}, "
        f"is {function.state}",
        soft_wrap=True,
    )
    payload = from_texts(REVIEWS)
    must_be_cold = connection.is_sandbox and not _provisioned(connection, function)
    first = invoke_function(connection, deployed, payload)
    if must_be_cold and first.init_ms is None:
        with err.status("letting warm environments go"):
            time.sleep(_PAUSE_SECONDS_SANDBOX)
        first = invoke_function(connection, deployed, payload)
    calls = [
        Called("Lambda API, first call", first),
        Called("Lambda API, next call", invoke_function(connection, deployed, payload)),
    ]
    unsigned = None
    url = deployed.outputs.get("HttpUrl")
    if url:
        calls += [
            Called("HTTP, signed", invoke_http(connection, deployed, payload), tells_init=False),
            Called("HTTP, signed, again", invoke_http(connection, deployed, payload), tells_init=False),
        ]
        unsigned = _unsigned_status(connection, url, payload.body)
    name = deployed.pattern
    steps = client_steps(
        connection,
        ("your own texts", f'invoke {name} "정말 재미있게 봤어요"'),
        *([("the same over HTTP", f'invoke {name} --http "정말 재미있게 봤어요"')] if url else []),
    )
    return FunctionCalled(
        calls,
        unsigned,
        must_be_cold,
        steps + usual_steps(connection, deployed, "memory or HTTP front in config/dev.yaml"),
    )


def _provisioned(connection: Connection, function: FunctionStatus) -> bool:
    """Whether environments are started ahead for the alias."""
    client = connection.client("lambda")
    try:
        client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=function.alias)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ProvisionedConcurrencyConfigNotFoundException":
            return False
        raise
    return True


def _unsigned_status(connection: Connection, url: str, body: bytes) -> int:
    """HTTP status of a request that nobody signed."""
    request = AWSRequest("POST", url, headers={"Content-Type": "application/json"}, data=body)
    session = URLLib3Session(verify=connection.ca_bundle or True, timeout=READ_TIMEOUT_SECONDS)
    try:
        return int(session.send(request.prepare()).status_code)
    finally:
        session.close()
