"""An accepted model to a model directory."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from description import (
    DESCRIBED_FILES,
    DESCRIPTION_FILE,
    FORMAT,
    NETWORK_FILE,
    TOKENIZER_FILE,
    Description,
    file_entry,
)

from conversion.directory import new_directory
from conversion.findings import ExportRefused
from conversion.network import load_network, write_fp32, write_int8, write_split
from conversion.parity import TOLERANCE, Parity, compare, torch_logits
from conversion.source import Source
from conversion.texts import Texts

_MADE_WITH = ("torch", "transformers", "onnx", "onnxruntime", "tokenizers")


def export(source: Source, texts: Texts, precision: str, output: Path) -> None:
    """Convert a model, compare it with torch, and write its directory.

    Args:
        source: The model.
        texts: What to compare on.
        precision: ``int8`` or ``fp32``.
        output: The directory, see `check_output`.

    Raises:
        ExportRefused: The model cannot be converted, or differs from torch.
    """
    network = load_network(source)
    expected = torch_logits(network, source, texts.texts)
    with new_directory(output) as folder, tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fp32, int8 = Path(scratch, "fp32.onnx"), Path(scratch, "int8.onnx")
        write_fp32(network, fp32, source.max_length)
        parity = {"fp32": compare(fp32, source, texts, expected)}
        _tell("fp32", parity["fp32"])
        _check(source, parity["fp32"])
        if precision == "int8":
            write_int8(fp32, int8)
            write_split(int8, folder / NETWORK_FILE)
            parity["int8"] = compare(folder / NETWORK_FILE, source, texts, expected)
            _tell("int8", parity["int8"])
        else:
            write_split(fp32, folder / NETWORK_FILE)
        shutil.copyfile(source.folder / TOKENIZER_FILE, folder / TOKENIZER_FILE)
        parameters = sum(weights.numel() for weights in network.parameters())
        document = json.dumps(
            _document(source, parameters, precision, parity, folder), indent=2, ensure_ascii=False
        )
        (folder / DESCRIPTION_FILE).write_text(f"{document}\n", "utf-8")
        Description.read(folder)
    size = sum(file.stat().st_size for file in output.iterdir())
    print(f"wrote {output} ({precision}, {size:,} bytes)", flush=True)


def _check(source: Source, found: Parity) -> None:
    if not found.largest_difference <= TOLERANCE:
        raise ExportRefused(
            f"{source.name}: ONNX differs from torch by {found.largest_difference} in a logit, more than "
            f"{TOLERANCE}: this network is not exported rightly, nothing was written"
        )


def _document(
    source: Source, parameters: int, precision: str, parity: dict[str, Parity], folder: Path
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "labels": list(source.labels),
        "max_length": source.max_length,
        "pad_id": source.pad_id,
        "precision": precision,
        "files": {name: file_entry(folder / name) for name in DESCRIBED_FILES},
        "source": {
            "model": source.name,
            "revision": source.revision,
            "architecture": source.architecture,
            "parameters": parameters,
        },
        "parity_with_torch": {
            name: {key: value for key, value in asdict(found).items() if value is not None}
            for name, found in parity.items()
        },
        "made_with": {name: version(name) for name in _MADE_WITH},
    }


def _tell(precision: str, found: Parity) -> None:
    accuracy = "" if found.accuracy is None else f", accuracy {found.accuracy} (torch {found.torch_accuracy})"
    print(
        f"{precision} against torch on {found.texts} texts: labels agree on {found.label_agreement:.2%}, "
        f"logits differ by {found.largest_difference} at most, scores by {found.largest_score_difference}"
        f"{accuracy}",
        flush=True,
    )
