"""Entry of a model-server process."""

from __future__ import annotations

import sys
from pathlib import Path


def _import_server() -> None:
    """Import this package without leaving the repository on the path that the model's code sees."""
    root = str(Path(__file__).resolve().parents[2])
    before = list(sys.path)
    sys.path.insert(0, root)
    import sandbox.model_server.server  # noqa: F401  (kept in sys.modules)

    sys.path[:] = [entry for entry in before if entry not in ("", root)]


if __name__ == "__main__":
    _import_server()
    from sandbox.model_server.server import main

    sys.exit(main(sys.argv[1:]))
