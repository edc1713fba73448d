"""What the models that tell positive from negative texts have in common."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from formats import Prediction
from numpy.typing import NDArray

# so many characters at a time keep the arrays in the processor's cache, and bound the memory of a request
_CHUNK_CHARACTERS = 16_384
_LONG_RUN = re.compile(r"(.)\1{3,}")


class PolarityModel(Protocol):
    """A model that gives the log-odds of "positive"."""

    def log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-odds of "positive" for each text."""
        ...


def predictions(texts: Sequence[str], model: PolarityModel) -> list[Prediction]:
    """Return label and score of each text, in order."""
    return [
        {"label": "positive", "score": round(probability, 6)}
        if probability >= 0.5
        else {"label": "negative", "score": round(1 - probability, 6)}
        for probability in probabilities(model.log_odds(texts)).tolist()
    ]


def probabilities(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities that belong to log-odds."""
    # tanh neither overflows nor warns, however large the log-odds
    return 0.5 + 0.5 * np.tanh(0.5 * log_odds)


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into runs of about `_CHUNK_CHARACTERS` characters, at least one text each."""
    begin = characters = 0
    for index, text in enumerate(texts):
        characters += len(text)
        if characters >= _CHUNK_CHARACTERS:
            yield texts[begin : index + 1]
            begin, characters = index + 1, 0
    if begin < len(texts):
        yield texts[begin:]


def code_points(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Normalise texts and return them as code points, a newline before, between and after them.

    A text is put into one Unicode form (NFC), lower-cased, its white space reduced to single spaces and its
    runs of one character cut to three, so that ``ㅋㅋㅋㅋㅋ`` says as much as ``ㅋㅋㅋ``.

    Args:
        texts: Not one of them empty or white space only.

    Raises:
        UnicodeEncodeError: A text holds half of a surrogate pair.
    """
    joined = "\n".join(["", *(" ".join(text.split()) for text in texts), ""])
    if not joined.isascii() and not unicodedata.is_normalized("NFC", joined):
        joined = unicodedata.normalize("NFC", joined)
    joined = _LONG_RUN.sub(r"\1\1\1", joined.lower())
    return np.frombuffer(joined.encode("utf-32-le"), dtype="<u4")
