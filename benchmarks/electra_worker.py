"""One engine on one model, in a process of its own; prints what it found as JSON.

    python electra_worker.py torch|onnx DIRECTORY THREADS REQUESTS

Torch is as the workshop serves it: transformers' classifier and tokenizer, in evaluation mode, without
gradients. ONNX is this project's handler functions. Both get texts, so that tokens are counted on both sides;
both cut them at 64 tokens. Run by Pythons of two environments: only the standard library at the top.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TOKENS = 64
BATCHES = (1, 8)
_ROOT = Path(__file__).resolve().parents[1]
# more than 64 tokens of any vocabulary
_TEXT = "시간 가는 줄 모르고 봤습니다 배우들의 연기가 정말 훌륭했어요 " * 12

Predict = Callable[[list[str]], Any]


def main() -> int:
    """Measure, and print."""
    engine, directory, threads, requests = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    started = time.perf_counter()
    load = _torch(threads) if engine == "torch" else _onnx()
    imported = time.perf_counter()
    predict = load(directory)
    loaded = time.perf_counter()
    memory = _resident()
    found: dict[str, Any] = {
        "import": imported - started,
        "load": loaded - imported,
        "loaded_mb": memory,
    }
    for batch in BATCHES:
        found[str(batch)] = _latencies(
            predict, [f"{number} {_TEXT}" for number in range(batch)], requests // batch
        )
    found["working_mb"] = _resident()
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))
    return 0


def _torch(threads: int) -> Callable[[str], Predict]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(threads)

    def load(directory: str) -> Predict:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        model = AutoModelForSequenceClassification.from_pretrained(directory).eval()

        @torch.no_grad()
        def predict(texts: list[str]) -> Any:
            given = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
            return model(**given).logits.softmax(-1).max(-1)

        predict(["warm"])
        return predict

    return load


def _onnx() -> Callable[[str], Predict]:
    sys.path[:0] = [str(_ROOT / "model_code" / name) for name in ("koelectra", "shared")]
    import inference

    def load(directory: str) -> Predict:
        model = inference.model_fn(directory)
        return lambda texts: inference.predict_fn(texts, model)

    return load


def _latencies(predict: Predict, texts: list[str], requests: int) -> Sequence[float]:
    """Milliseconds of each request."""
    for _ in range(3):
        predict(texts)
    found = []
    for _ in range(max(requests, 8)):
        started = time.perf_counter()
        predict(texts)
        found.append((time.perf_counter() - started) * 1000)
    return found


def _resident() -> float:
    """Megabytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
