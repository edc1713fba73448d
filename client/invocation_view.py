"""Shows an endpoint's answer."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from client.invocation import Answer, parts_of
from client.output import out, plain
from client.payloads import Payload
from client.predictions import Answers, Prediction, Similarity, Summary, read_answers

_STYLES = {"positive": "green", "negative": "red"}
_MOST_SIMILAR = 5


def as_dict(endpoint_name: str, payload: Payload, answer: Answer) -> dict[str, Any]:
    """Ready for JSON; ``body`` only where the answers could not be read out of it."""
    answers = read_answers(answer.body, answer.content_type)
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
    if answers is None:
        result["body"] = answer.body.decode(errors="replace")
    else:
        result |= answers_as_dict(payload, answers)
    return result


def answers_as_dict(payload: Payload, answers: Answers) -> dict[str, Any]:
    """``predictions``, ``similarities`` or ``summaries``, each beside what it is about."""
    rows: list[dict[str, Any]] = []
    kind = "predictions"
    for number, one in enumerate(answers):
        if isinstance(one, Similarity):
            kind = "similarities"
            rows.append({"sentences": list(_pair(payload, number, len(answers))), "score": one.score})
        elif isinstance(one, Summary):
            kind = "summaries"
            row = {"summary": list(one.sentences), "positions": list(one.positions)}
            rows.append({"text": _text(payload, number, len(answers)), **row})
        else:
            words = {"ko": one.korean, "en": one.english} if one.korean or one.english else {}
            text = _text(payload, number, len(answers))
            rows.append({"text": text, "label": one.label, "score": one.score, **words})
    return {kind: rows}


def show_answer(payload: Payload, answer: Answer, answered_by: str = "variant") -> None:
    """A table of the answers beside what they are about; one of another form is shown as it came."""
    answers = read_answers(answer.body, answer.content_type)
    if answer.parts is not None and not answer.body.endswith(b"\n"):
        out.print()  # the parts were shown as they came
    if answers is not None:
        out.print(answers_table(payload, answers))
    elif answer.parts is None:
        out.print(plain(answer.body.decode(errors="replace").removesuffix("\n")), soft_wrap=True)
    facts = [f"{answered_by} {answer.variant or '(not named)'}", f"{answer.latency_ms:.1f} ms"]
    if answer.parts is not None:
        first = "-" if answer.first_byte_ms is None else f"{answer.first_byte_ms:.1f} ms"
        facts.append(f"{parts_of(answer.parts)}, the first after {first}")
    out.print(plain("  ".join(facts)), soft_wrap=True)


def answers_table(payload: Payload, answers: Answers) -> Table:
    """What came, beside what it is about."""
    if isinstance(answers[0], Similarity):
        return _similarities(payload, [one for one in answers if isinstance(one, Similarity)])
    if isinstance(answers[0], Summary):
        return _summaries(payload, [one for one in answers if isinstance(one, Summary)])
    return _predictions(payload, [one for one in answers if isinstance(one, Prediction)])


def _predictions(payload: Payload, predictions: Sequence[Prediction]) -> Table:
    rendered = any(one.korean or one.english for one in predictions)
    table = _table("text", "label", score="right")
    if rendered:
        table.add_column("in words", overflow="fold")
    for number, one in enumerate(predictions):
        words = [Text(f"{plain(one.korean).plain}\n{plain(one.english).plain}")] if rendered else []
        table.add_row(
            plain(_text(payload, number, len(predictions))),
            Text(plain(one.label).plain, style=_STYLES.get(one.label, "")),
            f"{one.score:.3f}",
            *words,
        )
    return table


def _similarities(payload: Payload, similarities: Sequence[Similarity]) -> Table:
    table = _table("one sentence", "the other", score="right")
    for number, one in enumerate(similarities):
        style = "green" if one.score >= 0.6 * _MOST_SIMILAR else ""
        pair = _pair(payload, number, len(similarities))
        table.add_row(*map(plain, pair), Text(f"{one.score:.2f} of {_MOST_SIMILAR}", style=style))
    return table


def _summaries(payload: Payload, summaries: Sequence[Summary]) -> Table:
    table = _table("text", "its most telling sentences")
    for number, one in enumerate(summaries):
        numbered = zip(one.positions, one.sentences, strict=False)
        lines = [f"{position + 1}. {sentence}" for position, sentence in numbered] or list(one.sentences)
        table.add_row(plain(_text(payload, number, len(summaries))), plain("\n".join(lines)))
    return table


def _table(*columns: str, **justified: Any) -> Table:
    table = Table(header_style="bold")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for heading, justify in justified.items():
        table.add_column(heading, justify=justify)
    return table


def part_shower() -> Callable[[bytes], None]:
    """Shows each part of one streamed answer at once; a part may end within a character."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def show(part: bytes) -> None:
        out.print(plain(decoder.decode(part)), end="", soft_wrap=True)
        out.file.flush()

    return show


def quietly(_: bytes) -> None:
    """Show nothing: the whole answer is shown at the end."""


def _text(payload: Payload, number: int, count: int) -> str:
    """The text that an answer is about; its number where the texts are not known."""
    if payload.texts is not None and len(payload.texts) == count:
        return payload.texts[number]
    return f"#{number + 1}"


def _pair(payload: Payload, number: int, count: int) -> tuple[str, str]:
    if payload.pairs is not None and len(payload.pairs) == count:
        return payload.pairs[number]
    return f"#{number + 1}", ""
