"""Multi-container endpoint: three different models behind one endpoint, chosen by hostname."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from client.connection import Connection
from client.containers import SIMILARITY, SUMMARIZATION, Choice
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.invocation import Answer, Target, invoke
from client.invocation_view import answers_as_dict, answers_table
from client.output import err, out, plain
from client.patterns import DeployedPattern
from client.payloads import Payload
from client.predictions import Answers, Prediction, Similarity, Summary, read_answers
from client.waiting import wait_until_in_service

_KINDS = {SIMILARITY: Similarity, SUMMARIZATION: Summary}


@dataclass(frozen=True)
class Asked:
    """What one container was asked, and what it answered."""

    hostname: str
    payload: Payload
    answer: Answer

    @property
    def answers(self) -> Answers | None:
        """The answer read; None if it is of another form than this container's."""
        answers = read_answers(self.answer.body, self.answer.content_type)
        kind = _KINDS.get(self.hostname, Prediction)
        return answers if answers and all(isinstance(one, kind) for one in answers) else None


class ThreeModels(Outcome):
    """What each container answered, and how the endpoint refused a request that named none."""

    def __init__(self, asked: Sequence[Asked], refusal: str | None, next_steps: Sequence[Step]) -> None:
        super().__init__(next_steps)
        self.asked = asked
        self.refusal = refusal

    @property
    def problem(self) -> UserError | None:
        """What was not as promised."""
        lines = [
            f"{one.hostname} answered {one.answer.body[:200].decode(errors='replace')!r}"
            for one in self.asked
            if one.answers is None
        ]
        if self.refusal is None:
            lines.append("a request without TargetContainerHostname was not refused")
        return UserError("The containers do not answer as expected", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """Each container's answer."""
        for one in self.asked:
            facts = f"  {one.answer.latency_ms:.1f} ms, variant {one.answer.variant or '(not named)'}"
            out.print(
                Text.assemble("TargetContainerHostname ", (one.hostname, "bold cyan"), (facts, "dim")),
                soft_wrap=True,
            )
            answers = one.answers
            if answers:
                out.print(answers_table(one.payload, answers))
            else:
                out.print(plain(one.answer.body.decode(errors="replace")), soft_wrap=True)
        if self.refusal is not None:
            out.print(Text.assemble("without a hostname  ", ("refused", "yellow")), soft_wrap=True)
            out.print(Text.assemble("  ", plain(self.refusal)), soft_wrap=True)

    def figures(self) -> dict[str, Any]:
        """Answers by container."""
        return {
            "containers": [
                {
                    "hostname": one.hostname,
                    "variant": one.answer.variant,
                    "latency_ms": round(one.answer.latency_ms, 3),
                    **(
                        answers_as_dict(one.payload, one.answers)
                        if one.answers
                        else {"body": one.answer.body.decode(errors="replace")}
                    ),
                }
                for one in self.asked
            ],
            "refusal_without_hostname": self.refusal,
        }


def demo_multi_container(connection: Connection, deployed: DeployedPattern) -> ThreeModels:
    """Ask each container in its own terms, then nobody in particular.

    Raises:
        UserError: The endpoint is not what the stack asked for, does not become ready, or refuses.
    """
    endpoint = wait_until_in_service(connection, deployed)
    hostnames = deployed.container_hostnames
    err.print(
        f"endpoint {endpoint.name} is InService; {len(hostnames)} models behind it: {', '.join(hostnames)}",
        soft_wrap=True,
    )
    asked = []
    for hostname in hostnames:
        payload = Choice(hostname).payload(None, None)
        answer = invoke(connection, Target(endpoint.name, container=hostname), payload)
        asked.append(Asked(hostname, payload, answer))
    refusal: str | None = None
    try:
        invoke(connection, Target(endpoint.name), Choice().payload(None, None))
    except UserError as error:
        refusal = error.message
    name = deployed.pattern
    steps = client_steps(
        connection,
        ("your own texts", f'invoke {name} --container sentiment "정말 재미있게 봤어요"'),
        (
            "how alike are two sentences?",
            f'invoke {name} --container {SIMILARITY} "비가 온다" "비가 내리고 있다"',
        ),
        (
            "a long text in short",
            f'invoke {name} --container {SUMMARIZATION} "첫 문장입니다. 둘째 문장입니다. ..."',
        ),
        ("latency and errors of each container", f"status {name}"),
    )
    return ThreeModels(
        asked, refusal, steps + usual_steps(connection, deployed, "a model in model_code/ or config/dev.yaml")
    )
