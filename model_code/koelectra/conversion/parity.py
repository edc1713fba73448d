"""Whether the exported network answers as torch does, on texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from classifier import Classifier, open_session
from description import TOKENIZER_FILE, Description
from numpy.typing import NDArray
from tokens import Encoder, batches, padded

from conversion.findings import ExportRefused
from conversion.network import Logits, first_line, quiet
from conversion.source import Source
from conversion.texts import Texts

#: Largest difference of a logit between torch and ONNX, both in fp32.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """How an exported network compares with torch.

    Args:
        texts: Number of texts.
        largest_difference: Of a logit.
        label_agreement: Share of texts with the same label.
        largest_score_difference: Of the probability of torch's label.
        accuracy: Share of right labels; None where they are unknown.
        torch_accuracy: The same of torch.
    """

    texts: int
    largest_difference: float
    label_agreement: float
    largest_score_difference: float
    accuracy: float | None
    torch_accuracy: float | None


def torch_logits(network: Logits, source: Source, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return torch's logits, after checking that transformers and `tokens` see the same tokens.

    Raises:
        ExportRefused: The tokenizers differ.
    """
    tokens = Encoder(source.folder / TOKENIZER_FILE, source.max_length).encode(texts)
    try:
        with quiet():
            reference = transformers.AutoTokenizer.from_pretrained(
                source.folder, local_files_only=True, trust_remote_code=False
            )
            expected = reference(list(texts), truncation=True, max_length=source.max_length)["input_ids"]
    except Exception as error:  # files of any kind come in, and errors of many kinds out
        raise ExportRefused(
            f"{source.name}: transformers cannot load its tokenizer: {first_line(error)}"
        ) from None
    for text, mine, theirs in zip(texts, tokens, expected, strict=True):
        if mine.tolist() != theirs:
            raise ExportRefused(
                f"{source.name}: tokenizer.json makes {mine.tolist()[:8]}... of {text[:40]!r}, transformers "
                f"{theirs[:8]}...: its tokenizer_config.json says something else; save the tokenizer anew"
            )
    logits = np.empty((len(texts), len(source.labels)), dtype=np.float32)
    with torch.inference_mode():
        for chosen in batches([len(found) for found in tokens]):
            ids, mask = padded([tokens[index] for index in chosen], source.pad_id)
            logits[chosen] = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    return logits


def compare(path: Path, source: Source, texts: Texts, expected: NDArray[np.float32]) -> Parity:
    """Run an exported network as the container does, and compare it with torch's logits.

    Raises:
        ExportRefused: It gives something that is no number.
    """
    description = Description(source.labels, source.max_length, source.pad_id)
    encoder = Encoder(source.folder / TOKENIZER_FILE, source.max_length)
    found = Classifier(open_session(path), encoder, description).logits(texts.texts)
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise ExportRefused(f"{source.name}: some logits are not finite: its weights are broken")
    mine, theirs = found.argmax(axis=1), expected.argmax(axis=1)
    rows = np.arange(len(theirs))
    return Parity(
        texts=len(texts.texts),
        largest_difference=float(f"{np.abs(found - expected).max():.2g}"),
        label_agreement=round(float(np.mean(mine == theirs)), 4),
        largest_score_difference=float(
            f"{np.abs(_shares(found)[rows, theirs] - _shares(expected)[rows, theirs]).max():.2g}"
        ),
        accuracy=_accuracy(mine, texts.labels),
        torch_accuracy=_accuracy(theirs, texts.labels),
    )


def _shares(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _accuracy(found: NDArray[np.int64], labels: list[int] | None) -> float | None:
    return None if labels is None else round(float(np.mean(found == np.array(labels))), 4)
