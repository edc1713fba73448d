"""Makes an ELECTRA of a real shape with random weights and exports it, in the export's own environment.

    .cache/koelectra/bin/python benchmarks/koelectra_models.py SHAPE FOLDER

FOLDER then holds ``torch`` (Hugging Face's format) and its exports ``fp32`` and ``int8``.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KOELECTRA = ROOT / "model_code" / "koelectra"
sys.path[:0] = [str(folder) for folder in (ROOT / "tools", KOELECTRA, ROOT / "model_code" / "shared")]

import export  # noqa: E402
import make_electra  # noqa: E402
from koelectra_worker import REVIEWS, TOKENS  # noqa: E402


def main() -> int:
    """Make all three; return the exit status of the export."""
    shape, folder = sys.argv[1], Path(sys.argv[2])
    make_electra.make(make_electra.read_texts(REVIEWS), folder / "torch", shape)
    for precision in ("fp32", "int8"):
        options = {"model": folder / "torch", "output": folder / precision, "precision": precision}
        options |= {"max-length": TOKENS}
        if status := export.main([f"--{option}={value}" for option, value in options.items()]):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
