"""Prepare: check the rows of a range, and write those that are fit for the model."""

from __future__ import annotations

import json
from typing import Any

import quarantine
from environment import settings
from lines import Line, read_lines
from objects import write_json, written
from plan import Files, Range
from rows import BYTE_ORDER_MARK, BadRow, Columns, Row, parser

_JSON_LINES = "application/jsonlines"


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Prepare one range. The same range again writes the same files again.

    Args:
        event: ``job_name`` and ``range``.
        context: Not used.

    Returns:
        ``index``, and how many rows were ``prepared`` and ``quarantined``.

    Raises:
        ObjectChanged: The object was replaced after it was claimed.
    """
    wanted, files = Range.parse(event["range"]), Files(event["job_name"])
    with (
        written(files.prepared(wanted.part), _JSON_LINES) as prepared,
        written(files.sources(wanted.part), "text/plain") as sources,
        written(files.set_aside("prepare", wanted.part), _JSON_LINES) as aside,
    ):
        report = {"index": wanted.index, "lines": 0, "prepared": 0, "quarantined": 0}
        for line, row in _rows(wanted):
            report["lines"] = max(report["lines"], line.number)
            if isinstance(row, BadRow):
                report["quarantined"] += 1
                found = quarantine.entry(
                    source=wanted.source,
                    offset=line.offset,
                    line=line.number,
                    reason=row.reason,
                    record_id=row.record_id,
                    data=line.data,
                )
                quarantine.write(aside, found)
            elif row is not None:
                report["prepared"] += 1
                prepared.write(_fit(row))
                sources.write(f"{line.offset} {line.number} {row.digest}\n".encode())
    write_json(files.prepare_report(wanted.part), report)
    return {name: report[name] for name in ("index", "prepared", "quarantined")}


def _rows(wanted: Range) -> Any:
    """Each line, with its row, or what is wrong with it, or None where there is nothing to score."""
    if wanted.problem:
        yield Line(0, 1, b""), BadRow(wanted.problem)
        return
    given = settings()
    columns = Columns(
        id_name=given.id_column, text_name=given.text_column, max_characters=given.max_text_characters
    )
    parse = parser(wanted.format, wanted.header, columns)
    for line in read_lines(wanted, given.max_payload_bytes):
        yield line, _row(line, parse, has_header=wanted.format != "jsonl", most=given.max_payload_bytes)


def _row(line: Line, parse: Any, *, has_header: bool, most: int) -> Row | BadRow | None:
    if line.problem:
        return BadRow(line.problem)
    data = line.data.removeprefix(BYTE_ORDER_MARK) if line.offset == 0 else line.data
    if not data.strip() or (has_header and line.offset == 0):
        return None
    try:
        row: Row = parse(data)
    except BadRow as bad:
        return bad
    size = len(_fit(row))
    if size > most:
        return BadRow(f"the record has {size:,} bytes, and may have {most:,} (MaxPayloadInMB)", row.record_id)
    return row


def _fit(row: Row) -> bytes:
    """A record of the transform job."""
    return json.dumps({"id": row.record_id, "text": row.text}, ensure_ascii=False).encode() + b"\n"
