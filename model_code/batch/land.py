"""Land: bring the answers of a part into the sink."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import quarantine
from answers import Answer, read_answer
from environment import settings
from lines import Line, split
from objects import open_object, read_json, write_json, written
from plan import Files, Range
from rows import BadRow
from sink import CHUNK, Outcome, Record, Sink, open_sink, outcome

_BLOCK = 1024 * 1024
#: Chunks that are on their way to the sink at a time.
_THREADS = 4
#: An answer is the record and what the model said to it.
_MOST_ANSWER_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row of a part came from: first byte, line in the range, digest of its text."""

    offset: int
    line: int
    content: str


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Land one part. The same part again writes nothing new, and tells the same.

    Args:
        event: ``job_name``, ``range`` and ``started_at`` of the job.
        context: Tells how much time is left.

    Returns:
        ``index``; how many rows ``landed``, were the ``same`` as an earlier one, are ``superseded`` by a
        newer job's, or were ``quarantined``; ``answered`` in all; ``missing`` if the part has no answers.

    Raises:
        SinkThrottled: The sink did not take all rows in time.
    """
    wanted, files = Range.parse(event["range"]), Files(event["job_name"])
    report: dict[str, Any] = {"index": wanted.index, "missing": False, "answered": 0, "quarantined": 0}
    report |= {one.value: 0 for one in Outcome}
    prepared = (read_json(files.prepare_report(wanted.part)) or {}).get("prepared", 0)
    body = open_object(files.answers(wanted.part)) if prepared else None
    if body is not None:
        with written(files.set_aside("land", wanted.part), "application/jsonlines") as aside:
            worker = _Worker(
                event, wanted, aside, report, lambda: context.get_remaining_time_in_millis() / 1000
            )
            worker.land(body, files)
    elif prepared:
        report["missing"] = True
    report["quarantined"] += report.pop(Outcome.CONFLICT.value)
    write_json(files.land_report(wanted.part), report)
    return report


class _Worker:
    def __init__(
        self,
        event: dict[str, Any],
        wanted: Range,
        aside: IO[bytes],
        report: dict[str, Any],
        seconds_left: Callable[[], float],
    ) -> None:
        self._event, self._range, self._aside, self._report = event, wanted, aside, report
        self._seconds_left = seconds_left
        self._sink: Sink = open_sink()

    def land(self, body: Any, files: Files) -> None:
        rows = self._records(body, files)
        with ThreadPoolExecutor(_THREADS) as threads:
            # a bounded number on its way: memory does not grow with the part
            while batch := list(islice(rows, CHUNK * _THREADS)):
                chunks = list(_chunks(batch, self._repeated))
                landed = threads.map(
                    lambda chunk: self._sink.land([row for _, row in chunk], self._seconds_left), chunks
                )
                for chunk, outcomes in zip(chunks, landed, strict=True):
                    for (place, row), came in zip(chunk, outcomes, strict=True):
                        self._note(place, row, came)

    def _records(self, body: Any, files: Files) -> Iterator[tuple[Place, Record]]:
        places = _places(open_object(files.sources(self._range.part)))
        for line in split(iter(lambda: body.read(_BLOCK), b""), 0, _MOST_ANSWER_BYTES):
            if not line.data.strip() and not line.problem:
                continue
            self._report["answered"] += 1
            place = next(places, None)
            answer = _answer(line)
            if isinstance(answer, BadRow) or place is None:
                bad = answer if isinstance(answer, BadRow) else BadRow("more answers than rows")
                self._report["quarantined"] += 1
                self._set_aside(place or Place(0, 0, ""), bad.reason, bad.record_id, line.data)
                continue
            yield place, self._record(place, answer)

    def _record(self, place: Place, answer: Answer) -> Record:
        return Record(
            record_id=answer.record_id,
            answer=answer.values,
            job=self._event["job_name"],
            job_started_at=self._event["started_at"],
            source=self._range.source,
            source_offset=place.offset,
            content=place.content,
        )

    def _repeated(self, place: Place, row: Record, first: Record) -> None:
        """A row whose id another one of the same batch has; that one comes first."""
        self._note(place, row, outcome(row, first) or Outcome.SAME)

    def _note(self, place: Place, row: Record, came: Outcome) -> None:
        self._report[came.value] += 1
        if came is Outcome.CONFLICT:
            reason = (
                f"{settings().id_column} {row.record_id!r} is also that of an earlier row with another text, "
                "which was kept"
            )
            self._set_aside(place, reason, row.record_id, json.dumps(dict(row.answer)).encode())

    def _set_aside(self, place: Place, reason: str, record_id: str | None, data: bytes) -> None:
        found = quarantine.entry(
            source=self._range.source,
            offset=place.offset,
            line=place.line,
            reason=reason,
            record_id=record_id,
            data=data,
        )
        quarantine.write(self._aside, found)


def _chunks(
    batch: list[tuple[Place, Record]], repeated: Callable[[Place, Record, Record], None]
) -> Iterator[list[tuple[Place, Record]]]:
    """Chunks in which each id is there once; what repeats one of the batch is told at once."""
    first: dict[str, Record] = {}
    unique = []
    for place, row in batch:
        known = first.setdefault(row.record_id, row)
        if known is row:
            unique.append((place, row))
        else:
            repeated(place, row, known)
    for start in range(0, len(unique), CHUNK):
        yield unique[start : start + CHUNK]


def _answer(line: Line) -> Answer | BadRow:
    if line.problem:
        return BadRow(line.problem)
    try:
        return read_answer(line.data)
    except BadRow as bad:
        return bad


def _places(body: Any) -> Iterator[Place]:
    if body is None:
        return
    for line in split(iter(lambda: body.read(_BLOCK), b""), 0, 1024):
        offset, number, content = line.data.decode().split(" ")
        yield Place(int(offset), int(number), content)
