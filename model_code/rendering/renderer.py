"""A label and its probability in words, Korean and English."""

from __future__ import annotations

from typing import TypedDict


class Rendered(TypedDict):
    """The answer for one text: what the classifier said, and the same in Korean and English."""

    label: str
    score: float
    ko: str
    en: str


LABELS = {"positive": "긍정", "negative": "부정"}
#: From this percentage on, how to say it; ``{ko}`` and ``{en}`` are the label.
_WORDS = (
    (95, "매우 {ko}적입니다", "Strongly {en}"),
    (80, "{ko}적입니다", "{en}"),
    (60, "{ko}에 가깝습니다", "Probably {en}"),
    (0, "판단하기 어렵습니다, {ko} 쪽입니다", "Unsure, leaning {en}"),
)
#: A share of the labels is wrong whatever the score says: nothing is called certain.
MOST_PERCENT = 99


def rendered(label: str, score: float) -> Rendered:
    """Put a prediction into words.

    Args:
        label: One of `LABELS`.
        score: The label's probability, 0 to 1.
    """
    percent = min(MOST_PERCENT, round(100 * score))
    korean, english = next((ko, en) for least, ko, en in _WORDS if percent >= least)
    sentence = english.format(en=label)
    return {
        "label": label,
        "score": score,
        "ko": f"{korean.format(ko=LABELS[label])} ({percent} %)",
        "en": f"{sentence[0].upper()}{sentence[1:]} ({percent} %)",
    }
