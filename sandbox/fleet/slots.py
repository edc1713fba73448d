"""The limit of model-server processes, which stands for the account's instance quota."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.fleet.failures import FleetFailed


@dataclass
class Slots:
    """Model-server processes over all fleets, against the sandbox's limit."""

    limit: int
    taken: int = 0

    def exceeded_by(self, count: int) -> str | None:
        """What to tell somebody who wants so many more, None when they fit."""
        if self.taken + count <= self.limit:
            return None
        return (
            f"The account-level service limit 'model servers in this sandbox' is {self.limit} processes, "
            f"with current utilization of {self.taken} processes and a request delta of {count} processes. "
            "Delete an endpoint, use fewer instances, or start the sandbox with a higher --max-model-servers."
        )

    def take(self, count: int) -> None:
        """Count so many more.

        Raises:
            FleetFailed: The limit does not allow it.
        """
        text = self.exceeded_by(count)
        if text is not None:
            raise FleetFailed(text)
        self.taken += count

    def give_back(self, count: int) -> None:
        """Count so many less."""
        self.taken -= count
