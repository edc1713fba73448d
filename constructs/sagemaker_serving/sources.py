"""Files of a directory and of folders laid over it, as archives and build contexts are made of them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import Finding, Findings, InvalidConfiguration

CACHE_VARIABLE = "SAGEMAKER_SERVING_CACHE_DIR"
"""Environment variable: the folder that keeps packed archives. Default ``.cache/artifacts``."""
_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "tests"})


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


def gather(
    findings: Findings,
    directory: Path,
    shared: Sequence[Path] = (),
    *,
    place: Callable[[tuple[str, ...]], str | None] = "/".join,
) -> list[SourceFile]:
    """The files of a directory, and of folders that it shares with others, in the order of their new names.

    Left out: ``__pycache__``, ``*.pyc``, hidden files and folders, folders named ``tests``. No file may come
    twice.

    Args:
        findings: Where to note what cannot be taken.
        directory: The directory.
        shared: Folders with files that several directories use. Default: none.
        place: Path in its folder to the new name, or to None for a file that is left out. Default: the same.

    Raises:
        InvalidConfiguration: The directory cannot be used at all.
        OSError: Something cannot be read; see `reporting`.
    """
    folders = {"directory": directory, **{f"shared[{index}]": folder for index, folder in enumerate(shared)}}
    usable = [
        (field, folder)
        for number, (field, folder) in enumerate(folders.items())
        if _is_usable(findings, field, folder, before=list(folders.values())[:number])
    ]
    if usable[:1] != [("directory", directory)]:
        findings.raise_if_any()
    found = ((field, folder, path) for field, folder in usable for path in _walk(findings, field, folder))
    return sorted(_placed(findings, found, place), key=lambda file: file.name.encode())


@contextmanager
def reporting(directory: Path) -> Iterator[None]:
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


def cache_folder() -> Path:
    """Where packed archives are kept; made when it is not there."""
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(".cache", "artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def _placed(
    findings: Findings,
    found: Iterable[tuple[str, Path, tuple[str, ...]]],
    place: Callable[[tuple[str, ...]], str | None],
) -> list[SourceFile]:
    """Where each file (field, folder, path in the folder) goes."""
    by_name: dict[str, SourceFile] = {}
    for field, folder, path in found:
        name = place(path)
        if name is None:
            continue
        source = folder.joinpath(*path)
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
