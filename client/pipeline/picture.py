"""An executed pipeline as a picture. Needs matplotlib, which the rest of the client does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch

from client.errors import UserError
from client.pipeline.definition import Definition, Edge
from client.pipeline.executions import NOT_REACHED, NOT_TAKEN, WAITING, ExecutionState, StepState
from client.pipeline.layout import Layout, lay_out

# fill and edge of a box
_COLOURS = {
    "Succeeded": ("#d7f0dc", "#2e7d32"),
    "Failed": ("#f9d6d5", "#b3261e"),
    "Stopped": ("#fdeccb", "#b26a00"),
    "Stopping": ("#fdeccb", "#b26a00"),
    "Executing": ("#d6e8fb", "#1565c0"),
    "Starting": ("#d6e8fb", "#1565c0"),
    WAITING: ("#ffffff", "#757575"),
    NOT_REACHED: ("#ffffff", "#757575"),
    NOT_TAKEN: ("#f2f2f2", "#bdbdbd"),
}
_GREY = "#bdbdbd"
_DARK = "#424242"
# inches
_CHARACTER, _NARROWEST, _BOX_HEIGHT, _LAYER_HEIGHT, _GAP, _MARGIN, _HEAD = (
    0.1,
    1.7,
    0.72,
    1.22,
    0.45,
    0.3,
    0.6,
)
_LEGEND = 0.45
_LARGEST_SIDE = 200.0
_DPI = 144


def draw_execution(title: str, definition: Definition, state: ExecutionState, target: Path) -> None:
    """Write a PNG: steps in layers, coloured by status, with what they took.

    Args:
        title: Before the execution's id, above the picture.
        definition: What the execution does.
        state: How far it is.
        target: Where to.

    Raises:
        UserError: It cannot be written, or the pipeline is too large for a picture.
    """
    steps = {step.name: step for step in state.steps}
    widths = {name: _width(step) for name, step in steps.items()}
    layout = lay_out(widths, definition.edges(), _GAP)
    head = f"{title}  {state.id}\n{state.status} after {state.seconds:.1f} s"
    wide = max(layout.width, _CHARACTER * max(map(len, head.splitlines())), 4.5) + 2 * _MARGIN
    layers = max(layout.layer.values(), default=0) + 1
    high = (layers - 1) * _LAYER_HEIGHT + _BOX_HEIGHT + _HEAD + _LEGEND + 2 * _MARGIN
    if max(wide, high) > _LARGEST_SIDE:
        raise UserError(f"A pipeline of {len(steps)} steps is too large for a picture", "Use pipeline watch.")
    figure = plt.figure(figsize=(wide, high))
    try:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, wide)
        axes.set_ylim(high, 0)  # down the page
        axes.axis("off")
        axes.text(_MARGIN, _MARGIN, head, va="top", fontsize=11, parse_math=False)
        left = (wide - layout.width) / 2
        for edge, route in layout.routes.items():
            _draw_edge(axes, edge, [left + x for x in route], layout, steps)
        for name, step in steps.items():
            _draw_step(axes, step, left + layout.center[name], _middle(layout.layer[name]), widths[name])
        _draw_legend(axes, steps)
        figure.savefig(target, dpi=_DPI, facecolor="white")
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        plt.close(figure)


def _words(step: StepState) -> str:
    """The second line of a box."""
    if step.seconds is None:
        return step.status.lower()
    words = [f"{step.seconds:.1f} s"]
    if step.cached_from:
        words.append("cached")
    if step.attempts > 1:
        words.append(f"{step.attempts} attempts")
    if step.outcome is not None:
        words.append(str(step.outcome).lower())
    return ", ".join(words)


def _width(step: StepState) -> float:
    longest = max(len(step.name), len(f"{step.type}: {_words(step)}"))
    return max(_CHARACTER * longest + 0.3, _NARROWEST)


def _middle(layer: int) -> float:
    return _MARGIN + _HEAD + _BOX_HEIGHT / 2 + layer * _LAYER_HEIGHT


def _draw_step(axes: Any, step: StepState, x: float, y: float, width: float) -> None:
    fill, line = _COLOURS.get(step.status, ("#ffffff", _DARK))
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - _BOX_HEIGHT / 2),
            width,
            _BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=fill,
            edgecolor=line,
            linewidth=1.4,
            # what was taken from the cache was not done here
            linestyle="--" if step.cached_from else "-",
            zorder=2,
        )
    )
    colour = "#9e9e9e" if step.status == NOT_TAKEN else "black"
    style = {"ha": "center", "va": "center", "color": colour, "parse_math": False, "zorder": 3}
    axes.text(x, y - 0.14, step.name, fontsize=10, fontweight="bold", **style)
    axes.text(x, y + 0.15, f"{step.type}: {_words(step)}", fontsize=8.5, **style)


def _draw_edge(
    axes: Any, edge: Edge, route: list[float], layout: Layout, steps: Mapping[str, StepState]
) -> None:
    grey = NOT_TAKEN in (steps[edge.before].status, steps[edge.after].status)
    colour = _GREY if grey else _DARK
    first = layout.layer[edge.before]
    points = [(route[0], _middle(first) + _BOX_HEIGHT / 2)]
    for index, x in enumerate(route[1:-1], start=1):
        y = _middle(first + index)
        points += [(x, y - _BOX_HEIGHT / 2), (x, y + _BOX_HEIGHT / 2)]
    end = (route[-1], _middle(layout.layer[edge.after]) - _BOX_HEIGHT / 2)
    xs, ys = zip(*points, strict=True)
    axes.add_line(Line2D(xs, ys, color=colour, linewidth=1.3, zorder=1))
    axes.annotate(
        "",
        xy=end,
        xytext=points[-1],
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0},
        zorder=1,
    )
    if edge.outcome is not None:
        (x, y), (next_x, next_y) = points[0], [*points, end][1]
        axes.text(
            (x + next_x) / 2,
            (y + next_y) / 2,
            str(edge.outcome).lower(),
            ha="center",
            va="center",
            fontsize=8.5,
            color=colour if grey else "black",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            zorder=2,
        )


def _draw_legend(axes: Any, steps: Mapping[str, StepState]) -> None:
    """The colours that the picture has."""
    there = {step.status for step in steps.values()}
    boxes = [
        Patch(facecolor=fill, edgecolor=line, label=status)
        for status, (fill, line) in _COLOURS.items()
        if status in there
    ]
    if any(step.cached_from for step in steps.values()):
        boxes.append(Patch(facecolor="white", edgecolor=_DARK, linestyle="--", label="cached"))
    axes.legend(
        handles=boxes,
        loc="lower center",
        ncols=max(len(boxes), 1),
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.6,
    )
