"""Folders of raw data in the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from aws import pages

MARKER = "_SUCCESS"
"""Name of the empty object that is written when a folder is complete, as Hadoop's jobs do."""


@dataclass(frozen=True)
class _Object:
    path: str  # below the prefix
    modified: datetime


def folder_of_marker(key: str, prefix: str) -> str:
    """The folder that a marker completes; empty if the key is no marker's.

    Args:
        key: Of an object.
        prefix: Where raw data are, with a slash at its end.
    """
    if not key.startswith(prefix):
        return ""
    folder, _, name = key.removeprefix(prefix).rpartition("/")
    return folder if name == MARKER and all(folder.split("/")) else ""


def newest_folder(bucket: str, prefix: str) -> str:
    """The folder with the newest object; empty if there is none.

    As soon as a folder has a marker, only those with one count: others may not be complete. An object in a
    folder inside belongs to the nearest folder that counts.

    Args:
        bucket: The bucket.
        prefix: Where raw data are, with a slash at its end.
    """
    objects = list(_objects(bucket, prefix))
    marked = {folder for one in objects if (folder := folder_of_marker(one.path, ""))}
    counting = marked or {one.path.rpartition("/")[0] for one in objects}
    newest: dict[str, datetime] = {}
    for one in objects:
        folder = _nearest(one.path, counting)
        if folder:
            newest[folder] = max(newest.get(folder, one.modified), one.modified)
    return max(newest, key=lambda folder: (newest[folder], folder), default="")


def _objects(bucket: str, prefix: str) -> Iterator[_Object]:
    for found in pages("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix):
        path = found["Key"].removeprefix(prefix)
        # what consoles make to show an empty folder; and what is in no folder
        if path.endswith("/") or not all(path.split("/")) or "/" not in path:
            continue
        yield _Object(path, found["LastModified"])


def _nearest(path: str, folders: set[str]) -> str:
    folder = path
    while folder := folder.rpartition("/")[0]:
        if folder in folders:
            return folder
    return ""
