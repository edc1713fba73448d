"""`python -m client`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from client.cli import app

        app(prog_name="python -m client")
    except KeyboardInterrupt:  # while modules are still being imported
        sys.exit(130)
