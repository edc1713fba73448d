"""KoELECTRA as it is served, in ONNX, against the same network in torch: speed, start, memory, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from benchmarks.processes import ROOT, BenchmarkFailed, seconds
from benchmarks.report import Figure, paired

SHAPES = ("small", "base")
BASELINE, ENGINES = "torch", ("fp32", "int8")
THREADS = (1, 2)
#: Requests of each batch size, in blocks that alternate between the engines.
REQUESTS = {1: 80, 8: 5}
BLOCKS = 5
# of int8; batch 1, one thread; they hold for processors with instructions for int8 (VNNI)
MOST_TIME = {"small": 1 / 3, "base": 1 / 4}
MOST_START_SECONDS = {"small": 1.0}
MOST_MEMORY = {"base": 1 / 4}
_PYTHON = ROOT / ".cache" / "koelectra" / "bin" / "python"


@dataclass
class _Run:
    """One process: seconds of its parts, megabytes (10^6 bytes), and seconds of requests by batch size."""

    import_seconds: float
    load_seconds: float
    loaded_mb: float
    batch_mb: float
    peak_mb: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)

    @property
    def start(self) -> float:
        return self.import_seconds + self.load_seconds

    def percentile(self, batch: int, which: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.latencies[batch], which)) * 1000

    def rate(self, batch: int) -> float:
        """Sequences per second."""
        return batch * len(self.latencies[batch]) / sum(self.latencies[batch])


def measure(runs: int) -> list[Figure]:
    """Make and export random models of the real shapes; alternate the engines in processes of their own."""
    _set_up()
    with tempfile.TemporaryDirectory(prefix="bench-koelectra-") as folder:
        models = Path(folder)
        _make(models)
        for engine in ENGINES:  # the image has byte code, too
            with _served(models / "small" / engine, 1):
                pass
        figures = []
        for shape in SHAPES:
            rounds = [{threads: _round(models / shape, threads) for threads in THREADS} for _ in range(runs)]
            found = {
                (threads, engine): [one[threads][engine] for one in rounds]
                for threads in THREADS
                for engine in (BASELINE, *ENGINES)
            }
            figures += [*_speed(shape, found), *_start_and_memory(shape, found), *_files(models, shape)]
    return figures


def _set_up() -> None:
    """Set up the export's environment where it is missing, which takes some minutes."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "setup_koelectra.py"],
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkFailed(
            f"The environment that exports models, {_PYTHON.parent.parent}, is missing and cannot be set up: "
            f"{done.stderr.strip()}"
        )


def _make(folder: Path) -> None:
    command = [str(_PYTHON), str(ROOT / "benchmarks" / "koelectra_models.py")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda shape: seconds([*command, shape, str(folder / shape)]), SHAPES))


def _round(folder: Path, threads: int) -> dict[str, _Run]:
    """Start a process for each engine, then let them answer blocks of requests in turn."""
    with ExitStack() as stack:
        served = {
            engine: stack.enter_context(_served(folder / engine, threads)) for engine in (BASELINE, *ENGINES)
        }
        for batch, requests in REQUESTS.items():
            for _ in range(BLOCKS):
                for one in served.values():
                    one.answer(batch, requests // BLOCKS)
        return {engine: one.run for engine, one in served.items()}


class _Served:
    """A process that serves a model, warm for each batch size."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._folder, self._process, self._errors = folder, process, errors
        start = self._read()
        loaded = self._rss_mb()
        for batch in REQUESTS:
            self._ask(batch, 1)
        self.run = _Run(start["import"], start["load"], loaded, self._rss_mb())

    def answer(self, batch: int, requests: int) -> None:
        """Let it answer requests, and add their times to the run's."""
        found = self._ask(batch, requests)
        self.run.latencies.setdefault(batch, []).extend(found["seconds"])
        self.run.peak_mb = found["peak_mb"]

    def _ask(self, batch: int, requests: int) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: reading tells why
            os.write(self._process.stdin.fileno(), f"{batch} {requests}\n".encode())
        return self._read()

    def _read(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise BenchmarkFailed(
                f"the process that serves {self._folder} ended with {self._process.returncode}:\n"
                f"{self._errors.read()[-4000:]}"
            )
        return dict(json.loads(line))

    def _rss_mb(self) -> float:
        return float(psutil.Process(self._process.pid).memory_info().rss) / 1e6


@contextmanager
def _served(folder: Path, threads: int) -> Iterator[_Served]:
    engine = BASELINE if folder.name == BASELINE else "onnx"
    command: list[str | Path] = [_PYTHON, "-s", ROOT / "benchmarks" / "koelectra_worker.py", engine, folder]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield _Served(folder, process, errors)
        finally:
            process.kill()


_Found = Mapping[tuple[int, str], Sequence[_Run]]


def _speed(shape: str, found: _Found) -> Iterator[Figure]:
    for engine in ENGINES:
        for threads in THREADS:
            own, torch = found[threads, engine], found[threads, BASELINE]
            for batch in REQUESTS:
                name = f"KoELECTRA {shape} {engine}, {_plural(threads, 'thread')}, batch {batch}"
                is_goal = engine == "int8" and threads == batch == 1
                yield paired(
                    f"{name}, p50",
                    [run.percentile(batch, 50) for run in own],
                    [run.percentile(batch, 50) for run in torch],
                    unit="ms",
                    baseline_name="(torch)",
                    target=MOST_TIME[shape] if is_goal and _has_vnni() else None,
                    target_is_ratio=True,
                    details={
                        which: [
                            {
                                "p50_ms": run.percentile(batch, 50),
                                "p99_ms": run.percentile(batch, 99),
                                "sequences_per_second": run.rate(batch),
                                "seconds": run.latencies[batch],
                            }
                            for run in measured
                        ]
                        for which, measured in ((engine, own), (BASELINE, torch))
                    },
                )
                if engine == "int8" and batch == 1:
                    yield paired(
                        f"{name}, p99",
                        [run.percentile(batch, 99) for run in own],
                        [run.percentile(batch, 99) for run in torch],
                        unit="ms",
                        baseline_name="(torch)",
                    )
                elif engine == "int8":
                    yield paired(
                        name,
                        [run.rate(batch) for run in own],
                        [run.rate(batch) for run in torch],
                        unit="sequences/s",
                        baseline_name="(torch)",
                    )


def _start_and_memory(shape: str, found: _Found) -> Iterator[Figure]:
    torch = found[1, BASELINE]
    for engine in ENGINES:
        own = found[1, engine]
        has_goal = engine == "int8" and _has_vnni()
        yield paired(
            f"KoELECTRA {shape} {engine}, import and load",
            [run.start for run in own],
            [run.start for run in torch],
            unit="s",
            baseline_name="(torch)",
            target=MOST_START_SECONDS.get(shape) if has_goal else None,
            details={
                which: [{"import_s": run.import_seconds, "load_s": run.load_seconds} for run in measured]
                for which, measured in ((engine, own), (BASELINE, torch))
            },
        )
        yield paired(
            f"KoELECTRA {shape} {engine}, memory when loaded",
            [run.loaded_mb for run in own],
            [run.loaded_mb for run in torch],
            unit="MB",
            baseline_name="(torch)",
            target=MOST_MEMORY.get(shape) if has_goal else None,
            target_is_ratio=True,
            details={
                which: [
                    {"loaded_mb": run.loaded_mb, "batch_mb": run.batch_mb, "peak_mb": run.peak_mb}
                    for run in measured
                ]
                for which, measured in ((engine, own), (BASELINE, torch))
            },
        )


def _files(models: Path, shape: str) -> Iterator[Figure]:
    torch = _size_mb(models / shape / BASELINE)
    for engine in ENGINES:
        own = _size_mb(models / shape / engine)
        yield paired(f"KoELECTRA {shape} {engine}, files", [own], [torch], unit="MB", baseline_name="(torch)")


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _has_vnni() -> bool:
    """Whether the processor says so; where it cannot be asked, no."""
    try:
        words = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(words)
