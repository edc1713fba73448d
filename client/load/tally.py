"""Counts what came back while load runs, and sums it up."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from client.percentiles import percentile

REPORTED = (50, 90, 95, 99)
_LIVE_WINDOW = 2_000


@dataclass
class ErrorCount:
    """Requests that failed in the same way.

    Args:
        count: How many.
        sample: What the first of them was told.
    """

    count: int
    sample: str


class Tally:
    """Everything that is known about a run. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.started = 0.0
        self.ended = 0.0
        self.planned: int | None = None
        self.sent = 0
        self.failed = 0
        self.latencies = array("d")
        self.lags = array("d")
        self.errors: dict[str, ErrorCount] = {}
        self.variants: Counter[str] = Counter()
        self.interrupted = False
        self._recent: deque[float] = deque(maxlen=_LIVE_WINDOW)

    @property
    def answered(self) -> int:
        """Requests that were answered with success."""
        return len(self.latencies)

    @property
    def finished(self) -> int:
        """Requests that are over, one way or the other."""
        return self.answered + self.failed

    @property
    def not_sent(self) -> int:
        """Requests of an open loop that there was no time or no free connection for."""
        if self.planned is None or self.interrupted:
            return 0
        return self.planned - self.sent

    @property
    def clean(self) -> bool:
        """Whether every request was sent and answered with success."""
        return not self.failed and not self.not_sent and not self.interrupted

    def succeeded(self, latency: float, variant: str) -> None:
        """Count an answer; latency in seconds."""
        self.latencies.append(latency)
        self._recent.append(latency)
        self.variants[variant or "(not named)"] += 1

    def failure(self, kind: str, sample: str) -> None:
        """Count a failed request."""
        self.failed += 1
        known = self.errors.get(kind)
        if known:
            known.count += 1
        else:
            self.errors[kind] = ErrorCount(1, sample)

    def live(self) -> tuple[float, float] | None:
        """p50 and p99 of the latest answers in milliseconds; None before the first."""
        ordered = sorted(self._recent)
        return (percentile(ordered, 50) * 1000, percentile(ordered, 99) * 1000) if ordered else None

    def report(self) -> dict[str, Any]:
        """The figures, ready for JSON. Latency covers the requests that were answered with success."""
        seconds = max(self.ended - self.started, 1e-9)
        return {
            "seconds": round(seconds, 3),
            "requests": {
                "sent": self.sent,
                "answered": self.answered,
                "failed": self.failed,
                "not_sent": self.not_sent,
            },
            "requests_per_second": round(self.answered / seconds, 2),
            "latency_ms": _summary(self.latencies),
            "send_lag_ms": _summary(self.lags) if self.planned is not None else None,
            "variants": dict(self.variants.most_common()),
            "errors": [
                {"kind": kind, "count": error.count, "sample": error.sample}
                for kind, error in sorted(self.errors.items(), key=lambda item: -item[1].count)
            ],
            "interrupted": self.interrupted,
        }


def _summary(seconds: array[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    figures = {f"p{percent}": percentile(ordered, percent) for percent in REPORTED} | {"max": ordered[-1]}
    return {name: round(value * 1000, 3) for name, value in figures.items()}
