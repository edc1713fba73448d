"""A/B test: two models behind one endpoint, traffic counted, compared, shifted, the loser dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from client.ab.comparison import Comparison, compare
from client.ab.labelled import LabelledFile, default_file, read_labelled
from client.ab.sending import Share, count_shares
from client.ab.view import show_comparison, verdict
from client.ab.weights import shift
from client.commands import redeploy_command
from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.demos.traffic import Counts, SteadyTraffic
from client.deploying import Deployment, deploy
from client.errors import UserError
from client.invocation import Target, invoke
from client.output import err, out, texts_progress
from client.patterns import DeployedPattern, find_pattern
from client.payloads import REVIEWS, from_texts
from client.status import EndpointStatus
from client.waiting import wait_until_in_service

_REQUESTS_PER_PHASE = 600
_REQUESTS_NAMED = 20
_PER_SECOND_SANDBOX = 150.0
_PER_SECOND_AWS = 50.0
_PHASE_WITHIN_SECONDS = 180.0


@dataclass(frozen=True)
class Phase:
    """Some traffic, and who answered it.

    Args:
        name: What was set before it.
        counts: What became of the requests.
        shares: Who answered, beside what was promised; empty while a deployment ran.
    """

    name: str
    counts: Counts
    shares: Sequence[Share] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "phase": self.name,
            "requests": self.counts.total,
            "failed": self.counts.failed,
            "answered": dict(self.counts.variants),
            "shares": [one.as_dict() for one in self.shares],
        }


class AbTested(Outcome):
    """What an A/B test showed, from the first request to the dropped loser."""

    def __init__(
        self,
        comparison: Comparison,
        labelled: LabelledFile,
        phases: Sequence[Phase],
        everything: Counts,
        left: Sequence[str],
        next_steps: Sequence[Step],
    ) -> None:
        super().__init__(next_steps)
        self.comparison = comparison
        self.labelled = labelled
        self.phases = phases
        self.everything = everything
        self.left = left

    @property
    def problem(self) -> UserError | None:
        """What was not as promised."""
        lines = [
            f"{phase.name}: {one.variant} answered {100 * one.share:.1f} % of {phase.counts.total:,} "
            f"requests, promised were {100 * one.promised:.1f} %"
            for phase in self.phases
            for one in phase.shares
            if not one.as_promised
        ]
        if self.everything.failed:
            told = ", ".join(f"{count:,} x {error}" for error, count in self.everything.errors.most_common(5))
            lines.append(f"{self.everything.failed:,} of {self.everything.total:,} requests failed: {told}")
        if len(self.left) != 1:
            lines.append(f"one variant should be left, but these are: {', '.join(self.left)}")
        return UserError("The A/B test did not go as promised", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """Accuracies, then the traffic."""
        show_comparison(self.comparison, self.labelled)
        names = (self.comparison.first, self.comparison.second)
        table = Table(header_style="bold", title="Traffic", title_justify="left")
        table.add_column("")
        for heading in ("requests", *names, "failed"):
            table.add_column(heading, justify="right")
        for phase in self.phases:
            table.add_row(
                phase.name,
                f"{phase.counts.total:,}",
                *(_answered(phase, name) for name in names),
                _failed(phase.counts),
            )
        table.add_section()
        table.add_row(
            "all along",
            f"{self.everything.total:,}",
            *(f"{self.everything.variants[name]:,}" for name in names),
            _failed(self.everything),
        )
        out.print(table)
        out.print(f"left: {', '.join(self.left)}", soft_wrap=True)

    def figures(self) -> dict[str, Any]:
        """Comparison and traffic."""
        return {
            "texts": str(self.labelled),
            "comparison": self.comparison.as_dict(),
            "verdict": verdict(self.comparison),
            "phases": [phase.as_dict() for phase in self.phases],
            "requests": self.everything.total,
            "failed": self.everything.failed,
            "variants_left": list(self.left),
        }


def demo_ab_test(connection: Connection, deployed: DeployedPattern) -> AbTested:
    """Count, compare, shift, drop the loser; with traffic going on all the time.

    Raises:
        UserError: The endpoint is not what the stack asked for, or a step cannot be done.
    """
    endpoint = _with_two_variants(connection, deployed)
    first, second = (one.name for one in endpoint.production_variants[:2])
    # all of them: models that differ by some tenths of a point are told apart by tens of thousands of texts
    labelled = read_labelled(default_file())
    per_second = _PER_SECOND_SANDBOX if connection.is_sandbox else _PER_SECOND_AWS
    phases: list[Phase] = []
    with SteadyTraffic(
        connection, Target(endpoint.name), from_texts(REVIEWS), per_second=per_second
    ) as traffic:

        def run_phase(weights: dict[str, float]) -> None:
            now = shift(connection, deployed, weights)
            counts = traffic.wait_for(_REQUESTS_PER_PHASE, within=_PHASE_WITHIN_SECONDS)
            phases.append(Phase(_weights_name(now), counts, count_shares(now, counts.variants)))
            _say(phases[-1])

        run_phase({first: 50, second: 50})
        err.print(f"asking both variants about {labelled}", soft_wrap=True)
        with texts_progress(2 * len(labelled.rows)) as progressed:
            comparison = compare(connection, endpoint.name, (first, second), labelled.rows, progressed)
        # the burden of proof is the newcomer's: without a proof the first stays
        winner = comparison.better or first
        loser = second if winner == first else first
        stays = "" if comparison.better else f" So {winner} stays."
        err.print(f"{verdict(comparison)}{stays}", soft_wrap=True)
        run_phase({winner: 80, loser: 20})
        run_phase({winner: 100, loser: 0})
        phases.append(_named(connection, endpoint, loser))
        _say(phases[-1])
        dropped, left = _drop(connection, deployed, loser, traffic)
        phases.append(dropped)
        _say(dropped)
        everything = traffic.since()
    name = deployed.pattern
    steps = client_steps(
        connection,
        ("the figures of each variant", "ab show"),
        ("past the weights", f'invoke {name} "정말 재미있게 봤어요" --target-variant {winner}'),
    )
    steps.append(Step(f"{loser} again", _redeploy(connection, deployed)))
    steps += client_steps(
        connection,
        ("then: is one better?", "ab test"),
        ("then: shift some traffic", f"ab shift {first}=80 {second}=20"),
    )
    steps += usual_steps(connection, deployed, "a variant in config/dev.yaml")
    return AbTested(comparison, labelled, phases, everything, left, steps)


def _with_two_variants(connection: Connection, deployed: DeployedPattern) -> EndpointStatus:
    """The endpoint with both its variants, whatever a former demo left."""
    endpoint = wait_until_in_service(connection, deployed)
    if len(endpoint.production_variants) < 2:
        err.print("a variant is missing: deploying the pattern as it is committed", soft_wrap=True)
        with err.status("deploying"):
            deploy(connection, deployed)
        endpoint = wait_until_in_service(
            connection, find_pattern(connection, deployed.pattern, deployed.stack_name)
        )
    if len(endpoint.production_variants) < 2:
        raise UserError(
            f"Endpoint {endpoint.name} has one variant: there is nothing to compare",
            f"Give patterns.{deployed.pattern}.variants a second one in the configuration.",
        )
    return endpoint


def _named(connection: Connection, endpoint: EndpointStatus, variant: str) -> Phase:
    """Requests that name a variant without weight."""
    traffic = Target(endpoint.name, variant)
    counts: list[str] = []
    for _ in range(_REQUESTS_NAMED):
        counts.append(invoke(connection, traffic, from_texts(REVIEWS)).variant)
    answered = Counts.of_answers(counts)
    return Phase(f"TargetVariant {variant}", answered, count_shares(endpoint, answered.variants, variant))


def _drop(
    connection: Connection, deployed: DeployedPattern, loser: str, traffic: SteadyTraffic
) -> tuple[Phase, list[str]]:
    """Remove a variant by a stack update; gives the requests meanwhile, and who is left."""
    mark = traffic.mark
    setting = f"patterns.{deployed.pattern}.variants.{loser}=null"
    err.print(f"dropping {loser} by a stack update: -c {setting}", soft_wrap=True)
    with Deployment(connection, deployed, [setting]) as deployment, err.status("deploying") as spinner:
        while deployment.running:
            spinner.update(f"[dim]{deployment.doing}[/dim]")
            deployment.pause()
        if deployment.wait() != 0:
            raise UserError(f"{loser} could not be dropped", deployment.words())
    redeployed = find_pattern(connection, deployed.pattern, deployed.stack_name)
    endpoint = wait_until_in_service(connection, redeployed)
    traffic.wait_for(_REQUESTS_PER_PHASE // 4, within=_PHASE_WITHIN_SECONDS)
    return Phase(f"dropping {loser}", traffic.since(mark)), [one.name for one in endpoint.production_variants]


def _redeploy(connection: Connection, deployed: DeployedPattern) -> str:
    return redeploy_command(deployed.pattern, deployed.stack_name, in_sandbox=connection.is_sandbox)


def _weights_name(endpoint: EndpointStatus) -> str:
    weights = " : ".join(f"{one.weight or 0:g}" for one in endpoint.production_variants)
    return f"weights {weights}"


def _say(phase: Phase) -> None:
    answered = ", ".join(f"{name} {count:,}" for name, count in sorted(phase.counts.variants.items()))
    err.print(
        f"{phase.name}: {phase.counts.total:,} requests, {answered}, {phase.counts.failed:,} failed",
        soft_wrap=True,
    )


def _answered(phase: Phase, variant: str) -> Text:
    count = phase.counts.variants[variant]
    for one in phase.shares:
        if one.variant == variant:
            style = "" if one.as_promised else "bold red"
            return Text(f"{count:,} ({100 * one.share:.1f} %)", style=style)
    return Text(f"{count:,}")


def _failed(counts: Counts) -> Text:
    return Text(f"{counts.failed:,}", style="bold red" if counts.failed else "green")
