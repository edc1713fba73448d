"""How an ML pipeline fares: its last execution, and whether the endpoint serves what was approved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from client.commands import client_command
from client.connection import Connection
from client.patterns import DeployedPattern
from client.pipeline.versions import WAITING, Listed, describe, list_group, same_model, serving, wanted


@dataclass(frozen=True)
class RegistryStatus:
    """A model package group, the endpoint that follows it, and the pipeline that fills it.

    Args:
        group: Name of the group.
        versions: How many versions there are.
        live: Number of the version that serves; None if none does.
        coming: Number of the version that an update brings; None without one.
        wanted: Number of the newest approved version; None if none is approved.
        agrees: Whether what serves is what is wanted, or on its way.
        waiting: Numbers of the versions that wait for approval, the newest first.
        last_execution: Status of the latest execution; empty if there was none.
        advice: What to do where nothing was deployed yet; empty otherwise.
    """

    group: str
    versions: int
    live: int | None
    coming: int | None
    wanted: int | None
    agrees: bool
    waiting: tuple[int, ...]
    last_execution: str
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "group": self.group,
            "versions": self.versions,
            "live": self.live,
            "coming": self.coming,
            "wanted": self.wanted,
            "waiting": list(self.waiting),
            "last_execution": self.last_execution or None,
        }


def registry_status(connection: Connection, deployed: DeployedPattern) -> RegistryStatus:
    """Ask SageMaker about a pattern that has a model package group."""
    versions, now = list_group(connection, deployed), serving(connection, deployed)
    numbers = {one.arn: one.number for one in versions}
    goal = wanted(versions)
    agrees = goal is None or now.is_busy or now.arn == goal.arn
    if not agrees and goal is not None and now.arn in numbers:
        compared = [describe(connection, arn) for arn in (now.arn, goal.arn)]
        agrees = same_model(compared, now.arn, goal.arn)
    listed = connection.client("sagemaker").list_pipeline_executions(
        PipelineName=deployed.outputs["PipelineName"],
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )
    return RegistryStatus(
        group=deployed.outputs["ModelPackageGroupName"],
        versions=len(versions),
        live=numbers.get(now.arn),
        coming=numbers.get(now.coming),
        wanted=goal.number if goal else None,
        agrees=agrees,
        waiting=tuple(one.number for one in versions if one.approval == WAITING),
        last_execution=next(
            (one["PipelineExecutionStatus"] for one in listed["PipelineExecutionSummaries"]), ""
        ),
        advice="" if now.status else _advice(versions, in_sandbox=connection.is_sandbox),
    )


def registry_problems(registry: RegistryStatus) -> list[str]:
    """Why the endpoint does not serve what was approved; empty if it does, or is on its way."""
    if registry.agrees:
        return []
    live = "nothing" if registry.live is None else f"version {registry.live}"
    return [
        f"version {registry.wanted} is approved, but the endpoint serves {live}: the deployment failed or "
        f"was taken back; reject {registry.wanted}, or call the deploy function without arguments to have it "
        "tried again"
    ]


def _advice(versions: Sequence[Listed], *, in_sandbox: bool) -> str:
    if any(one.approval == WAITING for one in versions):
        return f"approve a version: {client_command('pipeline approve --wait', in_sandbox=in_sandbox)}"
    send = client_command("pipeline send FILE --folder NAME", in_sandbox=in_sandbox)
    return f"send reviews, which an execution makes a version of: {send}"
