"""The sentiment model alone, in this process: rows per second against one row at a time."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from types import ModuleType

from benchmarks.processes import ROOT
from benchmarks.report import Figure

TEXTS = [
    "불후의 명작입니다. 눈물이 앞을 가려요",
    "저런...5점 만점에 1점 주기도 힘들어요.",
    "배우들 연기는 좋았는데 이야기가 너무 늘어져서 중간에 졸았네요",
    "기대 안 하고 봤는데 생각보다 훨씬 재미있었다 ㅋㅋㅋㅋ",
]


def measure(runs: int) -> list[Figure]:
    """Time `predict_fn` on a large batch and on single rows."""
    inference = load_inference()
    model = inference.model_fn(str(ROOT / "model_code" / "sentiment"))
    # distinct texts: nothing may be answered from a cache
    rows = [f"{TEXTS[i % len(TEXTS)]} {i}" for i in range(20_000)]
    batch, single = [], []
    for run in range(runs):
        batch.append(len(rows) / _timed(lambda: inference.predict_fn(rows, model)))
        some = [[f"{text} {run}"] for text in rows[:2_000]]
        single.append(
            len(some) / _timed(lambda some=some: [inference.predict_fn(row, model) for row in some])
        )
    return [
        Figure(
            "sentiment model, one process",
            statistics.median(batch),
            "rows/s",
            baseline=statistics.median(single),
            baseline_name="(one by one)",
            ratio=statistics.median(b / s for b, s in zip(batch, single, strict=True)),
            target=15_000,
            at_most=False,
        )
    ]


def load_inference() -> ModuleType:
    """Load model_code/sentiment/inference.py as the container does: with its own and the shared folder."""
    folder = ROOT / "model_code" / "sentiment"
    folders = [str(folder), str(ROOT / "model_code" / "shared")]
    sys.path[:0] = folders
    try:
        spec = importlib.util.spec_from_file_location("inference", folder / "inference.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        del sys.path[: len(folders)]


def _timed(work) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
