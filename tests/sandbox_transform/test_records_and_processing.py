"""Cutting objects into requests, paths, filters and joins: whatever the bytes, whatever the pieces."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.transform_jobs.paths import Path, PathError
from sandbox.transform_jobs.processing import Processing, RecordError
from sandbox.transform_jobs.records import Batch, by_line, unzipped
from tests.sandbox_transform.plant import request


async def pieces_of(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


async def here(function: Any, *arguments: Any) -> bytes:
    result: bytes = function(*arguments)
    return result


def collected(source: AsyncIterator[Any]) -> list[Any]:
    async def collect() -> list[Any]:
        return [each async for each in source]

    return asyncio.run(collect())


@given(
    lines=st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line and b"\r" not in line)),
    end=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(0, 500), max_size=8),
    limit=st.integers(12, 40),
    single=st.booleans(),
)
def test_requests_hold_all_lines_in_order_within_the_limit(
    lines: list[bytes], end: bytes, cuts: list[int], limit: int, single: bool
) -> None:
    # GIVEN any lines, read in any pieces
    data = end.join(lines)

    # WHEN they are put into requests
    batches: list[Batch] = collected(by_line(pieces_of(data, cuts), limit, single=single))

    # THEN each line that is not empty is there once, in order, under its own number
    numbered = [(at, line) for at, line in enumerate(lines, 1) if line.strip()]
    found = [pair for batch in batches for pair in zip(batch.lines, batch.records, strict=True)]
    assert found == numbered
    # AND no request is larger than it may be, or smaller than it need be
    sizes = [len(b"\n".join(batch.records)) for batch in batches]
    assert all(size <= limit for size in sizes)
    if single:
        assert all(len(batch.records) == 1 for batch in batches)
    else:
        firsts = [len(batch.records[0]) for batch in batches]
        assert all(size + 1 + first > limit for size, first in zip(sizes, firsts[1:], strict=False))


@given(
    members=st.lists(st.binary(max_size=200), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 900), max_size=8),
)
def test_gzip_is_read_in_any_pieces(members: list[bytes], cuts: list[int]) -> None:
    # GIVEN gzip data of some members, read in any pieces
    data = b"".join(map(gzip.compress, members))

    # WHEN it is unzipped
    # THEN it is what went in
    assert b"".join(collected(unzipped(pieces_of(data, cuts), here))) == b"".join(members)


VALUE = {"id": 7, "text": "좋아요", "scores": [1, 2, 3], "nested": {"a b": {"c": [{"d": 4}, {"d": 5}]}}}


@pytest.mark.parametrize(
    ("path", "picked"),
    [
        ("$", VALUE),
        ("$.id", 7),
        ("$['id']", 7),
        ('$["text"]', "좋아요"),
        ("$['id', 'text']", {"id": 7, "text": "좋아요"}),
        ("$.scores[-1]", 3),
        ("$.scores[0,-1]", [1, 3]),
        ("$.scores[1:]", [2, 3]),
        ("$.scores[:-1]", [1, 2]),
        ("$.scores[:]", [1, 2, 3]),
        ("$.scores[*]", [1, 2, 3]),
        ("$.scores.*", [1, 2, 3]),
        ("$.nested['a b'].c[*].d", [4, 5]),
        ("$.nested.*", [{"c": [{"d": 4}, {"d": 5}]}]),
    ],
)
def test_paths_pick_what_they_say(path: str, picked: object) -> None:
    # GIVEN a value
    # WHEN a path is followed in it
    # THEN one step gives a value, several steps or a choice give a list, names give an object
    assert Path.parse(path).pick(VALUE) == picked


@pytest.mark.parametrize(
    "path",
    [
        "",
        "id",
        "$id",
        "$.",
        "$..id",
        "$[?(@.id>1)]",
        "$[(@.length-1)]",
        "$[0",
        "$['id]",
        "$[]",
        "$.a b",
        "$[1:2:3]",
    ],
)
def test_other_operators_are_refused(path: str) -> None:
    # GIVEN what is no path, or one with operators that batch transform has not
    # WHEN it is parsed
    # THEN the message has it
    with pytest.raises(PathError, match="path"):
        Path.parse(path)


@pytest.mark.parametrize(
    "path", ["$.none", "$.scores[3]", "$.scores[0,-4]", "$.id.x", "$.id[0]", "$['id','none']"]
)
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    # GIVEN a path that the value does not have
    # WHEN it is followed
    # THEN it says so
    with pytest.raises(PathError, match="the path"):
        Path.parse(path).pick(VALUE)


def processing(content_type: str, **data_processing: str) -> Processing:
    return Processing.of(
        request(ContentType=content_type, Accept=content_type, DataProcessing=data_processing)
    )


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_json_is_joined_with_any_other(value: Any) -> None:
    # GIVEN a record and an answer, both any JSON
    data = json.dumps(value).encode()

    # WHEN they are joined
    [result] = processing("application/json", JoinSource="Input").results([data], [data])

    # THEN an object keeps its members, and anything else becomes one
    joined = json.loads(result)
    assert joined["SageMakerOutput"] == value
    if isinstance(value, dict):
        assert {k: v for k, v in joined.items() if k != "SageMakerOutput"} == {
            k: v for k, v in value.items() if k != "SageMakerOutput"
        }
    else:
        assert joined["SageMakerInput"] == value
    assert b"\n" not in result


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")), min_size=1))
def test_columns_survive_being_picked(row: list[str]) -> None:
    # GIVEN any columns, written as CSV
    everything = processing("text/csv", InputFilter="$[0:]")
    quoted = ",".join('"' + column.replace('"', '""') + '"' for column in row).encode()

    # WHEN all of them are picked, twice
    once = everything.outgoing([quoted])

    # THEN they are the same, whatever was quoted
    assert everything.outgoing(once) == once
    assert Path.parse("$[-1]").pick_columns(row) == [row[-1]]


def test_a_column_that_is_not_there_is_an_error_of_its_record() -> None:
    # GIVEN two records, of which one is short
    one = processing("text/csv", InputFilter="$[1]")

    # WHEN the second column is picked
    with pytest.raises(RecordError, match=r"the path \$\[1\] finds no position 1 among 1") as wrong:
        one.outgoing([b"a,b", b"c"])

    # THEN the error knows which
    assert wrong.value.position == 1


def test_text_that_is_not_utf8_is_an_error_of_its_record() -> None:
    # GIVEN a record in another encoding
    record = "영화".encode("cp949")

    # WHEN it is filtered or joined
    # THEN it says what it is
    with pytest.raises(RecordError, match="not UTF-8"):
        processing("text/csv", InputFilter="$[0]").outgoing([record])
    with pytest.raises(RecordError, match="not valid JSON"):
        processing("application/json", JoinSource="Input").results([record], [b"1"])
