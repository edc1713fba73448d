"""Source directories as one folder: the build context of a container image, or the code of a function."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import Findings
from .sources import SourceFile, cache_folder, file_digest, gather, reporting

DOCKERFILE = "Dockerfile"


def stage(directory: Path, shared: Sequence[Path] = ()) -> Path:
    """A folder with the files of a directory and of folders laid over it; the same one for the same content.

    Left out: ``__pycache__``, ``*.pyc``, hidden files and folders, folders named ``tests``.

    Args:
        directory: Has the Dockerfile.
        shared: Folders with files that several directories use; no file may come twice. Default: none.

    Raises:
        InvalidConfiguration: All that is wrong with the folders, at once.
    """
    findings = Findings(f"Build context {directory}")
    with reporting(directory):
        files = gather(findings, directory, shared)
        findings.require(
            DOCKERFILE in {file.name for file in files},
            "directory",
            str(directory),
            f"has no {DOCKERFILE}, which says how the image is made",
            "add it",
        )
        findings.raise_if_any()
        return keep(files)


def digest_of(files: Sequence[SourceFile]) -> str:
    """SHA-256 over names, modes and bytes of files, the same on every machine."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"\0{file.name}\0{file.mode:o}\0{file_digest(file.source)}".encode())
    return total.hexdigest()


def keep(files: Sequence[SourceFile]) -> Path:
    """A folder with these files in the cache; the same one for the same content.

    Args:
        files: What goes into it.

    Raises:
        OSError: Something cannot be read or written; see `reporting`.
    """
    target = cache_folder() / f"context-{digest_of(files)}"
    if not target.is_dir():
        # under another name first: another synth at the same time sees all of it or nothing
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix="context-", suffix=".part"))
        try:
            for file in files:
                copy = part / file.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.source, copy)
                copy.chmod(file.mode)
            part.chmod(0o755)
            if not target.is_dir():
                part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target
