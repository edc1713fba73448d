"""The exported network behind its tokenizer: texts to labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from cores import worker_cores
from description import INPUTS, NETWORK_FILE, OUTPUT, TOKENIZER_FILE, Description
from formats import Prediction
from numpy.typing import NDArray
from tokens import Encoder, batches, padded

# onnxruntime 1.32 computes the fused operator row by row: a short text took a quarter longer with it
_SLOWER_WITH = ["SkipLayerNormFusion"]


class Classifier:
    """A sequence classifier. Any number of threads may use it at once.

    Args:
        session: The network.
        encoder: Its tokenizer.
        description: Its labels.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, encoder: Encoder, description: Description
    ) -> None:
        self._session = session
        self._encoder = encoder
        self._description = description

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read a model directory, check it and run it once: the first request finds it warm.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: A file is damaged or does not belong to this code.
        """
        description = Description.read(folder)
        encoder = Encoder(folder / TOKENIZER_FILE, description.max_length)
        session = open_session(folder / NETWORK_FILE)
        found = [part.name for part in session.get_inputs()], session.get_outputs()[0].shape[-1]
        if found != (list(INPUTS), len(description.labels)):
            raise ValueError(
                f"{folder / NETWORK_FILE} has inputs {', '.join(found[0])} and {found[1]} logits, not "
                f"{', '.join(INPUTS)} and one logit for each label ({', '.join(description.labels)})"
            )
        model = cls(session, encoder, description)
        model.logits(["warm"])
        return model

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Return label and score of each text, in order.

        Args:
            texts: Any number. What is beyond the model's length is not looked at.

        Raises:
            FloatingPointError: The network gave no numbers.
        """
        logits = self.logits(texts)
        if not np.isfinite(logits).all():
            raise FloatingPointError("the network's answer is not finite: export the model again")
        shares = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        shares /= shares.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        labels = self._description.labels
        scores = shares[np.arange(len(best)), best].astype(np.float64).round(6)
        return [
            {"label": labels[index], "score": score}
            for index, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``float32[texts, labels]``."""
        tokens = self._encoder.encode(texts)
        logits = np.empty((len(texts), len(self._description.labels)), dtype=np.float32)
        for chosen in batches([len(found) for found in tokens]):
            ids, mask = padded([tokens[index] for index in chosen], self._description.pad_id)
            logits[chosen] = self._session.run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return logits


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Return the network, with as many threads as OMP_NUM_THREADS says or else this worker's cores.

    Raises:
        ValueError: The file is no network that onnxruntime runs.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    # threads that wait for work must leave the cores to the model server
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER_WITH
        )
    except Exception as error:  # the library's errors have no common base
        raise ValueError(f"{path} is no network that onnxruntime runs: {error}") from None


def _threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else worker_cores()
