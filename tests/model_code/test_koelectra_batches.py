"""Texts to tokens to batches, and requests that are computed together."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

MODEL = "koelectra"


@pytest.fixture(scope="module")
def file(exports: Path) -> Path:
    return exports / "source" / "tokenizer.json"


@pytest.fixture(scope="module")
def encoder(code: SimpleNamespace, file: Path) -> object:
    return code.tokens.Encoder(file, 16)


@pytest.fixture(scope="module")
def plain(file: Path) -> Tokenizer:
    """The tokenizer itself, which reads a text to its end."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(16)
    return tokenizer


long_texts = st.lists(
    st.one_of(
        st.sampled_from(
            [" ", "  ", "\n", "\t", "\x1c", "\x00", "\u3000", "\u0301", "영화", "재미", "a", "!", "演"]
        ),
        st.text(max_size=3),
        # runs that no tokenizer can make short: one word, or nothing at all
        st.sampled_from(["가" * 300, " " * 300, "\x1c" * 200, "ㅋ" * 90]),
    ),
    max_size=120,
).map("".join)


@settings(deadline=None, max_examples=200)
@example(text=" " * 40 + "가" * 300)  # one unknown word, but many known pieces of a word when cut within it
@given(text=long_texts.filter(lambda text: not any(0xD800 <= ord(char) < 0xE000 for char in text)))
def test_cutting_a_long_text_short_changes_no_token(encoder: object, plain: Tokenizer, text: str) -> None:
    # GIVEN any text WHEN it is encoded THEN its tokens are those of the whole text, cut off
    assert encoder.encode([text])[0].tolist() == plain.encode(text).ids


def test_of_a_very_long_text_only_the_beginning_is_looked_at(code: SimpleNamespace, encoder: object) -> None:
    # GIVEN 100,000 characters WHEN they are cut THEN little is left, and their tokens fill the length
    text = "영화 정말 재미있다! " * 8_000
    assert len(encoder._shortened(text)) <= 16 * 8
    assert len(encoder.encode([text])[0]) == 16
    # one endless word cannot be cut, and is one unknown word
    assert len(encoder.encode(["가" * 100_000])[0]) == 3


def test_a_tokenizer_that_looks_beyond_words_gets_the_whole_text(
    code: SimpleNamespace, file: Path, tmp_path: Path
) -> None:
    document = json.loads(file.read_text("utf-8"))
    document["pre_tokenizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), "utf-8")
    text = "영화 " * 1000
    assert code.tokens.Encoder(tmp_path / "tokenizer.json", 16)._shortened(text) == text


@given(lengths=st.lists(st.integers(1, 700), max_size=200))
def test_every_text_is_in_one_batch_of_bounded_size(code: SimpleNamespace, lengths: list[int]) -> None:
    # GIVEN texts of any lengths WHEN they are cut into batches
    found = [batch.tolist() for batch in code.tokens.batches(lengths)]
    # THEN each is in one, and none is larger than it may be, padding included, but for a single text
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= code.tokens.BATCH_TOKENS
    # AND texts of like lengths are together
    spans = [(min(lengths[i] for i in batch), max(lengths[i] for i in batch)) for batch in found]
    assert all(low >= high for (low, _), (_, high) in pairwise(spans))


def test_shorter_texts_are_filled_up_and_masked(code: SimpleNamespace) -> None:
    ids, mask = code.tokens.padded([np.array([2, 5, 3]), np.array([2, 3])], 9)
    assert ids.tolist() == [[2, 5, 3], [2, 3, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


class Counting:
    """Answers each text by itself in capitals, and remembers what it got at once."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.busy = threading.Event()
        self.free = threading.Event()

    def __call__(self, texts: Sequence[str]) -> list[str]:
        self.calls.append(list(texts))
        if "wait" in texts:
            self.busy.set()
            assert self.free.wait(20)
        if "bad" in texts:
            raise ValueError("bad text")
        return [text.upper() for text in texts]


def test_requests_of_one_moment_are_computed_together(code: SimpleNamespace) -> None:
    # GIVEN a long wait, which ends when four texts are there
    compute = Counting()
    batches = code.micro_batches.MicroBatches(compute, wait=60, most=4)
    with ThreadPoolExecutor(3) as pool:
        # WHEN three requests come THEN each gets the answers to its own texts, of one computation
        answers = list(pool.map(batches.predict, [["a", "b"], ["c"], ["d"]]))
    assert answers == [["A", "B"], ["C"], ["D"]]
    assert sorted(compute.calls[0]) == ["a", "b", "c", "d"]
    assert len(compute.calls) == 1


def test_a_request_that_stays_alone_is_answered_after_the_wait(code: SimpleNamespace) -> None:
    compute = Counting()
    batches = code.micro_batches.MicroBatches(compute, wait=0.01)
    assert batches.predict(["a"]) == ["A"]
    assert batches.predict([]) == []
    assert compute.calls == [["a"], []]


def test_a_request_fails_only_for_its_own_texts(code: SimpleNamespace) -> None:
    # GIVEN two requests that are computed together, one of which fails
    batches = code.micro_batches.MicroBatches(Counting(), wait=60, most=2)
    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.submit(batches.predict, ["good"]), pool.submit(batches.predict, ["bad"])
        # THEN the other is answered
        assert good.result(20) == ["GOOD"]
        assert isinstance(bad.exception(20), ValueError)


def test_the_next_batch_does_not_wait_for_the_one_that_is_computed(code: SimpleNamespace) -> None:
    # GIVEN a request that is being computed
    compute = Counting()
    batches = code.micro_batches.MicroBatches(compute, wait=60, most=1)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(batches.predict, ["wait"])
        assert compute.busy.wait(20)
        # WHEN another comes THEN it is answered meanwhile
        assert pool.submit(batches.predict, ["next"]).result(20) == ["NEXT"]
        assert not slow.done()
        compute.free.set()
        assert slow.result(20) == ["WAIT"]


@settings(deadline=None, max_examples=25)
@given(
    requests=st.lists(st.lists(st.text("ab", min_size=1, max_size=3), max_size=5), min_size=1, max_size=12),
    most=st.integers(1, 8),
)
def test_any_requests_get_their_own_answers(
    code: SimpleNamespace, requests: list[list[str]], most: int
) -> None:
    compute = Counting()
    batches = code.micro_batches.MicroBatches(compute, wait=0.002, most=most)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(batches.predict, requests))
    assert answers == [[text.upper() for text in texts] for texts in requests]
    assert sorted(chain(*compute.calls)) == sorted(chain(*requests))
