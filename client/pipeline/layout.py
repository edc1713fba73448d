"""Where the steps of a picture go: in layers from top to bottom, so that every edge leads down.

An edge over several layers gets a place of its own in each layer between: it passes between the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from client.pipeline.definition import Edge

_SWEEPS = 8
_PASS_WIDTH = 0.3  # what an edge needs that passes between boxes

Node = str | tuple[str, str, int]
"""A step by its name, or an edge's place in a layer: (before, after, layer)."""


@dataclass(frozen=True)
class Layout:
    """Places of a picture; lengths in the unit of the widths that were given.

    Args:
        layer: Layer of each step; 0 is the top.
        center: Horizontal centre of each step.
        routes: Horizontal places of each edge, one for each layer from its first step's to its last's.
        width: Of the picture; centres are between 0 and this.
    """

    layer: Mapping[str, int]
    center: Mapping[str, float]
    routes: Mapping[Edge, Sequence[float]]
    width: float


def lay_out(widths: Mapping[str, float], edges: Sequence[Edge], gap: float) -> Layout:
    """Place steps so that boxes do not overlap, and connected ones are near each other.

    Args:
        widths: Width of each step's box; each step after all that come before it.
        edges: What comes before what.
        gap: Between two boxes of a layer, at least.
    """
    layer = {name: 0 for name in widths}
    for name in widths:
        for edge in edges:
            if edge.after == name:
                layer[name] = max(layer[name], layer[edge.before] + 1)
    chains = {edge: _chain(edge, layer) for edge in edges}
    size: dict[Node, float] = {}
    size.update({name: width for name, width in widths.items()})
    rows: list[list[Node]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in widths:
        rows[layer[name]].append(name)
    above: dict[Node, list[Node]] = {}
    below: dict[Node, list[Node]] = {}
    for chain in chains.values():
        for index, node in enumerate(chain):
            if isinstance(node, tuple):
                size[node] = _PASS_WIDTH
                rows[node[2]].append(node)
            if index:
                above.setdefault(node, []).append(chain[index - 1])
                below.setdefault(chain[index - 1], []).append(node)
    places = _places(rows, size, above, below, gap)
    left = min((places[node] - size[node] / 2 for node in size), default=0.0)
    right = max((places[node] + size[node] / 2 for node in size), default=0.0)
    return Layout(
        layer,
        {name: places[name] - left for name in widths},
        {edge: [places[node] - left for node in chain] for edge, chain in chains.items()},
        right - left,
    )


def _chain(edge: Edge, layer: Mapping[str, int]) -> list[Node]:
    between = range(layer[edge.before] + 1, layer[edge.after])
    return [edge.before, *((edge.before, edge.after, one) for one in between), edge.after]


def _places(
    rows: Sequence[list[Node]],
    size: Mapping[Node, float],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
    gap: float,
) -> dict[Node, float]:
    """Sweeps down and up: each node goes to the middle of its neighbours, as far as its row has room."""
    places: dict[Node, float] = {}
    for row in rows:
        _settle(row, {node: 0.0 for node in row}, size, gap, places)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in rows if down else list(reversed(rows)):
            wanted = {
                node: sum(places[one] for one in near) / len(near)
                if (near := neighbours.get(node))
                else places[node]
                for node in row
            }
            row.sort(key=lambda node: wanted[node])
            _settle(row, wanted, size, gap, places)
    return places


def _settle(
    row: Sequence[Node],
    wanted: Mapping[Node, float],
    size: Mapping[Node, float],
    gap: float,
    places: dict[Node, float],
) -> None:
    """Put a row's nodes side by side in this order, on average where they want to be."""
    if not row:
        return
    at: dict[Node, float] = {}
    edge: float | None = None
    for node in row:
        half = size[node] / 2
        at[node] = wanted[node] if edge is None else max(wanted[node], edge + gap + half)
        edge = at[node] + half
    shift = sum(wanted[node] - at[node] for node in row) / len(row)
    places.update({node: x + shift for node, x in at.items()})
