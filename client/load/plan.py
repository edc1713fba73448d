"""How much load, for how long; refuses what would harm more than it measures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from client.errors import UserError

MAX_RATE = 5_000
# connections, too: stays well below the usual limit of 1,024 open files
MAX_IN_FLIGHT = 500
MAX_DURATION_SECONDS = 3_600.0
MAX_REQUESTS = 5_000_000
DEFAULT_DURATION_SECONDS = 30.0
DEFAULT_CONCURRENCY = 4


@dataclass(frozen=True)
class LoadPlan:
    """Either a rate (open loop) or a concurrency (closed loop).

    Args:
        rate: Requests per second to begin, whether or not earlier ones were answered; above 0, at most 5,000.
        concurrency: Callers that each wait for an answer before they send again; 1 to 500.
        duration_seconds: No request begins after this; at most 3,600.
        requests: Requests to send at most; 1 to 5,000,000.

    Raises:
        UserError: Both or neither of rate and concurrency, values beyond their limits; all findings at once.
    """

    rate: float | None = None
    concurrency: int | None = None
    duration_seconds: float = DEFAULT_DURATION_SECONDS
    requests: int = MAX_REQUESTS

    def __post_init__(self) -> None:
        findings = []
        if (self.rate is None) == (self.concurrency is None):
            findings.append("give --rate or --concurrency, not both")
        if self.rate is not None and not 0 < self.rate <= MAX_RATE:
            findings.append(f"--rate {self.rate:g}: above 0 and at most {MAX_RATE:,} requests per second")
        if self.concurrency is not None and not 1 <= self.concurrency <= MAX_IN_FLIGHT:
            findings.append(f"--concurrency {self.concurrency}: 1 to {MAX_IN_FLIGHT} callers")
        if not 0 < self.duration_seconds <= MAX_DURATION_SECONDS:
            findings.append(f"--duration {self.duration_seconds:g} s: above 0 and at most one hour")
        if not 1 <= self.requests <= MAX_REQUESTS:
            findings.append(f"--requests {self.requests}: 1 to {MAX_REQUESTS:,}")
        if not findings and self.rate is not None and self.planned > MAX_REQUESTS:
            findings.append(f"rate times duration are {self.planned:,} requests: at most {MAX_REQUESTS:,}")
        if findings:
            raise UserError("This load cannot be made", "\n".join(findings))

    @property
    def planned(self) -> int:
        """Requests that are to be sent at most: in a closed loop the time may end earlier."""
        if self.rate is None:
            return self.requests
        return min(self.requests, max(1, math.ceil(self.rate * self.duration_seconds)))

    def __str__(self) -> str:
        kind = f"{self.rate:g} requests/s" if self.rate is not None else f"{self.concurrency} callers"
        limit = "" if self.requests == MAX_REQUESTS else f", {self.requests:,} requests at most"
        if limit and self.duration_seconds == MAX_DURATION_SECONDS:
            return f"{self.requests:,} requests, {kind}"
        return f"{kind} for {self.duration_seconds:g} s{limit}"


def make_plan(
    rate: float | None, concurrency: int | None, duration_seconds: float | None, requests: int | None
) -> LoadPlan:
    """Fill in what was not said: 4 callers, 30 s; a number of requests may take up to an hour."""
    if rate is None and concurrency is None:
        concurrency = DEFAULT_CONCURRENCY
    if duration_seconds is None:
        duration_seconds = DEFAULT_DURATION_SECONDS if requests is None else MAX_DURATION_SECONDS
    return LoadPlan(rate, concurrency, duration_seconds, MAX_REQUESTS if requests is None else requests)
