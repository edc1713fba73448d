"""Rows that are set aside: each with its place, the reason, and what it began with."""

from __future__ import annotations

import base64
import json
from typing import IO, Any

from lines import SAMPLE_BYTES


def entry(
    *, source: str, offset: int, line: int, reason: str, record_id: str | None, data: bytes = b""
) -> dict[str, Any]:
    """A row that is set aside.

    Args:
        source: URI of its object.
        offset: Its first byte there.
        line: Its position among the lines of the range, from 1; among those of the object, once merged.
        reason: What is wrong with it.
        record_id: What identifies it, if that could be read.
        data: Its bytes; the first `SAMPLE_BYTES` are kept, as text or, where they are none, in base64.
    """
    found: dict[str, Any] = {"source": source, "line": line, "offset": offset, "reason": reason}
    if record_id is not None:
        found["record_id"] = record_id
    sample = data[:SAMPLE_BYTES]
    if sample:
        try:
            found["sample"] = sample.decode(errors="strict" if len(data) <= SAMPLE_BYTES else "ignore")
        except UnicodeDecodeError:
            found["sample_base64"] = base64.b64encode(sample).decode()
    return found


def write(file: IO[bytes], document: dict[str, Any]) -> None:
    """Add a row to a file of such."""
    file.write(json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
