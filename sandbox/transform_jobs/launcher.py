"""Starts the instances of a job: as those of endpoints, with other logs and other words."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.fleet import Instance
from sandbox.fleet.instances import Launcher

LOG_GROUP = "/aws/sagemaker/TransformJobs"
"""Log group of all jobs (developer guide, "Log groups and streams that SageMaker sends")."""


@dataclass(frozen=True)
class TransformLauncher(Launcher):
    """A launcher whose `endpoint_name` is the name of a job.

    Args:
        epoch: When the job was created, in seconds since 1970, which its log streams carry.
    """

    epoch: int = 0

    @property
    def log_group(self) -> str:  # noqa: D102  (Launcher)
        return LOG_GROUP

    @property
    def whose(self) -> str:  # noqa: D102  (Launcher)
        return f"transform job {self.endpoint_name}"

    @property
    def log_subject(self) -> str:  # noqa: D102  (Launcher)
        return "job"

    def stream(self, instance: Instance) -> str:  # noqa: D102  (Launcher)
        return f"{self.endpoint_name}/{instance.id}-{self.epoch}"
