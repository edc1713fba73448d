"""Inference pipeline: raw text in, readable answer out, and what each stage contributes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError
from rich.table import Table
from rich.text import Text

from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.invocation import Answer, Target, invoke
from client.invocation_view import answers_as_dict, answers_table
from client.metrics import Figures, Window, container_figures
from client.output import err, figure, out, plain
from client.patterns import DeployedPattern
from client.payloads import Payload, from_texts
from client.predictions import Answers, read_predictions
from client.waiting import wait_until_in_service

RAW = (
    "불후의 명작입니다ㅋㅋㅋㅋㅋㅋ   눈물이 앞을 가려요 ^^;;",
    "저런...5점 만점에   1점 주기도 힘들어요ㅠㅠㅠㅠㅠㅠ",
)
EXPECTED = ("positive", "negative")

# enough for percentiles that mean something, few enough not to be noticed on a bill
_REQUESTS = 40
_METRICS_WITHIN_SECONDS_SANDBOX = 10.0
_POLL_SECONDS = 0.5
_LOOK_BACK_SECONDS = 600

_CONTRIBUTIONS = {
    "normalize": "white space, emoticons and repeated jamo (ㅋㅋㅋㅋ) put into one form",
    "classify": "a label and its probability for each text",
    "render": "the same in Korean and English words",
}


class Stages(Outcome):
    """Raw texts, the readable answer, and the figures of each stage."""

    def __init__(
        self,
        payload: Payload,
        answer: Answer,
        stages: dict[str, Figures],
        note: str,
        next_steps: Sequence[Step],
    ) -> None:
        super().__init__(next_steps)
        self.payload = payload
        self.answer = answer
        self.stages = stages
        self.note = note

    @property
    def answers(self) -> Answers | None:
        """The answer read; None if it is not labels with words."""
        predictions = read_predictions(self.answer.body, self.answer.content_type)
        return predictions if predictions and all(one.korean and one.english for one in predictions) else None

    @property
    def problem(self) -> UserError | None:
        """What was not as promised."""
        body = self.answer.body[:300].decode(errors="replace")
        if self.answers is None:
            return UserError("The pipeline's answer has no Korean and English words", f"It answered {body!r}")
        predictions = read_predictions(self.answer.body, self.answer.content_type) or []
        if [one.label for one in predictions] != list(EXPECTED):
            return UserError(f"Expected the labels {', '.join(EXPECTED)}", f"The pipeline answered {body!r}")
        return None

    def show(self) -> None:
        """The answer, and the stages that it came through."""
        if self.answers:
            out.print(answers_table(self.payload, self.answers))
        else:
            out.print(plain(self.answer.body.decode(errors="replace")), soft_wrap=True)
        stages = Table(header_style="bold", title="One request, stage by stage", title_justify="left")
        stages.add_column("stage", style="cyan")
        stages.add_column("what it makes of it", overflow="fold")
        for heading in ("requests", "errors", "p50 ms", "p99 ms"):
            stages.add_column(heading, justify="right")
        for hostname, found in self.stages.items():
            errors = (found.get("errors_4xx") or 0) + (found.get("errors_5xx") or 0)
            stages.add_row(
                hostname,
                _CONTRIBUTIONS.get(hostname, ""),
                figure(found.get("invocations"), 0),
                Text(f"{errors:g}", style="red" if errors else ""),
                figure(found.get("latency_p50_ms"), 2),
                figure(found.get("latency_p99_ms"), 2),
            )
        out.print(stages)
        out.print(Text(self.note, style="dim"), soft_wrap=True)

    def figures(self) -> dict[str, Any]:
        """The answer and the stages."""
        return {
            "latency_ms": round(self.answer.latency_ms, 3),
            **(
                answers_as_dict(self.payload, self.answers)
                if self.answers
                else {"body": self.answer.body.decode(errors="replace")}
            ),
            "stages": [{"hostname": name, **found} for name, found in self.stages.items()],
        }


def demo_inference_pipeline(connection: Connection, deployed: DeployedPattern) -> Stages:
    """Send raw text, and ask CloudWatch what each stage took.

    Raises:
        UserError: The endpoint is not what the stack asked for, does not become ready, or refuses.
    """
    endpoint = wait_until_in_service(connection, deployed)
    hostnames = deployed.container_hostnames
    way = " -> ".join(hostnames)
    err.print(f"endpoint {endpoint.name} is InService; one request passes {way}", soft_wrap=True)
    target = Target(endpoint.name, accept="application/json")
    payload = from_texts(RAW)
    answer = invoke(connection, target, payload)
    for _ in range(_REQUESTS - 1):
        invoke(connection, target, payload)
    stages = _stage_figures(connection, deployed, hostnames)
    note = (
        "Latencies are each container's own (ContainerLatency, of the last ten minutes). What passes between "
        "the stages stays in the instance: a caller sees only the last stage's answer."
    )
    if not any(one.get("invocations") for one in stages.values()):
        note += " CloudWatch has no figures yet: AWS publishes them within a few minutes, see `status`."
    name = deployed.pattern
    steps = client_steps(
        connection,
        ("your own raw text", f'invoke {name} "와 진짜 대박ㅋㅋㅋㅋㅋ 또 볼래요!!!!"'),
        ("the words alone", f'invoke {name} "별로ㅠㅠㅠㅠ" --accept text/plain'),
        ("a bad request: the stage that refuses is named", f"invoke {name} --json-body '{{\"inputs\": 5}}'"),
        ("latency and errors of each stage", f"status {name}"),
    )
    steps += usual_steps(connection, deployed, "a stage in model_code/ or config/dev.yaml")
    return Stages(payload, answer, stages, note, steps)


def _stage_figures(
    connection: Connection, deployed: DeployedPattern, hostnames: Sequence[str]
) -> dict[str, Figures]:
    """Figures by stage; in the sandbox they are there in a second or two, on AWS nobody waits for them."""
    nothing: dict[str, Figures] = {hostname: {} for hostname in hostnames}
    if not deployed.variant_names:
        return nothing
    deadline = time.monotonic() + (_METRICS_WITHIN_SECONDS_SANDBOX if connection.is_sandbox else 0)
    while True:
        try:
            found = container_figures(
                connection,
                deployed.endpoint_name,
                deployed.variant_names[0],
                hostnames,
                Window.of(_LOOK_BACK_SECONDS),
            )
        except ClientError:  # no permission to see metrics: the answer is what matters
            return nothing
        complete = all((one.get("invocations") or 0) >= _REQUESTS for one in found.values())
        if complete or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_SECONDS)
