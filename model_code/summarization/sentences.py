"""Korean text to sentences, each as it stands in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

# where a sentence may end: a new line, signs, or a polite ending that a hasty writer left without one
_CANDIDATE = re.compile(
    r"[\r\n\u2028\u2029]+|[.?!。？！…]+|(?<=[다요죠])~+"
    r"|(?<=[가-힣](?:니다|어요|아요|네요|에요|예요|해요|세요|군요|게요))(?=[ \t])"
)
# what still belongs to the sentence after the sign: closing quotes and brackets, ㅋㅋ, ㅠㅠ, ^^
_TAIL = re.compile(r"[\"'”’)\]》」』]*(?:[ \t]*(?:[ㄱ-ㅣ]{2,}|[\^~♥♡;]+|:\)))*")
_CLOSERS = {"“": "”", "‘": "’", "「": "」", "『": "』", "《": "》", "(": ")", "[": "]", '"': '"'}
_OPENER = re.compile("[" + re.escape("".join(_CLOSERS)) + "]")
# a quotation is not cut up, unless it is longer than this, or never closed
_LONGEST_QUOTATION = 300
_ABBREVIATION = re.compile(
    r"(?:^|[^a-z])(?:[a-z]|mr|mrs|ms|dr|prof|vs|etc|no|inc|co|corp|ltd|st|fig|vol)$", re.IGNORECASE
)
_ENDED = re.compile(r"(?:[다요죠까네군라지야음함임됨]|[^가-힣])$")
_QUOTING = re.compile(r"[ \t]*(?:이?라[고며는]|하고|고 |며 |는 |란 )")
_DATE = re.compile(r"\d\.[ \t]\d{1,2}$")
# 음... is no sentence
_SHORTEST_TRAILING = 4
_COUNTING = re.compile(r"[\s(]*(?:\d+|[a-zA-Z가-하])$")


def split(text: str) -> list[str]:
    """Return a text's sentences in order, without the white space around them.

    A sentence ends at a line's end, at a full stop, question or exclamation mark (with or without a space
    after it), at an ellipsis after a verb's ending, and after a polite ending without a sign. It does not end
    in numbers (3.5, 2024. 5. 3.), addresses, abbreviations, list numbers, and inside a quotation.
    """
    return [text[begin:end] for begin, end in spans(text)]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence begins and ends."""
    begin = quotation_end = looked = 0
    aside = False  # the quotation is a bracket within a sentence
    for found in _CANDIDATE.finditer(text):
        at, end = found.span()
        if at < begin:
            continue  # it was part of the tail
        if found[0][:1] in "\r\n\u2028\u2029" and found[0]:
            yield from _trimmed(text, begin, at)
            begin = quotation_end = looked = end
            continue
        while looked < at and (opener := _OPENER.search(text, looked, at)):
            looked = _quotation_end(text, opener.start())
            if looked > max(quotation_end, opener.end()):
                quotation_end, aside = (
                    looked,
                    opener[0] in "([" and bool(text[begin : opener.start()].strip()),
                )
        looked = max(looked, at)
        end = _TAIL.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing, too
        quoted = end < quotation_end or (aside and at < quotation_end)
        if quoted or not _ends(text, begin, at, found[0], end):
            continue
        yield from _trimmed(text, begin, end)
        begin = end
    yield from _trimmed(text, begin, len(text))


def _trimmed(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    sentence = text[begin:end]
    if stripped := sentence.strip():
        begin += sentence.index(stripped[0])
        yield begin, begin + len(stripped)


def _quotation_end(text: str, opener: int) -> int:
    """Return where the quotation ends that begins here, or the place after the sign if it never does."""
    limit = min(len(text), opener + _LONGEST_QUOTATION)
    closed = text.find(_CLOSERS[text[opener]], opener + 1, limit)
    line = text.find("\n", opener + 1, limit)
    return closed + 1 if closed >= 0 and (line < 0 or closed < line) else opener + 1


def _ends(text: str, begin: int, at: int, sign: str, end: int) -> bool:
    """Tell whether a sentence ends with this sign and its tail."""
    after = text[end : end + 1]
    before = text[max(begin, at - 12) : at]
    if _QUOTING.match(text, end):
        return False  # "갑니다."라고 말했다
    if not sign or set(sign) & set("?!？！。"):
        return True
    if len(sign) > 1 or sign == "…":
        ended = at - begin >= _SHORTEST_TRAILING and _ENDED.search(before.rstrip()) is not None
        return ended and (not after or after.isspace())
    if before[-1:].isascii() and before[-1:].isalnum():
        # in numbers and addresses; before a space: dates, list numbers, abbreviations
        if after and not after.isspace():
            return not after.isascii() and not before[-1:].isdigit()
        if before[-1:].isdigit() and text[end : end + 4].lstrip()[:1].isdigit():
            return False
        return not (
            _ABBREVIATION.search(before) or _DATE.search(before) or _COUNTING.fullmatch(text, begin, at)
        )
    return not _COUNTING.fullmatch(text, begin, at)
