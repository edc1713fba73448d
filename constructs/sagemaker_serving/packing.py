"""A source directory as a byte-stable model archive, packed once and kept.

Plain Python, no CDK. The archive has the layout that SageMaker's framework containers expect: the code below
``code/``, everything else at the root (developer guide, hosting FAQs: no symbolic links).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import Finding, Findings, InvalidConfiguration
from .sources import SourceFile, cache_folder, file_digest, gather, reporting

CODE_FOLDER = "code"
_LAYOUT = b"sagemaker-serving archive 1"  # change it when the same files would be packed otherwise
_GZIP_LEVEL = 6


@dataclass(frozen=True)
class PackedArchive:
    """A finished archive.

    Args:
        path: The ``.tar.gz`` file.
        content_digest: SHA-256 over names, modes and bytes of what is in it, the same on every machine.
    """

    path: Path
    content_digest: str


def list_sources(directory: Path, program: str, shared: Sequence[Path] = ()) -> list[SourceFile]:
    """What of a directory, and of folders that it shares with others, goes into the archive, in the archive's
    order.

    ``*.py`` and ``requirements.txt`` at the top go into ``code/``; a folder ``code/`` stays as it is;
    everything else keeps its place. Left out: ``__pycache__``, ``*.pyc``, hidden files and folders, folders
    named ``tests``. A shared folder is laid over the model's own by the same rules; no file may come twice.

    Args:
        directory: The model's directory.
        program: The file with the handler functions, needed in ``code/``.
        shared: Folders with files that several models use. Default: none.

    Raises:
        InvalidConfiguration: All that is wrong with the folders, at once.
    """
    findings = Findings(f"Model directory {directory}")
    with reporting(directory):
        files = gather(findings, directory, shared, place=_in_archive)
    for file in files:
        findings.require(
            file.name != CODE_FOLDER,
            "directory",
            file.name,
            f"is a file, but {CODE_FOLDER} is the folder that the archive keeps the code in",
            "rename it",
        )
    wanted = f"{CODE_FOLDER}/{program}"
    if wanted not in {file.name for file in files}:
        own = [file.source for file in files if file.source.is_relative_to(directory)]
        there = sorted(source.relative_to(directory).as_posix() for source in own)
        seen = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
        findings.require(
            False,
            "program",
            program,
            f"{directory} has no {program}, which holds the model's handler functions; "
            + (f"it has {seen}" if there else "it is empty"),
            f"add {program} with model_fn, input_fn, predict_fn, output_fn, or name another file as program",
        )
    findings.raise_if_any()
    return files


def pack(directory: Path, program: str, shared: Sequence[Path] = ()) -> PackedArchive:
    """Pack a directory and what it shares, unless the same content was packed before.

    Args:
        directory: The model's directory.
        program: The file with the handler functions.
        shared: See `list_sources`.

    Returns:
        The archive, in the cache folder.

    Raises:
        InvalidConfiguration: See `list_sources`; or a file cannot be read, changes while it is packed, or the
            cache folder cannot be written.
    """
    files = list_sources(directory, program, shared)
    with reporting(directory):
        digest = _content_digest(files)
        cache = cache_folder()
        return PackedArchive(_kept(cache, digest) or _write_archive(cache, files, digest), digest)


def _in_archive(path: tuple[str, ...]) -> str:
    """Code at the top goes where SageMaker's containers look for it."""
    is_code = len(path) == 1 and (path[0].endswith(".py") or path[0] == "requirements.txt")
    return "/".join((CODE_FOLDER, *path) if is_code else path)


def _kept(cache: Path, content_digest: str) -> Path | None:
    """The archive from an earlier synth; a damaged one is removed."""
    for kept in sorted(cache.glob(f"{content_digest}-*.tar.gz")):
        with suppress(FileNotFoundError):  # another synth may have found and removed the same damaged one
            if kept.name == _archive_name(content_digest, file_digest(kept)):
                return kept
            kept.unlink()
    return None


def _archive_name(content_digest: str, file_digest: str) -> str:
    return f"{content_digest}-{file_digest}.tar.gz"


def _content_digest(files: Iterable[SourceFile]) -> str:
    return _digest_of((file, file_digest(file.source)) for file in files)


def _digest_of(files: Iterable[tuple[SourceFile, str]]) -> str:
    total = hashlib.sha256(_LAYOUT)
    for file, digest in files:
        # A name cannot hold a zero byte, so the entries cannot run into each other.
        total.update(f"\0{file.name}\0{file.mode:o}\0{digest}".encode())
    return total.hexdigest()


class _HashingReader(io.RawIOBase):
    """Reads a file and takes its digest on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase.read`."""
        data = self._stream.read(size)
        self.digest.update(data)
        return data


def _write_archive(cache: Path, files: Iterable[SourceFile], content_digest: str) -> Path:
    """Write under another name first and rename: another synth at the same time sees all of it or nothing."""
    handle, name = tempfile.mkstemp(dir=cache, prefix=f"{content_digest[:16]}-", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            packed = _digest_of(_write_members(stream, files))
        if packed != content_digest:
            finding = Finding(
                "directory", str(cache), "a file changed while it was being packed", "run the command again"
            )
            raise InvalidConfiguration("Model archive", [finding])
        target = cache / _archive_name(content_digest, file_digest(part))
        part.replace(target)
        return target
    finally:
        part.unlink(missing_ok=True)


def _write_members(stream: BinaryIO, files: Iterable[SourceFile]) -> list[tuple[SourceFile, str]]:
    """Write the archive; names, owners, times and the gzip header depend on nothing but the content."""
    written = []
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=_GZIP_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in files:
            with file.source.open("rb") as source:
                member = tarfile.TarInfo(file.name)
                member.size = os.fstat(source.fileno()).st_size
                member.mode = file.mode
                reader = _HashingReader(source)
                archive.addfile(member, reader)
                written.append((file, reader.digest.hexdigest()))
    return written
