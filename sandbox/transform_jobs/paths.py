"""The part of JSONPath that InputFilter and OutputFilter know.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html (supported operators)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_NAME = r"'[^'\[\]]+'|\"[^\"\[\]]+\""
_INDEX = r"-?\d+"
_STEP = re.compile(
    rf"""\.(?P<name>[^\s.\[\]$'"*?@()]+)
      |(?P<all>\.\*|\[\s*\*\s*\])
      |\[\s*(?P<names>(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*)\s*\]
      |\[\s*(?P<start>{_INDEX})?\s*:\s*(?P<stop>{_INDEX})?\s*\]
      |\[\s*(?P<indexes>{_INDEX}(?:\s*,\s*{_INDEX})*)\s*\]""",
    re.VERBOSE,
)
_SUPPORTED = "$, .name, *, ['name','name'], [i,j], [-1] and [start:end]"


class PathError(ValueError):
    """A path that is none, or a value that has not what a path asks for."""


@dataclass(frozen=True)
class Step:
    """One operator of a path; exactly one of its members is set.

    Args:
        names: Members of an object.
        indexes: Positions in a list, counted from 0, from its end when negative.
        span: A range of positions.
    """

    names: tuple[str, ...] = ()
    indexes: tuple[int, ...] = ()
    span: slice | None = None

    @property
    def is_one(self) -> bool:
        """Whether it leads to one value."""
        return bool(self.names) or len(self.indexes) == 1


@dataclass(frozen=True)
class Path:
    """A parsed path.

    Args:
        text: As it was written.
        steps: Its operators; none for ``$``.
    """

    text: str
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """A path from its text.

        Raises:
            PathError: It is none that batch transform supports.
        """
        if not text.startswith("$"):
            raise PathError(f"the path {text!r} must begin with $, the whole record")
        steps, at = [], 1
        while at < len(text):
            match = _STEP.match(text, at)
            if match is None:
                raise PathError(f"the path {text!r} may use {_SUPPORTED}; it does not at {text[at:]!r}")
            steps.append(_step(match))
            at = match.end()
        return cls(text, tuple(steps))

    @property
    def is_whole(self) -> bool:
        """Whether it is ``$``, which picks everything."""
        return not self.steps

    @property
    def fits_csv(self) -> bool:
        """Whether it picks columns by position only."""
        return len(self.steps) <= 1 and not any(step.names or step.span == slice(None) for step in self.steps)

    def pick(self, value: Any) -> Any:
        """What the path picks of a JSON value: a value, or a list if one of its operators picks several.

        Raises:
            PathError: The value has no such part.
        """
        values, one = [value], True
        for step in self.steps:
            values = [found for each in values for found in self._follow(step, each)]
            one = one and step.is_one
        return values[0] if one else values

    def pick_columns(self, row: list[str]) -> list[str]:
        """What the path picks of the columns of a delimited record.

        Raises:
            PathError: It has no such column.
        """
        picked = self.pick(row)
        return picked if isinstance(picked, list) else [picked]

    def _follow(self, step: Step, value: Any) -> Iterator[Any]:
        if step.names:
            self._require(isinstance(value, dict), "an object", value)
            absent = [name for name in step.names if name not in value]
            if absent:
                raise PathError(f"the path {self.text} finds no attribute {', '.join(map(repr, absent))}")
            yield (
                value[step.names[0]] if len(step.names) == 1 else {name: value[name] for name in step.names}
            )
            return
        if step.span == slice(None) and isinstance(value, dict):
            yield from value.values()
            return
        self._require(isinstance(value, list), "a list", value)
        if step.span is not None:
            yield from value[step.span]
            return
        for index in step.indexes:
            if not -len(value) <= index < len(value):
                raise PathError(f"the path {self.text} finds no position {index} among {len(value)}")
            yield value[index]

    def _require(self, fits: bool, what: str, value: Any) -> None:
        if not fits:
            raise PathError(f"the path {self.text} needs {what}, not a {type(value).__name__}")


def _step(match: re.Match[str]) -> Step:
    if match["name"]:
        return Step(names=(match["name"],))
    if match["all"]:
        return Step(span=slice(None))
    if match["names"]:
        return Step(names=tuple(name[1:-1] for name in re.findall(_NAME, match["names"])))
    if match["indexes"]:
        return Step(indexes=tuple(map(int, match["indexes"].split(","))))
    start, stop = (int(match[end]) if match[end] else None for end in ("start", "stop"))
    return Step(span=slice(start, stop))
