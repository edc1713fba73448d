"""The queue on disk: what was acknowledged is there, whatever happened to the file or to the process."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.async_queue import journal as journal_module
from sandbox.async_queue.journal import FILE, Contents, Journal
from sandbox.async_queue.request import AsyncRequest, Notice

ROOT = Path(__file__).parents[2]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def request(number: int, inference_id: str = "id") -> AsyncRequest:
    return AsyncRequest(number, inference_id, 1000.5, "s3://b/out", input_location="s3://b/in")


def notice(number: int) -> Notice:
    return Notice("arn:topic", f"message {number} über", "main")


def read(folder: Path, executor: ThreadPoolExecutor) -> Contents:
    journal = Journal(folder, executor)
    contents = journal.open()
    asyncio.run(journal.close())
    return contents


@contextmanager
def small_files() -> Iterator[None]:
    """Compaction after every few records."""
    before, journal_module.COMPACT_BYTES = journal_module.COMPACT_BYTES, 600
    try:
        yield
    finally:
        journal_module.COMPACT_BYTES = before


def test_what_is_written_is_read_again(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    # GIVEN a journal with a request in each of its states
    async def write() -> None:
        journal = Journal(tmp_path, executor)
        journal.open()
        for number in (1, 2, 3):
            await journal.accepted(request(number, f"영상 {number}"))
        await journal.ended(request(2), notice(2))
        await journal.ended(request(3), notice(3))
        await journal.done(3)
        await journal.close()

    asyncio.run(write())

    # WHEN it is opened again
    contents = read(tmp_path, executor)

    # THEN the first one waits, the second one's notice is to be sent, the third is past
    assert contents.waiting == {1: request(1, "영상 1")}
    assert contents.notices == {2: (request(2, "영상 2"), notice(2))}
    assert contents.last == 3


operations = st.lists(st.sampled_from(["accept", "end", "done", "done", "reopen"]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(operations, st.randoms(use_true_random=False), st.binary(max_size=40), st.booleans())
def test_a_torn_end_costs_nothing_that_was_acknowledged(
    steps: list[str], chance: random.Random, torn: bytes, compacting: bool
) -> None:
    # GIVEN any history of a queue, with what each acknowledged step leaves behind
    waiting: set[int] = set()
    ended: set[int] = set()
    last = 0

    async def live(folder: Path, executor: ThreadPoolExecutor) -> None:
        nonlocal last
        journal = Journal(folder, executor)
        journal.open()
        for step in steps:
            if step == "reopen":
                await journal.close()
                journal = Journal(folder, executor)
                contents = journal.open()
                assert set(contents.waiting) == waiting
                assert contents.last == last
            elif step == "accept":
                last += 1
                await journal.accepted(request(last))
                waiting.add(last)
            elif step == "end" and waiting:
                number = chance.choice(sorted(waiting))
                await journal.ended(request(number), notice(number))
                waiting.remove(number)
                ended.add(number)
            elif step == "done" and waiting | ended:
                number = chance.choice(sorted(waiting | ended))
                await journal.done(number)
                waiting.discard(number)
                ended.discard(number)
        await journal.close()

    with TemporaryDirectory() as name, ThreadPoolExecutor(1) as executor, small_files():
        if not compacting:
            journal_module.COMPACT_BYTES = 10**9
        folder = Path(name)
        asyncio.run(live(folder, executor))

        # WHEN the process dies in the middle of the next record
        with (folder / FILE).open("ab") as file:
            file.write(torn.replace(b"\n", b""))

        # THEN everything is as it was acknowledged, and the journal goes on
        for _ in range(2):
            contents = read(folder, executor)
            assert set(contents.waiting) == waiting
            assert set(contents.notices) == ended
            assert contents.last == last


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.data())
def test_cut_anywhere_it_tells_a_past_that_was(count: int, data: st.DataObject) -> None:
    # GIVEN a journal of so many requests
    async def write(folder: Path, executor: ThreadPoolExecutor) -> None:
        journal = Journal(folder, executor)
        journal.open()
        for number in range(1, count + 1):
            await journal.accepted(request(number))
        await journal.close()

    with TemporaryDirectory() as name, ThreadPoolExecutor(1) as executor:
        folder = Path(name)
        asyncio.run(write(folder, executor))
        file = folder / FILE
        whole = file.read_bytes()

        # WHEN the disk has lost everything behind some byte
        kept = data.draw(st.integers(0, len(whole)))
        os.truncate(file, kept)

        # THEN the records that are whole are there, and no other
        assert sorted(read(folder, executor).waiting) == list(range(1, whole[:kept].count(b"\n") + 1))
        assert file.read_bytes() == whole[: whole.rfind(b"\n", 0, kept) + 1]


def test_a_damaged_record_in_the_middle_takes_no_other_with_it(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    # GIVEN three requests, and a disk that has changed a byte of the second
    async def write() -> None:
        journal = Journal(tmp_path, executor)
        journal.open()
        for number in (1, 2, 3):
            await journal.accepted(request(number))
        await journal.close()

    asyncio.run(write())
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"s3://b/in", b"s3://c/in")
    (tmp_path / FILE).write_bytes(b"".join(lines))

    # WHEN it is opened
    contents = read(tmp_path, executor)

    # THEN the others are there, and a copy is kept for who wants to look
    assert sorted(contents.waiting) == [1, 3]
    assert (tmp_path / FILE).with_suffix(".damaged").read_bytes() == b"".join(lines)


def test_a_long_past_does_not_make_it_grow(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    # GIVEN a journal in which one request stays and two thousand come and go
    async def write() -> None:
        journal = Journal(tmp_path, executor)
        journal.open()
        await journal.accepted(request(1))
        for start in range(2, 2000, 100):
            numbers = range(start, start + 100)
            await asyncio.gather(*(journal.accepted(request(number)) for number in numbers))
            await asyncio.gather(*(journal.done(number) for number in numbers))
        await journal.close()

    with small_files():
        asyncio.run(write())

    # THEN the file holds hardly more than what is alive, and no number is given twice
    assert (tmp_path / FILE).stat().st_size < 100_000
    contents = read(tmp_path, executor)
    assert sorted(contents.waiting) == [1]
    assert contents.last == 2001


def test_a_write_that_fails_half_way_leaves_nothing_behind(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a disk that takes half of a record and then is full
    write = os.write
    full = False

    def half(descriptor: int, data: memoryview) -> int:
        if not full:
            return write(descriptor, data)
        if len(data) > 20:
            return write(descriptor, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module.os, "write", half)

    async def run() -> None:
        nonlocal full
        journal = Journal(tmp_path, executor)
        journal.open()
        await journal.accepted(request(1))
        full = True
        with pytest.raises(OSError, match="No space left"):
            await journal.accepted(request(2, "short" * 30))
        full = False
        await journal.accepted(request(3))
        await journal.close()

    # WHEN it has room again
    asyncio.run(run())

    # THEN the next record is whole, and the failed one was never there
    assert sorted(read(tmp_path, executor).waiting) == [1, 3]


WRITER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sandbox.async_queue import journal as module
from sandbox.async_queue.journal import Journal
from sandbox.async_queue.request import AsyncRequest

module.COMPACT_BYTES = 20_000

async def work(journal, lane):
    number = lane
    while True:
        await journal.accepted(AsyncRequest(number, "id", 1.0, "s3://b/out"))
        print("accepted", number, flush=True)
        if number % 3 == 0:
            await journal.done(number)
            print("done", number, flush=True)
        number += 4

async def main():
    journal = Journal(Path(sys.argv[1]), ThreadPoolExecutor(1))
    journal.open()
    await asyncio.gather(*(work(journal, lane) for lane in range(1, 5)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [40, 700])
def test_a_killed_process_has_lost_nothing_that_it_acknowledged(
    tmp_path: Path, executor: ThreadPoolExecutor, lines: int
) -> None:
    # GIVEN a process that writes, compacts, and says what is durable
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "queue")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()

    # WHEN it is killed in the midst of that
    said = [process.stdout.readline().split() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    said += [line.split() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    watchdog.cancel()

    # THEN all that it said is so
    accepted = {int(number) for what, number in said if what == "accepted"}
    done = {int(number) for what, number in said if what == "done"}
    waiting = set(read(tmp_path / "queue", executor).waiting)
    assert accepted - {number for number in accepted if number % 3 == 0} <= waiting
    assert not done & waiting
