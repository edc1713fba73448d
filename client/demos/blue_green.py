"""Deployment guardrails: a bad version is rolled back by its alarm, a good one goes all the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.demos.releases import Phase, Releases
from client.demos.traffic import Counts, SteadyTraffic
from client.deploying import deploy
from client.errors import UserError
from client.invocation import Target
from client.output import err, out
from client.patterns import DeployedPattern, find_pattern
from client.payloads import REVIEWS, from_texts
from client.status import endpoint_problems
from client.waiting import wait_until_in_service, wait_until_settled
from client.watch.follow import COMPLETED, ROLLED_BACK

GOOD, BAD, NEXT = "v1", "v2", "v3"
_PER_SECOND = 50.0
_REQUESTS_BEFORE = 150
_REQUESTS_WITHIN_SECONDS = 120.0
_TICKS = "·▁▂▃▄▅▆▇█"
_AROUND_SECONDS = 3


class Released(Outcome):
    """Three deployments under traffic, and how each ended."""

    def __init__(self, phases: Sequence[Phase], everything: Counts, next_steps: Sequence[Step]) -> None:
        super().__init__(next_steps)
        self.phases = phases
        self.everything = everything

    @property
    def problem(self) -> UserError | None:
        """What was not as the pattern promises."""
        lines = [f"{phase.name}: {finding}" for phase in self.phases for finding in phase.findings()]
        return UserError("The deployments did not go as promised", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """A row for each phase, and failures by second."""
        table = Table(header_style="bold", title="Deployments under traffic", title_justify="left")
        table.add_column("")
        table.add_column("result")
        for heading in ("serves", "requests", "failed", "took"):
            table.add_column(heading, justify="right")
        for phase in self.phases:
            expected = not phase.findings()
            table.add_row(
                phase.name,
                Text(phase.result, style="green" if expected else "bold red"),
                phase.serves,
                f"{phase.counts.total:,}",
                Text(
                    f"{phase.counts.failed:,}",
                    style="" if not phase.counts.failed else "yellow" if expected else "bold red",
                ),
                f"{phase.seconds:.0f} s",
            )
        out.print(table)
        for phase in self.phases:
            for note in _notes(phase):
                out.print(Text.assemble((f"{phase.name}  ", "bold"), note), soft_wrap=True)
        seconds = self.everything.per_second()
        failing = [second for second, (_, failed) in enumerate(seconds) if failed]
        if failing:
            start, end = max(0, failing[0] - _AROUND_SECONDS), failing[-1] + 1 + _AROUND_SECONDS
            out.print(
                Text.assemble(
                    ("failed requests by second  ", "bold"),
                    f"from {start} s  ",
                    (_sparkline(seconds[start:end]), "red"),
                ),
                soft_wrap=True,
            )

    def figures(self) -> dict[str, Any]:
        """Phases and requests."""
        return {
            "phases": [phase.as_dict() for phase in self.phases],
            "requests": self.everything.total,
            "failed": self.everything.failed,
            "per_second": [
                {"requests": total, "failed": failed} for total, failed in self.everything.per_second()
            ],
        }


def demo_blue_green(connection: Connection, deployed: DeployedPattern) -> Released:
    """v1 answers; v2 is rolled back; v3 goes all the way; back to v1 in thirds. Traffic flows all the time.

    Raises:
        UserError: The endpoint cannot be brought to v1, or requests do not get there at all.
    """
    if not connection.is_sandbox:
        err.print(
            "This takes about an hour on AWS: three deployments that start and stop three instances each, "
            "and their bakes. Six instances run, and cost money, at a time.",
            soft_wrap=True,
        )
    deployed = _start_from(connection, deployed, GOOD)
    endpoint = wait_until_in_service(connection, deployed)
    target = Target(endpoint.name)
    with SteadyTraffic(connection, target, from_texts(REVIEWS), per_second=_PER_SECOND) as traffic:
        began = time.monotonic()
        err.print(f"{GOOD} answers; {_PER_SECOND:g} requests/s from now on", soft_wrap=True)
        counts = traffic.wait_for(_REQUESTS_BEFORE, within=_REQUESTS_WITHIN_SECONDS)
        phases = [
            Phase(f"{GOOD} answers", COMPLETED, COMPLETED, GOOD, GOOD, counts, time.monotonic() - began)
        ]
        releases = Releases(connection, deployed, traffic, GOOD)
        phases.append(
            releases.release(
                BAD,
                f"{BAD}, a canary",
                "it raises on every call: its alarm has to roll it back, so this deployment must fail",
                expected=ROLLED_BACK,
            )
        )
        phases.append(
            releases.release(
                NEXT, f"{NEXT}, a canary", "it is good: the canary bakes, then all traffic goes to it"
            )
        )
        phases.append(
            releases.release(
                GOOD,
                f"{GOOD}, in thirds",
                "back to the first version, linear: a third of the traffic at a time",
                settings=_LINEAR,
            )
        )
        everything = traffic.since()
    name = deployed.pattern
    steps = client_steps(
        connection,
        ("watch a deployment that somebody else does", f"watch {name}"),
        ("which version serves?", f"status {name}"),
    )
    steps += usual_steps(connection, deployed, f"patterns.{name}.version in config/dev.yaml")
    return Released(phases, everything, steps)


_LINEAR = {
    "deployment.strategy": "linear",
    "deployment.step_percent": "33",
    "deployment.step_instances": "null",
    "deployment.bake_seconds": "180",
}
_AT_ONCE = {
    "deployment.strategy": "all_at_once",
    "deployment.step_instances": "null",
    "deployment.bake_seconds": "60",
}


def _start_from(connection: Connection, deployed: DeployedPattern, version: str) -> DeployedPattern:
    """The pattern with a version serving, whatever a former demo left."""
    endpoint = wait_until_settled(connection, deployed)
    if not endpoint_problems(endpoint) and deployed.model_version == version:
        return deployed
    err.print(
        f"{deployed.model_version or 'another version'} serves: deploying {version} first", soft_wrap=True
    )
    prefix = f"patterns.{deployed.pattern}."
    with err.status(f"deploying {version}"):
        deploy(
            connection,
            deployed,
            [f"{prefix}version={version}", *(f"{prefix}{key}={value}" for key, value in _AT_ONCE.items())],
        )
    return find_pattern(connection, deployed.pattern, deployed.stack_name)


def _notes(phase: Phase) -> list[str]:
    """What else there is to say about a phase."""
    notes = [phase.reason] if phase.reason else []
    if phase.counts.failed:
        notes.append(
            f"from the first failed request to the last, {100 * phase.worst_share():.0f} % failed"
            + (f"; the canary's share is {100 * phase.canary_share:.0f} %" if phase.canary_share else "")
        )
    if phase.fleets:
        fleets = ", ".join(f"{name} {count:,.0f}" for name, count in phase.fleets.items())
        notes.append(f"requests by fleet, from CloudWatch: {fleets}")
    return notes


def _sparkline(seconds: Sequence[tuple[int, int]]) -> str:
    """A bar for each second: its height is the part of the requests that failed."""
    highest = len(_TICKS) - 1
    return "".join(
        _TICKS[max(1, round(failed / total * highest)) if failed else 0] if total else " "
        for total, failed in seconds
    )
