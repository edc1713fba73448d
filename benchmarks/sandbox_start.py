"""How long the sandbox takes from `up` to ready, and the whole demo on a machine that is set up."""

from __future__ import annotations

import statistics
import sys

from benchmarks.processes import free_port, own_sandbox, seconds
from benchmarks.report import Figure, paired

NOTHING = [sys.executable, "-c", "import typer, rich"]


def measure(runs: int) -> list[Figure]:
    """Alternate `sandbox up` with an interpreter that does nothing; then the demo, with the sandbox down."""
    up, nothing, demo = [], [], []
    with own_sandbox() as environment:
        for _ in range(runs):
            port = str(free_port())
            up.append(
                seconds([sys.executable, "-m", "sandbox", "up", "--port", port], environment=environment)
            )
            seconds([sys.executable, "-m", "sandbox", "down"], environment=environment)
            nothing.append(seconds(NOTHING))
        for _ in range(max(1, runs // 2)):
            demo.append(seconds(["make", "demo"], environment=environment))
            seconds([sys.executable, "-m", "sandbox", "down"], environment=environment)
    return [
        paired(
            "sandbox up, until ready", up, nothing, unit="s", baseline_name="(bare command line)", target=2
        ),
        Figure("warm `make demo`, sandbox down before", statistics.median(demo), "s", target=25),
    ]
