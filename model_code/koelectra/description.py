"""The model directory: which files it has, and `model.json`, which describes them.

Written by `export.py`, read when the model is loaded. It holds the digests of the other files: a model that
was damaged on its way is refused instead of answering wrongly.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DESCRIPTION_FILE = "model.json"
NETWORK_FILE = "model.onnx"
#: The network's large arrays, beside it so that they are mapped into memory instead of copied.
WEIGHTS_FILE = "model.data"
TOKENIZER_FILE = "tokenizer.json"
DESCRIBED_FILES = (NETWORK_FILE, WEIGHTS_FILE, TOKENIZER_FILE)
FORMAT = "koelectra-onnx/1"
#: The network's inputs and output.
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "logits"
SHORTEST_MAX_LENGTH = 8

_AGAIN = "export the model again with model_code/koelectra/export.py"


@dataclass(frozen=True)
class Description:
    """What the code must know of a model.

    Args:
        labels: By the index of their logit.
        max_length: Tokens of a text at most, the two special ones included; what is beyond is cut off.
        pad_id: Token that fills up shorter texts of a batch.
    """

    labels: tuple[str, ...]
    max_length: int
    pad_id: int

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read a model directory's description, and check its files against it.

        Raises:
            FileNotFoundError: Files are missing; all of them are named.
            ValueError: The description or a file is damaged, or of another format.
        """
        missing = [name for name in (DESCRIPTION_FILE, *DESCRIBED_FILES) if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} has no {', no '.join(missing)}: {_AGAIN}, and pack its output at the root of "
                "model.tar.gz"
            )
        path = folder / DESCRIPTION_FILE
        try:
            document = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}): {_AGAIN}") from None
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise ValueError(f"{path} has format {found!r}, this code reads {FORMAT!r}: {_AGAIN}")
        problems = [*_wrong_members(document), *_damaged_files(folder, document.get("files"))]
        if problems:
            raise ValueError(f"{path}: {'; '.join(problems)}: {_AGAIN}")
        return cls(tuple(document["labels"]), document["max_length"], document["pad_id"])


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def file_entry(path: Path) -> dict[str, Any]:
    """Return how `model.json` describes a file."""
    return {"bytes": path.stat().st_size, "sha256": digest_of(path)}


def _wrong_members(document: dict[str, Any]) -> list[str]:
    labels, length, pad = (document.get(name) for name in ("labels", "max_length", "pad_id"))
    problems = []
    if (
        not isinstance(labels, list)
        or len(labels) < 2
        or not all(isinstance(label, str) and label for label in labels)
        or len(set(labels)) != len(labels)
    ):
        problems.append(f"labels are {labels!r}, not two or more different names")
    if type(length) is not int or length < SHORTEST_MAX_LENGTH:
        problems.append(f"max_length is {length!r}, not a whole number from {SHORTEST_MAX_LENGTH}")
    if type(pad) is not int or pad < 0:
        problems.append(f"pad_id is {pad!r}, not a token's number")
    return problems


def _damaged_files(folder: Path, entries: Any) -> list[str]:
    if not isinstance(entries, dict):
        return [f"files are {entries!r}, not an object"]
    problems = []
    for name in DESCRIBED_FILES:
        actual = file_entry(folder / name)
        if entries.get(name) != actual:
            problems.append(f"{name} is damaged: expected {entries.get(name)}, found {actual}")
    return problems
