"""A source directory as a byte-stable model archive, packed once and kept.

Plain Python, no CDK. The archive has the layout that SageMaker's framework containers expect: the code below
``code/``, everything else at the root (developer guide, hosting FAQs: no symbolic links).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import Finding, Findings, InvalidConfiguration

CODE_FOLDER = "code"
CACHE_VARIABLE = "SAGEMAKER_SERVING_CACHE_DIR"
"""Environment variable: the folder that keeps packed archives. Default ``.cache/artifacts``."""

_LAYOUT = b"sagemaker-serving archive 1"  # change it when the same files would be packed otherwise
_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "tests"})
_GZIP_LEVEL = 6


@dataclass(frozen=True)
class SourceFile:
    """A file that goes into the archive.

    Args:
        source: Where it is.
        name: Where it goes, with slashes.
        mode: 0o755 when its owner may execute it, else 0o644.
    """

    source: Path
    name: str
    mode: int


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
    folders = {"directory": directory, **{f"shared[{index}]": folder for index, folder in enumerate(shared)}}
    with _reporting(directory):
        usable = [
            (field, folder)
            for number, (field, folder) in enumerate(folders.items())
            if _is_usable(findings, field, folder, before=list(folders.values())[:number])
        ]
        if usable[:1] != [("directory", directory)]:
            findings.raise_if_any()
        files = _arrange(
            findings,
            ((field, folder, path) for field, folder in usable for path in _walk(findings, field, folder)),
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
    return sorted(files, key=lambda file: file.name.encode())


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
    with _reporting(directory):
        digest = _content_digest(files)
        cache = _cache_folder()
        return PackedArchive(_kept(cache, digest) or _write_archive(cache, files, digest), digest)


def _is_usable(findings: Findings, field: str, folder: Path, *, before: Sequence[Path]) -> bool:
    """Whether a folder is there, and not one of those before it."""
    there = findings.require(
        folder.is_dir(),
        field,
        str(folder),
        "is not a directory" if folder.exists() else "does not exist",
        "give the directory that holds the model and its inference code"
        if field == "directory"
        else "give a folder with files that several models use",
    )
    once = findings.require(
        folder.resolve() not in {other.resolve() for other in before},
        field,
        str(folder),
        "is given twice, so that all its files would come twice",
        "remove it here",
    )
    return there and once


@contextmanager
def _reporting(directory: Path) -> Iterator[None]:
    """What the operating system refuses, as a finding."""
    try:
        yield
    except OSError as error:
        finding = Finding(
            "directory",
            str(error.filename or directory),
            f"cannot be packed: {error.strerror or error}",
            f"correct the path or its permissions; {CACHE_VARIABLE} moves the cache folder",
        )
        raise InvalidConfiguration(f"Model directory {directory}", [finding]) from error


def _kept(cache: Path, content_digest: str) -> Path | None:
    """The archive from an earlier synth; a damaged one is removed."""
    for kept in sorted(cache.glob(f"{content_digest}-*.tar.gz")):
        with suppress(FileNotFoundError):  # another synth may have found and removed the same damaged one
            if kept.name == _archive_name(content_digest, _file_digest(kept)):
                return kept
            kept.unlink()
    return None


def _walk(
    findings: Findings, field: str, directory: Path, parts: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Relative paths of all regular files that are not left out."""
    with os.scandir(directory.joinpath(*parts)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = (*parts, entry.name)
            if entry.name.startswith(".") or entry.name.endswith(".pyc"):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _LEFT_OUT_FOLDERS:
                    yield from _walk(findings, field, directory, path)
            elif _is_packable(findings, field, entry, "/".join(path)):
                yield path


def _is_packable(findings: Findings, field: str, entry: os.DirEntry[str], name: str) -> bool:
    kind = _special_kind(entry.stat(follow_symlinks=False).st_mode)
    regular = findings.require(
        not kind,
        field,
        name,
        f"is {kind}; an archive for SageMaker holds regular files only",
        "replace it by the file itself, or remove it",
    )
    named = findings.require(
        _is_utf8(name),
        field,
        ascii(name),
        "its name is not UTF-8",
        "rename it",
    )
    return regular and named


def _special_kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device file"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _arrange(findings: Findings, found: Iterable[tuple[str, Path, tuple[str, ...]]]) -> list[SourceFile]:
    """Where each file (field, folder, path in the folder) goes in the archive."""
    by_name: dict[str, SourceFile] = {}
    for field, folder, path in found:
        is_code = len(path) == 1 and (path[0].endswith(".py") or path[0] == "requirements.txt")
        name = "/".join((CODE_FOLDER, *path) if is_code else path)
        source = folder.joinpath(*path)
        findings.require(
            name != CODE_FOLDER,
            field,
            name,
            f"is a file, but {CODE_FOLDER} is the folder that the archive keeps the code in",
            "rename it",
        )
        first = by_name.get(name)
        unique = findings.require(
            first is None,
            field,
            "/".join(path),
            f"the archive would hold {name} twice, from {first.source if first else ''} and {source}",
            "keep one of the two, or rename one",
        )
        if unique:
            executable = source.stat().st_mode & stat.S_IXUSR
            by_name[name] = SourceFile(source, name, 0o755 if executable else 0o644)
    return list(by_name.values())


def _cache_folder() -> Path:
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(".cache", "artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _archive_name(content_digest: str, file_digest: str) -> str:
    return f"{content_digest}-{file_digest}.tar.gz"


def _content_digest(files: Iterable[SourceFile]) -> str:
    return _digest_of((file, _file_digest(file.source)) for file in files)


def _digest_of(files: Iterable[tuple[SourceFile, str]]) -> str:
    total = hashlib.sha256(_LAYOUT)
    for file, digest in files:
        # A name cannot hold a zero byte, so the entries cannot run into each other.
        total.update(f"\0{file.name}\0{file.mode:o}\0{digest}".encode())
    return total.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        target = cache / _archive_name(content_digest, _file_digest(part))
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
