"""The steps of an export, and what is said about them."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from description import DESCRIPTION_FILE, FORMAT, NETWORK_FILE, TOKENIZER_FILE, Description, file_entry

from conversion.directory import check_output, new_directory
from conversion.findings import ExportRefused
from conversion.network import load_network, write_fp32, write_int8
from conversion.parity import TOLERANCE, Parity, compare, read_texts, torch_logits
from conversion.source import Source, open_source

_REVIEWS = Path(__file__).with_name("reviews.txt")
_MADE_WITH = ("torch", "transformers", "onnx", "onnxruntime", "tokenizers")


def run(options: argparse.Namespace) -> int:
    """Export as the command line says; return the exit status, with one line of reasons if it is refused."""
    try:
        _export(options)
    except ExportRefused as refusal:
        print(f"export.py: {refusal}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 1
    return 0


def _export(options: argparse.Namespace) -> None:
    check_output(options.output)
    texts = read_texts(options.texts or _REVIEWS, options.most_texts)
    source = open_source(options.model, options.revision, options.labels, options.max_length)
    print(f"{source.name}: {source.architecture}, labels {', '.join(source.labels)}", flush=True)
    network = load_network(source)
    expected = torch_logits(network, source, texts.texts)
    with new_directory(options.output) as folder, tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fp32, int8 = Path(scratch, "fp32.onnx"), Path(scratch, "int8.onnx")
        write_fp32(network, fp32, source.max_length)
        parity = {"fp32": compare(fp32, source, texts, expected)}
        _tell("fp32", parity["fp32"])
        if parity["fp32"].largest_difference > TOLERANCE:
            raise ExportRefused(
                f"{source.name}: ONNX differs from torch by {parity['fp32'].largest_difference} in a logit, "
                f"more than {TOLERANCE}: this network is not exported rightly, nothing was written"
            )
        if options.precision == "int8":
            write_int8(fp32, int8)
            parity["int8"] = compare(int8, source, texts, expected)
            _tell("int8", parity["int8"])
        shutil.copyfile(int8 if options.precision == "int8" else fp32, folder / NETWORK_FILE)
        shutil.copyfile(source.folder / TOKENIZER_FILE, folder / TOKENIZER_FILE)
        document = _document(source, network_parameters(network), options.precision, parity, folder)
        (folder / DESCRIPTION_FILE).write_text(
            json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8"
        )
        Description.read(folder)
    size = (options.output / NETWORK_FILE).stat().st_size
    print(f"wrote {options.output} ({NETWORK_FILE}: {options.precision}, {size:,} bytes)")


def network_parameters(network: Any) -> int:
    """Number of weights of a torch module."""
    return sum(weights.numel() for weights in network.parameters())


def _document(
    source: Source, parameters: int, precision: str, parity: dict[str, Parity], folder: Path
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "labels": list(source.labels),
        "max_length": source.max_length,
        "pad_id": source.pad_id,
        "precision": precision,
        "files": {name: file_entry(folder / name) for name in (NETWORK_FILE, TOKENIZER_FILE)},
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
