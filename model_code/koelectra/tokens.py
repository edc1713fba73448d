"""Texts to token numbers, and batches of them that waste little on padding."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

#: Tokens of a batch at most, padding included: bounds the memory of a request, keeps arrays in the cache.
BATCH_TOKENS = 512
# so many texts at a time are held in the tokenizer's own, large form
_SLICE = 1024
# characters of a long text that are looked at first, per token allowed
_CHARACTERS_PER_TOKEN = 8


class Encoder:
    """The model's own tokenizer, cutting texts off at a number of tokens.

    Args:
        file: The ``tokenizer.json``.
        max_length: Tokens of a text at most, special ones included.

    Raises:
        ValueError: The file is no tokenizer.
    """

    def __init__(self, file: Path, max_length: int) -> None:
        # the model server has threads of its own, and a batch takes a millisecond or two
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        text = file.read_text("utf-8")
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises Exception itself
            raise ValueError(f"{file} is no tokenizer of the tokenizers library: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length
        self._word_by_word = _is_word_by_word(json.loads(text))

    @property
    def vocabulary(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the tokens of each text."""
        tokens: list[NDArray[np.int64]] = []
        for begin in range(0, len(texts), _SLICE):
            shortened = [self._shortened(text) for text in texts[begin : begin + _SLICE]]
            tokens += [
                np.array(found.ids, dtype=np.int64) for found in self._tokenizer.encode_batch(shortened)
            ]
        return tokens

    def _shortened(self, text: str) -> str:
        """Cut off what cannot count, so that a very long text costs little more than one of full length.

        Where a tokenizer works word by word, what stands before a space is tokenised alike with and without
        what follows. If that alone fills the length, the rest would be cut off anyway.
        """
        length = self._max_length * _CHARACTERS_PER_TOKEN
        while self._word_by_word and length < len(text):
            begin = text[: max(0, text.rfind(" ", 0, length))]
            if len(self._tokenizer.encode(begin).ids) == self._max_length:
                return begin
            length *= 4
        return text


def batches(lengths: Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of texts that are computed together: of like lengths, `BATCH_TOKENS` at most.

    Args:
        lengths: Tokens of each text.
    """
    order = np.argsort(np.array(lengths), kind="stable")
    end = len(order)
    while end:
        # from the longest down, so that each batch's first text tells how many fit
        rows = max(1, BATCH_TOKENS // lengths[order[end - 1]])
        yield order[max(0, end - rows) : end]
        end = max(0, end - rows)


def padded(tokens: Sequence[NDArray[np.int64]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``[texts, longest]`` token numbers, filled up with `pad_id`, and the mask of what is text."""
    longest = max(map(len, tokens))
    ids = np.full((len(tokens), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, found in enumerate(tokens):
        ids[row, : len(found)] = found
        mask[row, : len(found)] = 1
    return ids, mask


def _is_word_by_word(document: dict[str, object]) -> bool:
    kinds = [(document.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer")]  # type: ignore[attr-defined]
    return kinds == ["BertNormalizer", "BertPreTokenizer"]
