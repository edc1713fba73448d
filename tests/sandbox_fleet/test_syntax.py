"""Instances start side by side, and the alarms are evaluated meanwhile: all of them parse Python."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.syntax import parse_expression, parse_module

FILES = [path.read_bytes() for path in (Path(__file__).parents[2] / "sandbox" / "fleet").glob("*.py")]


@pytest.fixture
def collections_in_mid_parse() -> Iterator[None]:
    """Garbage collections all the time, each of which lets another thread go on."""

    def give_way(phase: str, info: dict[str, int]) -> None:
        time.sleep(0.0001)

    threshold = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(200)
    yield
    gc.set_threshold(*threshold)
    gc.callbacks.remove(give_way)


@pytest.mark.usefixtures("collections_in_mid_parse")
def test_threads_that_parse_at_once_do_not_disturb_each_other() -> None:
    # GIVEN the code of several models, and thresholds
    def parse(number: int) -> int:
        tree = parse_module(FILES[number % len(FILES)])
        parse_expression("IF(m1 > 0, (m2 + m3) / m1, 0)")
        return len(tree.body)

    # WHEN four threads read them, interrupted again and again
    with ThreadPoolExecutor(4) as threads:
        parsed = list(threads.map(parse, range(4 * len(FILES))))

    # THEN each gets its tree
    assert all(parsed)
