"""Writing a model directory: whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from description import DESCRIPTION_FILE

from conversion.findings import ExportRefused


def check_output(output: Path) -> None:
    """Refuse a place where something else stands, before the long work begins.

    Raises:
        ExportRefused: It is no directory, or one that holds no exported model.
    """
    if not output.exists() and not output.is_symlink():
        return
    mine = output.is_dir() and not output.is_symlink()
    if not mine or (any(output.iterdir()) and not (output / DESCRIPTION_FILE).is_file()):
        raise ExportRefused(
            f"--output {output}: something else is there, which would be removed: give a new directory, or "
            "one that an export wrote"
        )


@contextmanager
def new_directory(output: Path) -> Iterator[Path]:
    """Give an empty directory; it takes the place of `output` when all went well, and is removed otherwise.

    Raises:
        ExportRefused: The place cannot be written.
    """
    output = output.absolute()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}-"))
    except OSError as error:
        raise ExportRefused(f"--output {output}: cannot be written: {error.strerror}") from None
    try:
        new = working / "new"
        new.mkdir()
        yield new
        if output.exists():
            output.rename(working / "old")
        new.rename(output)
    finally:
        shutil.rmtree(working, ignore_errors=True)
