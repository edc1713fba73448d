"""Makes a small model and exports it, in one process of the export's own environment.

    .cache/koelectra/bin/python koelectra_exports.py TEXTS FOLDER

FOLDER then holds ``source`` (Hugging Face's format), ``int8`` and ``fp32``; what the commands printed is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tools", "model_code/koelectra", "model_code/shared")]

import export  # noqa: E402
import make_electra  # noqa: E402


def main() -> int:
    texts, folder = Path(sys.argv[1]), Path(sys.argv[2])
    make_electra.make(make_electra.read_texts(texts), folder / "source", "tiny")
    statuses = [
        export.main(
            [
                f"--model={folder / 'source'}",
                f"--output={folder / name}",
                f"--precision={name}",
                f"--texts={texts}",
                "--most-texts=200",
            ]
        )
        for name in ("int8", "fp32", "int8")  # the second time over the first one's output
    ]
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
