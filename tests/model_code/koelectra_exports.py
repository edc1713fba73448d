"""Makes a small model and exports it, in one process of the export's own environment.

    .cache/koelectra/bin/python koelectra_exports.py TEXTS FOLDER

FOLDER then holds ``source`` (Hugging Face's format), its exports ``int8``, ``again`` (the same once more) and
``fp32``; and ``misfit``, whose weights do not belong to its configuration. What each export printed, and its
status, is in ``<export>.json``.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tools", "model_code/koelectra", "model_code/shared")]

import export  # noqa: E402
import make_electra  # noqa: E402


def main() -> int:
    texts, folder = Path(sys.argv[1]), Path(sys.argv[2])
    make_electra.make(make_electra.read_texts(texts), folder / "source", "tiny")
    misfit = Path(shutil.copytree(folder / "source", folder / "misfit"))
    config = json.loads((misfit / "config.json").read_text("utf-8"))
    (misfit / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), "utf-8")
    for name, source, precision in (
        ("int8", "source", "int8"),
        ("again", "source", "int8"),
        ("fp32", "source", "fp32"),
        ("misfitted", "misfit", "int8"),
    ):
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            options = {"model": folder / source, "output": folder / name, "precision": precision}
            options |= {"texts": texts, "most-texts": 200}
            status = export.main([f"--{option}={value}" for option, value in options.items()])
        result = {"status": status, "said": said.getvalue(), "complained": complained.getvalue()}
        (folder / f"{name}.json").write_text(json.dumps(result), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
