"""MetricDefinitions: values that a training program prints."""

from __future__ import annotations

import contextlib
import math
import re
from datetime import UTC, datetime

from sandbox.store import Params


class FinalMetrics:
    """Looks for metrics in lines of output; the last value of each is kept.

    Args:
        definitions: AlgorithmSpecification.MetricDefinitions; expressions must compile.
    """

    def __init__(self, definitions: list[Params]) -> None:
        self._expressions = {each["Name"]: re.compile(each["Regex"]) for each in definitions}
        self._found: dict[str, Params] = {}

    def read(self, line: str) -> None:
        """Look at a line; callable from one thread at a time."""
        for name, expression in self._expressions.items():
            match = expression.search(line)
            if match is None or match.lastindex is None:
                continue
            with contextlib.suppress(ValueError, TypeError):
                value = float(match[1])
                if math.isfinite(value):  # JSON has no others
                    self._found[name] = {
                        "MetricName": name,
                        "Value": value,
                        "Timestamp": datetime.now(UTC),
                    }

    @property
    def final(self) -> list[Params]:
        """FinalMetricDataList."""
        return [self._found[name] for name in self._expressions if name in self._found]
