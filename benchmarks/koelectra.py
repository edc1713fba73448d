"""KoELECTRA in torch, as ONNX, and as ONNX int8: random weights in the real shapes, engines in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.electra_worker import BATCHES, TOKENS
from benchmarks.processes import ROOT, BenchmarkFailed, seconds
from benchmarks.report import Figure, paired

SHAPES = ("small", "base")
THREADS = (1, 2)
ENGINES = ("torch", "onnx fp32", "onnx int8")
# requests of one text in a process; slow shapes get fewer
_REQUESTS = {"small": 120, "base": 30}
# int8 against torch, one text, one thread
_FASTER = {"small": 3.0, "base": 4.0}
_START_SECONDS = 1.0
_SHARE_OF_MEMORY = 0.25
_EXPORT_PYTHON = ROOT / ".cache" / "koelectra" / "bin" / "python"
_WORKER = ROOT / "benchmarks" / "electra_worker.py"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

Round = Mapping[str, Any]


@dataclass(frozen=True)
class _Models:
    """The models of one shape.

    Args:
        source: In Hugging Face's format.
        exports: By engine.
    """

    source: Path
    exports: Mapping[str, Path]

    def of(self, engine: str) -> Path:
        """The directory that an engine loads."""
        return self.source if engine == "torch" else self.exports[engine]


def measure(runs: int) -> list[Figure]:
    """Each engine in a process of its own, in turn, for each shape and number of threads."""
    seconds([sys.executable, str(ROOT / "tools" / "setup_koelectra.py")])
    figures: list[Figure] = []
    vnni = _has_vnni()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for shape in SHAPES:
            models = _make(Path(folder) / shape, shape)
            for threads in THREADS:
                rounds = {engine: [] for engine in ENGINES}  # type: dict[str, list[Round]]
                for _ in range(runs):
                    for engine in ENGINES:
                        rounds[engine].append(_run(engine, models.of(engine), threads, _REQUESTS[shape]))
                figures += _speed(shape, threads, rounds, vnni=vnni)
                if threads == 1:
                    figures += _weight(shape, rounds, models, vnni=vnni)
    return figures


def _speed(
    shape: str, threads: int, rounds: Mapping[str, Sequence[Round]], *, vnni: bool
) -> Iterator[Figure]:
    for batch in BATCHES:
        torch = [statistics.median(one[str(batch)]) for one in rounds["torch"]]
        for engine in ENGINES[1:]:
            own = [statistics.median(one[str(batch)]) for one in rounds[engine]]
            p99 = statistics.median(_p99(one[str(batch)]) for one in rounds[engine])
            rate = batch * 1000 / statistics.median(own)
            aimed = engine == "onnx int8" and batch == 1 and threads == 1 and vnni
            yield paired(
                f"{shape}, {engine}, {_plural(threads, 'thread')}, {_plural(batch, 'text')}: "
                f"p50 of {TOKENS} tokens (p99 {p99:.1f} ms, {rate:.0f} texts/s)",
                own,
                torch,
                unit="ms",
                baseline_name="(torch)",
                target=1 / _FASTER[shape] if aimed else None,
                target_is_ratio=aimed,
            )


def _weight(
    shape: str, rounds: Mapping[str, Sequence[Round]], models: _Models, *, vnni: bool
) -> Iterator[Figure]:
    torch = rounds["torch"]
    for engine in ENGINES[1:]:
        own = rounds[engine]
        yield paired(
            f"{shape}, {engine}, import and load",
            [one["import"] + one["load"] for one in own],
            [one["import"] + one["load"] for one in torch],
            unit="s",
            baseline_name="(torch)",
            target=_START_SECONDS if shape == "small" and engine == "onnx int8" else None,
        )
        yield paired(
            f"{shape}, {engine}, memory when loaded",
            [one["loaded_mb"] for one in own],
            [one["loaded_mb"] for one in torch],
            unit="MB",
            baseline_name="(torch)",
            target=_SHARE_OF_MEMORY if shape == "base" and engine == "onnx int8" else None,
            target_is_ratio=True,
        )
        yield paired(
            f"{shape}, {engine}, most memory, batches of {BATCHES[-1]} included",
            [one["peak_mb"] for one in own],
            [one["peak_mb"] for one in torch],
            unit="MB",
            baseline_name="(torch)",
        )
        size, whole = _size(models.exports[engine]), _size(models.source)
        yield Figure(f"{shape}, {engine}, files", size, "MB", whole, "(torch)", size / whole)


def _make(folder: Path, shape: str) -> _Models:
    """A model of a shape, and its exports by the project's own command."""
    texts = ROOT / "model_code" / "koelectra" / "conversion" / "reviews.txt"
    source = folder / "source"
    environment = {**_OFFLINE, "PYTHONPATH": str(ROOT / "model_code" / "shared")}
    make = [str(_EXPORT_PYTHON), str(ROOT / "tools" / "make_electra.py"), "--shape", shape]
    seconds([*make, "--texts", str(texts), "--output", str(source)], environment=environment)
    exports = {}
    for precision in ("fp32", "int8"):
        exports[f"onnx {precision}"] = output = folder / precision
        export = [str(_EXPORT_PYTHON), str(ROOT / "model_code" / "koelectra" / "export.py")]
        options = ["--model", str(source), "--output", str(output), "--precision", precision]
        seconds([*export, *options, "--max-length", str(TOKENS)], environment=environment)
    return _Models(source, exports)


def _run(engine: str, directory: Path, threads: int, requests: int) -> Round:
    python = str(_EXPORT_PYTHON) if engine == "torch" else sys.executable
    done = subprocess.run(
        [python, str(_WORKER), engine.partition(" ")[0], str(directory), str(threads), str(requests)],
        env={**os.environ, **_OFFLINE, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"{engine} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _has_vnni() -> bool:
    """Whether the processor multiplies int8 in one instruction; targets are for those that do."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def _p99(latencies: Sequence[float]) -> float:
    return sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * 0.99))]


def _size(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
