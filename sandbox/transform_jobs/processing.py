"""What happens to a record before and after the model: InputFilter, JoinSource, OutputFilter."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from sandbox.store import Params
from sandbox.transform_jobs.paths import Path, PathError

CSV = "text/csv"
JSON = frozenset({"application/json", "application/jsonlines"})
SUPPORTED = (CSV, "application/json", "application/jsonlines")
"""Content types that can be filtered and joined."""

_OUTPUT, _INPUT = "SageMakerOutput", "SageMakerInput"


class RecordError(ValueError):
    """A record, or the model's answer to it, cannot be filtered or joined.

    Args:
        position: Which of the records of the request, counted from 0; None for all of them.
        reason: A clause.
    """

    def __init__(self, position: int | None, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


@dataclass(frozen=True)
class Processing:
    """What a job does with records besides sending them.

    Args:
        input_filter: What of a record the model gets; None for all.
        output_filter: What of a result is written; None for all.
        join: Whether a result is the record with the model's answer to it.
        reads_csv: Whether records are delimited text, else JSON.
        writes_csv: The same of answers.
    """

    input_filter: Path | None
    output_filter: Path | None
    join: bool
    reads_csv: bool
    writes_csv: bool

    @classmethod
    def of(cls, request: Params) -> Processing:
        """That of a request of CreateTransformJob.

        Raises:
            PathError: A filter is no path that is supported.
        """
        given = request.get("DataProcessing", {})
        filters = [Path.parse(given.get(name) or "$") for name in ("InputFilter", "OutputFilter")]
        before, after = (None if path.is_whole else path for path in filters)
        return cls(
            before,
            after,
            given.get("JoinSource", "None") == "Input",
            request["TransformInput"].get("ContentType") == CSV,
            request["TransformOutput"].get("Accept") == CSV,
        )

    @property
    def changes_results(self) -> bool:
        """Whether answers are read record by record."""
        return self.join or self.output_filter is not None

    @property
    def is_none(self) -> bool:
        """Whether records and answers pass as they are."""
        return self.input_filter is None and not self.changes_results

    def outgoing(self, records: list[bytes]) -> list[bytes]:
        """What the model gets of each record.

        Raises:
            RecordError: A record is not what the content type says, or lacks what the filter picks.
        """
        path = self.input_filter
        if path is None:
            return records
        if self.reads_csv:
            return _each(records, lambda record: _write_row(path.pick_columns(_read_row(record))))
        return _each(records, lambda record: _write_json(path.pick(_read_json(record))))

    def results(self, records: list[bytes], answers: list[bytes]) -> list[bytes]:
        """What is written for each record.

        Args:
            records: The records.
            answers: The model's answers to them, in order.

        Raises:
            RecordError: There are more or fewer answers than records, or one cannot be filtered or joined.
        """
        if len(records) != len(answers):
            raise RecordError(
                None,
                f"the model gave {len(answers)} results for {len(records)} records, so that they can't be "
                "told apart; it must give one for each, in order",
            )
        make = self._csv_result if self.writes_csv else self._json_result
        pairs = list(zip(records, answers, strict=True))
        return _each(pairs, lambda pair: make(*pair))

    def _csv_result(self, record: bytes, answer: bytes) -> bytes:
        joined = b"%b,%b" % (record, answer) if self.join else answer
        if self.output_filter is None:
            return joined
        return _write_row(self.output_filter.pick_columns(_read_row(joined)))

    def _json_result(self, record: bytes, answer: bytes) -> bytes:
        result = _read_json(answer, "the model's answer")
        if self.join:
            given = _read_json(record)
            result = (
                {**given, _OUTPUT: result} if isinstance(given, dict) else {_INPUT: given, _OUTPUT: result}
            )
        return _write_json(result if self.output_filter is None else self.output_filter.pick(result))


def answers_of(body: bytes, records: int) -> list[bytes]:
    """The answers in a model's response: one for a single record, else one on each line."""
    if records == 1:
        return [body.strip(b"\r\n")]
    lines = (line.rstrip(b"\r") for line in body.split(b"\n"))
    return [line for line in lines if line.strip()]


def _each(items: list[Any], make: Callable[[Any], bytes]) -> list[bytes]:
    results = []
    for position, item in enumerate(items):
        try:
            results.append(make(item))
        except (PathError, ValueError, csv.Error, RecursionError) as error:
            raise RecordError(position, str(error) or type(error).__name__) from error
    return results


def _read_json(data: bytes, what: str = "the record") -> Any:
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not valid JSON ({error}): {_shown(data)}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _write_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _read_row(data: bytes) -> list[str]:
    # a record ends with its line: a quoted line break is not supported (developer guide)
    try:
        return next(csv.reader([data.decode()], strict=True), [])
    except UnicodeDecodeError as error:
        raise ValueError(f"the record is not UTF-8: {_shown(data)}") from error


def _write_row(columns: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(columns)
    return buffer.getvalue().encode()


def _shown(data: bytes) -> str:
    text = data[:80].decode("utf-8", "replace")
    return f"{text}..." if len(data) > 80 else text
