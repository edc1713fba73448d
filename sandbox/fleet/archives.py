"""Unpacking of model.tar.gz from anywhere: nothing leaves the target, nothing fills the disk."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# what tarfile reads in one piece (headers) must not fill the memory
_LARGEST_READ = 16 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most.

    Args:
        members: Files and folders.
        total_bytes: All files together, unpacked.
    """

    members: int = 100_000
    total_bytes: int = 16 * 1024**3


DEFAULT_LIMITS = Limits()


class BadArchive(ValueError):
    """The archive is not a tar.gz, or holds what a model archive must not hold."""


class _BoundedGzip(gzip.GzipFile):
    """Stops a small file that unpacks into a huge one."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, "rb")
        self._limit = limit

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > _LARGEST_READ:
            raise BadArchive("a header is too large")
        data = super().read(size)
        if self.tell() > self._limit:
            raise BadArchive(f"it unpacks to more than {self._limit:,} bytes")
        return data


def unpack(archive: Path, target: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Unpack a tar.gz of plain files and folders into an existing, empty folder.

    Links are refused, as in SageMaker, whose extraction fails on them; so are devices, absolute paths and
    paths that lead out of the folder.

    Raises:
        BadArchive: With the first thing that is wrong.
    """
    # 1 KiB of header and padding per member at most, besides extended headers of long names
    overhead = limits.members * 4096
    try:
        with (
            _BoundedGzip(archive, limits.total_bytes + overhead) as stream,
            tarfile.open(fileobj=stream, mode="r:") as tar,
        ):
            count = total = 0
            for member in tar:
                count, total = count + 1, total + member.size
                _check(member)
                if count > limits.members:
                    raise BadArchive(f"it holds more than {limits.members:,} files")
                if total > limits.total_bytes:
                    raise BadArchive(f"it unpacks to more than {limits.total_bytes:,} bytes")
                _write(tar, member, target / member.name)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
        raise BadArchive(str(error) or type(error).__name__) from error
    except OSError as error:  # a file where a folder must be, a name that is too long, no space left
        raise BadArchive(f"{error.strerror or error}") from error


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise BadArchive(f"{member.name!r} lies outside the archive")
    if member.issym() or member.islnk():
        raise BadArchive(f"{member.name!r} is a link; put the file itself into the archive")
    if member.issparse() or not (member.isreg() or member.isdir()) or member.size < 0:
        raise BadArchive(f"{member.name!r} is neither a file nor a folder")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a checked member; of its permissions only the right to execute is kept.

    No link is ever made below the target, so that a path without ".." cannot lead out of it. This needs no
    `tarfile.data_filter`, which early releases of Python 3.11 do not have.
    """
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member)
    if source is None:
        raise BadArchive(f"{member.name!r} is neither a file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file)
    path.chmod(0o644 | (member.mode & 0o111))
