"""Deployments of model versions under traffic, watched, and judged by what must come of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from client.connection import Connection
from client.demos.traffic import Counts, SteadyTraffic
from client.deploying import Deployment
from client.errors import UserError
from client.metrics import Window, fleet_figures
from client.output import err
from client.patterns import DeployedPattern, find_pattern
from client.waiting import wait_until_settled
from client.watch.follow import COMPLETED, ROLLED_BACK, Ending, Follower
from client.watch.snapshot import Snapshot
from client.watch.view import deployment_view, ending_words

# chance alone makes more failures than this many standard errors once in 30,000 times
_STANDARD_ERRORS = 4
_REQUESTS_AFTER = 50
_REQUESTS_WITHIN_SECONDS = 120.0


@dataclass(frozen=True)
class Phase:
    """A deployment, or a time without one, and the requests meanwhile.

    Args:
        name: What it was.
        result: How it ended.
        expected: How it had to end.
        serves: The version that serves after it.
        should_serve: The version that has to.
        counts: What became of the requests.
        seconds: How long it took.
        reason: What SageMaker says about the end; empty if nothing.
        canary_share: Part of the traffic that may meet the new version before the alarm sees it, 0 to 1.
        failed_after: Requests that began after the rollback had ended, and failed.
        fleets: Requests by version, from CloudWatch.
    """

    name: str
    result: str
    expected: str
    serves: str
    should_serve: str
    counts: Counts
    seconds: float
    reason: str = ""
    canary_share: float = 0.0
    failed_after: int = 0
    fleets: Mapping[str, float] = field(default_factory=dict)

    def worst_share(self) -> float:
        """Part of the requests that failed, from the first failure to the last."""
        failed = [one.ended for one in self.counts.samples if one.error]
        if not failed:
            return 0.0
        meanwhile = self.counts.between(min(failed), max(failed))
        return meanwhile.failed / meanwhile.total

    def findings(self) -> list[str]:
        """What was not as it has to be; empty if all was."""
        findings = []
        if self.result != self.expected:
            findings.append(f"it had to be {self.expected}, but is {self.result}")
        if self.serves != self.should_serve:
            findings.append(f"{self.should_serve} had to serve, but {self.serves} does")
        if self.expected == ROLLED_BACK:
            findings += self._rollback_findings()
        elif self.counts.failed:
            told = ", ".join(f"{count:,} x {error}" for error, count in self.counts.errors.most_common(3))
            findings.append(f"{self.counts.failed:,} requests failed, and none may: {told}")
        return findings

    def _rollback_findings(self) -> list[str]:
        findings = []
        if not self.counts.failed:
            findings.append("no request met the bad version, so nothing was shown")
        if self.failed_after:
            findings.append(f"{self.failed_after:,} requests failed after the rollback")
        failed = [one.ended for one in self.counts.samples if one.error]
        if failed:
            meanwhile = self.counts.between(min(failed), max(failed))
            # the first and the last of these failed because they were chosen so
            among = max(meanwhile.total, 1)
            most = self.canary_share + _STANDARD_ERRORS * math.sqrt(
                self.canary_share * (1 - self.canary_share) / among
            )
            if meanwhile.failed - 2 > most * among:
                findings.append(
                    f"{100 * meanwhile.failed / among:.0f} % of the requests failed while the canary served, "
                    f"more than its share of {100 * self.canary_share:.0f} %"
                )
        return findings

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "phase": self.name,
            "result": self.result,
            "expected": self.expected,
            "serves": self.serves,
            "requests": self.counts.total,
            "failed": self.counts.failed,
            "failed_share": self.worst_share(),
            "failed_after_rollback": self.failed_after,
            "errors": dict(self.counts.errors),
            "seconds": round(self.seconds, 1),
            "reason": self.reason or None,
            "requests_by_fleet": dict(self.fleets),
            "findings": self.findings(),
        }


class Releases:
    """Deploys one version after the other.

    Args:
        connection: Where.
        deployed: The pattern.
        traffic: Requests that go on meanwhile.
        version: The version that serves.
    """

    def __init__(
        self, connection: Connection, deployed: DeployedPattern, traffic: SteadyTraffic, version: str
    ) -> None:
        self._connection = connection
        self._deployed = deployed
        self._traffic = traffic
        self._serves = version
        self._versions: dict[str, str] = {}

    def release(
        self,
        version: str,
        name: str,
        words: str,
        *,
        expected: str = COMPLETED,
        settings: Mapping[str, str] | None = None,
    ) -> Phase:
        """Deploy a version, draw what happens, and count.

        Args:
            version: Which one.
            name: What this is called in the results.
            words: What to expect, for a person.
            expected: How it has to end: completed or rolled back.
            settings: Further settings of the pattern.

        Raises:
            UserError: The deployment ended without having begun to change the endpoint.
        """
        err.print(f"{name}: {words}", soft_wrap=True)
        before, mark, began = self._serves, self._traffic.mark, time.monotonic()
        ending, status, said = self._deploy(version, settings or {})
        self._deployed = find_pattern(self._connection, self._deployed.pattern, self._deployed.stack_name)
        endpoint = wait_until_settled(self._connection, self._deployed)
        if ending is None:
            raise UserError(f"{version} was not deployed: its endpoint did not change", said)
        err.print(ending_words(ending), soft_wrap=True)
        self._serves = self._versions.get(endpoint.serving_config or "", "another version")
        result = ending.result
        if (status == 0) is not (result == COMPLETED):
            result = f"{result}, but the deploy command's exit status was {status}"
        # what comes after the end belongs to it: all of these have to be answered
        self._traffic.wait_for(_REQUESTS_AFTER, within=_REQUESTS_WITHIN_SECONDS)
        counts = self._traffic.since(mark)
        return Phase(
            name,
            result,
            expected,
            self._serves,
            before if expected == ROLLED_BACK else version,
            counts,
            time.monotonic() - began,
            ending.reason,
            self._canary_share() if expected == ROLLED_BACK else 0.0,
            counts.begun_after(ending.ended_at).failed if expected == ROLLED_BACK else 0,
            self._fleets(time.monotonic() - began),
        )

    def _deploy(self, version: str, settings: Mapping[str, str]) -> tuple[Ending | None, int, str]:
        """Run the deploy command and draw the endpoint meanwhile."""
        prefix = f"patterns.{self._deployed.pattern}."
        words = [f"{prefix}version={version}", *(f"{prefix}{key}={value}" for key, value in settings.items())]
        serving = wait_until_settled(self._connection, self._deployed).serving_config
        self._versions = {serving or "": self._serves}
        with Deployment(self._connection, self._deployed, words) as deployment:
            view = deployment_view(
                self._connection,
                f"{self._serves} -> {version}",
                self._versions,
                lambda: self._requests_line(deployment),
            )
            with view.drawn() as draw:

                def show(snapshot: Snapshot, seconds: float) -> None:
                    if snapshot.pending_config:
                        self._versions[snapshot.pending_config] = version
                    draw(snapshot, seconds)

                follower = Follower(self._connection, self._deployed, show)
                ending = follower.follow(lambda: deployment.running)
            with err.status("waiting for the stack") as spinner:
                while deployment.running:
                    spinner.update(f"[dim]{deployment.doing}[/dim]")
                    deployment.pause()
            return ending, deployment.wait(), deployment.words()

    def _requests_line(self, deployment: Deployment) -> str:
        counts = self._traffic.since()
        return f"{counts.total:,} requests, {counts.failed:,} failed   {deployment.doing}"

    def _canary_share(self) -> float:
        """The canary's part of the traffic, as the endpoint's deployment policy has it."""
        described = self._connection.client("sagemaker").describe_endpoint(
            EndpointName=self._deployed.endpoint_name
        )
        policy = described.get("LastDeploymentConfig", {}).get("BlueGreenUpdatePolicy", {})
        routing = policy.get("TrafficRoutingConfiguration", {})
        size = routing.get("CanarySize") or routing.get("LinearStepSize") or {}
        if size.get("Type") == "CAPACITY_PERCENT":
            return float(size["Value"]) / 100
        instances = sum(
            one.get("DesiredInstanceCount") or 1 for one in described.get("ProductionVariants", [])
        )
        return min(1.0, size["Value"] / instances) if size and instances else 1.0

    def _fleets(self, seconds: float) -> dict[str, float]:
        """Requests by version since the deployment began."""
        window = Window(math.ceil(seconds) + 1, 1) if self._connection.is_sandbox else Window.of(seconds)
        configs = [config for config in self._versions if config]
        try:
            found = fleet_figures(
                self._connection,
                self._deployed.endpoint_name,
                self._deployed.variant_names,
                configs,
                window,
            )
        except ClientError:  # no permission to see metrics: the demo's own counts are what matters
            return {}
        return {self._versions[config]: found[config]["invocations"] or 0.0 for config in configs}
