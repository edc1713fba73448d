"""What a benchmark found: a figure, its baseline in the same run, and the figure to reach."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Args:
        name: What was measured.
        value: The median, in `unit`.
        unit: Unit of the value, the baseline and the target.
        baseline: Median of what it is compared with, measured in the same run, or None.
        baseline_name: What that is.
        ratio: Value to baseline: the median of the ratios pair by pair where runs came in pairs.
        target: The figure to reach, or None; compared with `ratio` when `target_is_ratio`.
        at_most: Whether the target is an upper bound (else a lower one).
        target_is_ratio: Whether the target is meant for the ratio.
        details: What it was computed from, for the JSON only.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    ratio: float | None = None
    target: float | None = None
    at_most: bool = True
    target_is_ratio: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        measured = self.ratio if self.target_is_ratio else self.value
        if measured is None:
            return None
        return measured <= self.target if self.at_most else measured >= self.target


def paired(name: str, values: Sequence[float], baselines: Sequence[float], **rest: object) -> Figure:
    """A figure from runs that alternated with their baseline, so that a drifting machine cancels out."""
    ratios = [value / baseline for value, baseline in zip(values, baselines, strict=True)]
    return Figure(
        name,
        statistics.median(values),
        baseline=statistics.median(baselines),
        ratio=statistics.median(ratios),
        **rest,  # type: ignore[arg-type]
    )


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title="Benchmarks (medians)")
    for heading in ("figure", "value", "baseline", "ratio", "to reach", ""):
        table.add_column(heading, justify="left" if heading in {"figure", "baseline", ""} else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            _number(figure.value, figure.unit),
            f"{_number(figure.baseline, figure.unit)} {figure.baseline_name}"
            if figure.baseline is not None
            else "",
            f"{figure.ratio:.2f} x" if figure.ratio is not None else "",
            _target(figure),
            {True: "[green]reached[/]", False: "[red]missed[/]", None: ""}[figure.reached],
        )
    console.print(table)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures and the conditions they were measured in as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    conditions = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": _processors(),
    }
    rows = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    path.write_text(json.dumps({"conditions": conditions, "figures": rows}, indent=2) + "\n")


def _processors() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f} {unit}"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = "<=" if figure.at_most else ">="
    return (
        f"{sign} {figure.target:.3g} x"
        if figure.target_is_ratio
        else f"{sign} {_number(figure.target, figure.unit)}"
    )
