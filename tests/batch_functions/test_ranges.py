"""Cutting objects into ranges and lines: however it is cut, the same lines come out, each once."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

MOST = 12
PIECES = st.sampled_from(
    [b"\n", b"\n", b"\r\n", b"\r", b"a", b"bc", "가".encode(), b"\xff", b"x" * 11, b"y" * 40, b"\0"]
)
DATA = st.lists(PIECES, max_size=40).map(b"".join)


@pytest.fixture(autouse=True)
def small_blocks(batch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few bytes, so that lines lie across their ends."""
    monkeypatch.setattr(batch.lines, "_BLOCK", 7)
    monkeypatch.setattr(batch.lines, "_BLOCK_BEYOND", 3)


def whole(data: bytes) -> list[tuple[int, int, bytes | None]]:
    """Offset, number and bytes (None when too long) of the lines, from the whole object at once."""
    found, offset = [], 0
    pieces = data.split(b"\n")
    for number, piece in enumerate(pieces, 1):
        if number < len(pieces) or piece:
            line = piece.removesuffix(b"\r")
            found.append((offset, number, line if len(line) <= MOST else None))
        offset += len(piece) + 1
    return found


def ranges(batch: SimpleNamespace, data: bytes, cuts: list[int], packed: bool = False) -> Iterator[Any]:
    """Ranges of an object."""
    ends = sorted({cut % len(data) for cut in cuts} - {0} | {len(data)}) if data else []
    for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        yield batch.plan.Range(
            index=index,
            bucket="b",
            key="k",
            etag="e",
            start=start,
            end=end,
            size=len(data),
            format="jsonl",
            gzip=packed,
        )


def read(batch: SimpleNamespace, wanted: list[Any], data: bytes) -> list[tuple[int, int, bytes | None]]:
    """What the workers of ranges read, with lines counted from the object's beginning."""

    def read_bytes(place: object, start: int, end: int, etag: str) -> bytes:
        assert (start < end, etag) == (True, "e")
        return data[start:end]

    found, before = [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch.lines, "read_bytes", read_bytes)
        for one in wanted:
            lines = list(batch.lines.read_lines(one, MOST))
            found += [
                (line.offset, line.number + before, None if line.problem else line.data) for line in lines
            ]
            before += len(lines)
    return found


@given(data=DATA, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_of_any_object_gives_the_lines_of_the_whole(
    batch: SimpleNamespace, data: bytes, cuts: list[int]
) -> None:
    # GIVEN an object, cut into ranges anywhere, in the middle of characters and line ends too
    # WHEN each range is read by itself
    # THEN together they have every line once, with its place; too long ones are told
    assert read(batch, list(ranges(batch, data, cuts)), data) == whole(data)


@given(data=DATA, cut=st.integers(0, 400))
def test_a_packed_object_has_the_lines_of_the_unpacked_one(
    batch: SimpleNamespace, data: bytes, cut: int
) -> None:
    # GIVEN an object that was packed in two pieces, one after the other
    packed = gzip.compress(data[:cut]) + gzip.compress(data[cut:])

    # WHEN it is read, THEN its lines are those of the unpacked one
    assert read(batch, list(ranges(batch, packed, [], packed=True)), packed) == whole(data)


@given(data=DATA.filter(bool), keep=st.integers(1, 30))
def test_a_packed_object_that_ends_too_early_is_told(batch: SimpleNamespace, data: bytes, keep: int) -> None:
    # GIVEN a packed object without its last bytes
    packed = gzip.compress(data)[:-keep] or b"\x1f"

    # WHEN it is read, THEN whole lines come out, and the last entry tells that the rest is lost
    found = read(batch, list(ranges(batch, packed, [], packed=True)), packed)
    assert found[-1][2] is None
    assert all(line[:2] in {one[:2] for one in whole(data)} for line in found[:-1])


def test_a_line_that_is_too_long_is_passed_over_without_being_held(
    batch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a line of 101 MB between two others, in blocks as in operation
    monkeypatch.setattr(batch.lines, "_BLOCK", 4 * 1024 * 1024)
    block = b"x" * (1024 * 1024)
    held: list[int] = []

    def blocks() -> Iterator[bytes]:
        yield b"first\n"
        for _ in range(101):
            yield block
        yield b"\nlast"

    # WHEN lines of at most 6 MB are read, and those of at most 1 MB
    for most in (6 * 1024 * 1024, 1024 * 1024):
        tracemalloc.start()
        lines = list(batch.lines.split(blocks(), 0, most))
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

        # THEN the others are there, and what was held does not grow with the line
        assert [line.data for line in lines] == [b"first", b"x" * batch.lines.SAMPLE_BYTES, b"last"]
        assert "105,906,176 bytes" in lines[1].problem
    assert held[0] < 20 * 1024 * 1024
    assert held[1] < 5 * 1024 * 1024
