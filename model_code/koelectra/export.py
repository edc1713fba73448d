"""Export a Hugging Face text classifier to what `inference.py` serves: ONNX, quantised to int8.

    make koelectra                                # the workshop's model, from the Hugging Face hub
    make koelectra MODEL=/path/to/directory       # a model on this machine

or by hand, with the environment that `make koelectra` sets up:

    PYTHONPATH=model_code/shared .cache/koelectra/bin/python model_code/koelectra/export.py \\
        --model daekeun-ml/koelectra-small-v3-nsmc --labels negative,positive --output my-model

The model is compared with torch on texts, and nothing is written unless they agree. The output is a whole
model directory or none at all. The same model and packages give the same bytes on the same machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

DEFAULT_MODEL = "daekeun-ml/koelectra-small-v3-nsmc"
DEFAULT_MAX_LENGTH = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        # torch, transformers and onnx: not where this module is only looked at, and not for --help
        from conversion.command import run

        return run(options)
    except ImportError as error:
        print(
            f"export.py: {error}. It needs model_code/shared in PYTHONPATH, and the packages of "
            "requirements-koelectra.txt, which `make koelectra` puts into .cache/koelectra",
            file=sys.stderr,
        )
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Export a Hugging Face text classifier to ONNX, quantised to int8.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a local directory, or a name on the hub")
    parser.add_argument("--revision", default="main", help="branch, tag or commit on the hub")
    parser.add_argument("--output", type=Path, required=True, help="the model directory to write")
    parser.add_argument(
        "--check", action="store_true", help="only get the model and look whether it can be exported"
    )
    parser.add_argument(
        "--labels",
        type=_names,
        help="names by index, such as negative,positive; needed if the model has none (LABEL_0, LABEL_1)",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        default=DEFAULT_MAX_LENGTH,
        help="tokens of a text at most; the rest of it is not looked at",
    )
    parser.add_argument("--precision", choices=["int8", "fp32"], default="int8", help="of the weights")
    parser.add_argument(
        "--texts",
        type=Path,
        help="texts to compare on, one per line, or a file in NSMC's format, which gives the accuracy too; "
        "some Korean reviews if not given",
    )
    parser.add_argument("--most-texts", type=int, default=1000, help="of them, evenly chosen")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
