"""Run the benchmarks: `make bench`, or `python -m benchmarks synth model --runs 9`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import batch, endpoint, koelectra, model, on_demand, sandbox_start, sink, synth
from benchmarks.processes import ROOT, BenchmarkFailed
from benchmarks.report import Figure, show, write

BENCHMARKS = {
    "synth": synth,
    "model": model,
    "start": sandbox_start,
    "endpoint": endpoint,
    "on-demand": on_demand,
    "sink": sink,
    "batch": batch,
    "koelectra": koelectra,
}
console = Console(stderr=True)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which of {', '.join(BENCHMARKS)}; all without.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=50, help="Counted runs of each; the median is given.")] = 5,
    output: Annotated[Path, typer.Option(help="Where the JSON goes.")] = ROOT
    / "benchmarks"
    / "results"
    / "latest.json",
) -> None:
    """Measure, print a table, write JSON."""
    chosen = names or list(BENCHMARKS)
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        console.print(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
        raise typer.Exit(1)
    figures: list[Figure] = []
    for name in chosen:
        console.print(f"measuring {name} ...")
        try:
            figures += BENCHMARKS[name].measure(runs)
        except BenchmarkFailed as failure:
            console.print(f"[red]{name}: no figure.[/] {failure}")
            raise typer.Exit(1) from None
    show(figures, Console())
    write(figures, output)
    console.print(f"written to {output}")


if __name__ == "__main__":
    typer.run(main)
