"""Serves one model in a process of its own, and times itself.

    .cache/koelectra/bin/python benchmarks/koelectra_worker.py ENGINE FOLDER

ENGINE is ``torch``, which computes as a handler with transformers does, or ``onnx``, which is this project's
own. A line of JSON tells the seconds of import and load. For each line ``<texts> <requests>`` of the input,
another tells the seconds of each request and the process's peak of memory. A request is texts to labels and
scores, tokenisation included, in the handlers' functions: formats of requests and answers are left out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

#: Tokens of each text, the special ones included.
TOKENS = 64
CODE = Path(__file__).resolve().parent.parent / "model_code"
REVIEWS = CODE / "koelectra" / "conversion" / "reviews.txt"

Predict = Callable[[Sequence[str]], Any]


def main() -> None:
    """Load the model and answer the lines of the input."""
    engine, folder = sys.argv[1], sys.argv[2]
    started = time.perf_counter()
    load = {"torch": _import_torch, "onnx": _import_onnx}[engine]()
    imported = time.perf_counter()
    predict = load(folder)
    _tell({"import": imported - started, "load": time.perf_counter() - imported})
    texts = _Texts()
    for line in sys.stdin:
        size, requests = map(int, line.split())
        _tell(
            {"seconds": [_timed(predict, texts.take(size)) for _ in range(requests)], "peak_mb": _peak_mb()}
        )


def _import_torch() -> Callable[[str], Predict]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def load(folder: str) -> Predict:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        names = model.config.id2label

        @torch.no_grad()
        def predict(texts: Sequence[str]) -> Any:
            tokens = tokenizer(
                list(texts), padding=True, truncation=True, max_length=TOKENS, return_tensors="pt"
            )
            scores, best = model(**tokens).logits.softmax(-1).max(-1)
            return [
                {"label": names[index], "score": score}
                for index, score in zip(best.tolist(), scores.tolist(), strict=True)
            ]

        predict(["warm"])  # as the other does
        return predict

    return load


def _import_onnx() -> Callable[[str], Predict]:
    sys.path[:0] = [str(CODE / "koelectra"), str(CODE / "shared")]
    import inference

    def load(folder: str) -> Predict:
        model = inference.model_fn(folder)
        return lambda texts: inference.predict_fn(list(texts), model)

    return load


class _Texts:
    """Distinct texts of so many words that each has `TOKENS` tokens or more, whatever the vocabulary."""

    def __init__(self) -> None:
        self._words = REVIEWS.read_text("utf-8").split()
        self._numbers = count()

    def take(self, number: int) -> list[str]:
        return [self._text(next(self._numbers)) for _ in range(number)]

    def _text(self, number: int) -> str:
        words = self._words
        return " ".join(words[(number * 7 + place) % len(words)] for place in range(TOKENS - 2))


def _timed(predict: Predict, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    answers = predict(texts)
    seconds = time.perf_counter() - started
    assert len(answers) == len(texts)
    return seconds


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        # not ru_maxrss, which Linux begins with the peak of the process that started this one
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
