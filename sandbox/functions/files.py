"""Files in a laid-out image: where paths of a Dockerfile lead, and copying as COPY does."""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


class Refused(Exception):
    """An instruction cannot be followed; the message says why."""


class ImageFiles:
    """The files of an image, or of a stage of one.

    Args:
        root: Folder with the files, by their absolute paths.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def real(self, path: PurePosixPath) -> Path:
        """Where an absolute path of the image is here."""
        return self.root / str(path).lstrip("/")

    def place(self, source: Path, target: str, work_dir: str) -> None:
        """Copy as COPY does: a folder's content into the target, a file as the target or into it.

        Args:
            source: A file or folder here.
            target: A path in the image, perhaps relative.
            work_dir: What it is relative to.
        """
        destination = self.real(inside(target, work_dir))
        if source.is_dir():
            shutil.copytree(source, destination, dirs_exist_ok=True)
            return
        into = target.endswith(("/", "/.")) or target == "." or destination.is_dir()
        final = destination / source.name if into else destination
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.unlink()
        shutil.copy(source, final)


def inside(path: str, work_dir: str) -> PurePosixPath:
    """An absolute path in an image; ``..`` does not lead out of it."""
    return PurePosixPath("/" + os.path.normpath(PurePosixPath(work_dir) / path).lstrip("/"))


def matching(root: Path, pattern: str) -> list[Path]:
    """Files and folders below a root that a pattern of COPY means; ``*`` does not cross folders."""
    normal = os.path.normpath("/" + pattern)  # .. does not lead out of the context
    found = [root]
    for part in PurePosixPath(normal).parts[1:]:
        if has_wildcard(part):
            found = [
                child
                for folder in found
                if folder.is_dir()
                for child in sorted(folder.iterdir())
                if fnmatch.fnmatchcase(child.name, part.replace("[^", "[!"))
            ]
        else:
            found = [folder / part for folder in found]
    return [path for path in found if path.exists()]


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern of COPY may mean several files."""
    return any(mark in pattern for mark in "*?[")


def check_links(path: Path, context: Path) -> None:
    """Check that no link leads out of the build context.

    Raises:
        Refused: One does.
    """
    for each in _walk(path):
        if each.is_symlink() and not each.resolve().is_relative_to(context):
            raise Refused(f"{each.relative_to(context)} is a link that leads out of the build context")


def _walk(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")
