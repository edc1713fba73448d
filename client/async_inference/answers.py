"""Writes answers beside what was sent, and draws what was detected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.async_inference.results import Result
from client.detections import Detections, read_detections
from client.errors import UserError

_SUFFIXES = {"application/json": ".json", "text/csv": ".csv", "text/plain": ".txt"}


@dataclass(frozen=True)
class Written:
    """What was made of a result.

    Args:
        result: How the request ended.
        answer: File with the answer; None if there is none.
        detections: What the answer says; None if it is no list of detections.
        contact_sheet: The picture; None if none was drawn.
        not_drawn: Why there is no picture; empty if there is one, or none was wanted.
    """

    result: Result
    answer: Path | None = None
    detections: Detections | None = None
    contact_sheet: Path | None = None
    not_drawn: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        found = self.detections
        return {
            **self.result.as_dict(),
            "answer": str(self.answer) if self.answer else None,
            "frames": len(found.frames) if found else None,
            "tracks": found.objects if found else None,
            "contact_sheet": str(self.contact_sheet) if self.contact_sheet else None,
            "not_drawn": self.not_drawn or None,
        }


def write_answer(result: Result, *, draw: bool = True, contact_sheet: Path | None = None) -> Written:
    """Write a request's answer to a file beside what was sent, and its contact sheet.

    An answer that is no list of detections gets no contact sheet: other models answer otherwise.

    Args:
        result: How the request ended; of a failure nothing is written.
        draw: Whether to draw a contact sheet.
        contact_sheet: Where; by default beside the file, with the ending ``.contact-sheet.png``.

    Raises:
        UserError: The answer's file cannot be written.
    """
    if not result.ok or result.body is None:
        return Written(result)
    file = result.request.file
    kind = result.notification.content_type.partition(";")[0].strip() if result.notification else ""
    path = file.with_name(f"{file.stem}.answer{_SUFFIXES.get(kind, '.jsonl')}")
    try:
        path.write_bytes(result.body)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    try:
        detections = read_detections(result.body)
    except UserError as error:
        return Written(result, path, None, None, error.message if draw else "")
    if not draw:
        return Written(result, path, detections)
    sheet = contact_sheet or file.with_name(f"{file.stem}.contact-sheet.png")
    try:
        # OpenCV takes a third of a second to import
        from client.contact_sheet import write_contact_sheet

        write_contact_sheet(file, detections, sheet)
    except ImportError as error:
        return Written(result, path, detections, None, f"{error}: install opencv-python-headless and numpy")
    except UserError as error:
        return Written(result, path, detections, None, error.message)
    return Written(result, path, detections, sheet)
