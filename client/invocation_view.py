"""Shows an endpoint's answer."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from rich.table import Table
from rich.text import Text

from client.invocation import Answer, parts_of
from client.output import out, plain
from client.payloads import Payload
from client.predictions import Prediction, read_predictions

_STYLES = {"positive": "green", "negative": "red"}


def as_dict(endpoint_name: str, payload: Payload, answer: Answer) -> dict[str, Any]:
    """Ready for JSON; ``body`` only where labels and scores could not be read out of it."""
    predictions = read_predictions(answer.body, answer.content_type)
    result: dict[str, Any] = {
        "endpoint": endpoint_name,
        "variant": answer.variant,
        "latency_ms": round(answer.latency_ms, 3),
        "content_type": answer.content_type,
    }
    if answer.parts is not None:
        first = answer.first_byte_ms
        result["stream"] = {
            "parts": answer.parts,
            "first_byte_ms": None if first is None else round(first, 3),
        }
    if predictions is None:
        result["body"] = answer.body.decode(errors="replace")
    else:
        texts = _beside(payload, predictions)
        result["predictions"] = [
            {"text": text, "label": one.label, "score": one.score}
            for text, one in zip(texts, predictions, strict=True)
        ]
    return result


def show_answer(payload: Payload, answer: Answer) -> None:
    """A table of texts, labels and scores; an answer of another form is shown as it came."""
    predictions = read_predictions(answer.body, answer.content_type)
    if answer.parts is not None and not answer.body.endswith(b"\n"):
        out.print()  # the parts were shown as they came
    if predictions is not None:
        table = Table(header_style="bold")
        table.add_column("text", overflow="fold")
        table.add_column("label")
        table.add_column("score", justify="right")
        for text, one in zip(_beside(payload, predictions), predictions, strict=True):
            table.add_row(
                plain(text),
                Text(plain(one.label).plain, style=_STYLES.get(one.label, "")),
                f"{one.score:.3f}",
            )
        out.print(table)
    elif answer.parts is None:
        out.print(plain(answer.body.decode(errors="replace")), soft_wrap=True)
    facts = [f"variant {answer.variant or '(not named)'}", f"{answer.latency_ms:.1f} ms"]
    if answer.parts is not None:
        first = "-" if answer.first_byte_ms is None else f"{answer.first_byte_ms:.1f} ms"
        facts.append(f"{parts_of(answer.parts)}, the first after {first}")
    out.print(plain("  ".join(facts)), soft_wrap=True)


def part_shower() -> Callable[[bytes], None]:
    """Shows each part of one streamed answer at once; a part may end within a character."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def show(part: bytes) -> None:
        out.print(plain(decoder.decode(part)), end="", soft_wrap=True)
        out.file.flush()

    return show


def quietly(_: bytes) -> None:
    """Show nothing: the whole answer is shown at the end."""


def _beside(payload: Payload, predictions: list[Prediction]) -> list[str]:
    """A text for each prediction; its number where the texts are not known."""
    if payload.texts is not None and len(payload.texts) == len(predictions):
        return list(payload.texts)
    return [f"#{number}" for number in range(1, len(predictions) + 1)]
