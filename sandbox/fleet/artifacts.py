"""Model artifacts: fetched from S3 once per version, checked, and given to each instance as its own copy."""

from __future__ import annotations

import os
import shutil
import threading
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import LocalAws
from sandbox.fleet.archives import DEFAULT_LIMITS, BadArchive, Limits, unpack
from sandbox.fleet.failures import FleetFailed
from sandbox.store import Params, Scope

_CHUNK = 1024 * 1024
# larger files are shared between instances by hard links instead of copied
_SHARED_FROM = 8 * 1024 * 1024


@dataclass(frozen=True)
class ModelSource:
    """Where the files of a container's model directory come from.

    Args:
        uri: s3:// URI of an object, or of a key prefix that ends with a slash.
        prefix: All objects below the prefix are taken.
        archive: The object is a tar.gz to unpack.
    """

    uri: str
    prefix: bool = False
    archive: bool = True

    @classmethod
    def of(cls, container: Params) -> ModelSource | None:
        """The source that a ContainerDefinition names by ModelDataUrl or ModelDataSource, or None.

        Raises:
            FleetFailed: The definition asks for what the sandbox does not have.
        """
        if container.get("AdditionalModelDataSources"):
            raise FleetFailed(
                "The sandbox does not support AdditionalModelDataSources. Use ModelDataSource alone."
            )
        if "ModelDataUrl" in container:
            return cls(container["ModelDataUrl"])
        data = container.get("ModelDataSource", {}).get("S3DataSource")
        if data is None:
            return None
        return cls(data["S3Uri"], data["S3DataType"] == "S3Prefix", data["CompressionType"] == "Gzip")


class ArtifactStore:
    """Fetches model artifacts and remembers them by bucket, key and entity tag. Safe to call from any thread.

    Args:
        aws: Where S3 is.
        root: Folder for the store, on the file system of the instances' folders.
        limits: What an archive may hold.
    """

    def __init__(self, aws: LocalAws, root: Path, limits: Limits = DEFAULT_LIMITS) -> None:
        self._aws = aws
        self._root = root
        self._limits = limits
        self._locks: defaultdict[tuple[Scope, ModelSource], threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def copy_to(self, target: Path, source: ModelSource, scope: Scope, container: str) -> None:
        """Fill a new folder with the model's files, fetching them when this version is not here yet.

        Args:
            target: The folder; it must not exist.
            source: Where the files come from.
            scope: Account and Region that read them.
            container: Name of the container, for messages.

        Raises:
            FleetFailed: The files cannot be read or unpacked.
        """
        shutil.copytree(self._fetch(source, scope, container), target, copy_function=_copy)

    def _fetch(self, source: ModelSource, scope: Scope, container: str) -> Path:
        with self._guard:
            lock = self._locks[scope, source]
        with lock:  # instances that start together fetch once
            try:
                return self._fetch_once(source, scope, container)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in (
                    "404",
                    "NoSuchKey",
                    "NoSuchBucket",
                    "NotFound",
                ):
                    raise _not_found(source.uri) from error
                raise _failed(container, source.uri, str(error)) from error
            except (BotoCoreError, OSError) as error:
                raise _failed(container, source.uri, str(error)) from error

    def _fetch_once(self, source: ModelSource, scope: Scope, container: str) -> Path:
        bucket, key = _location(source.uri, container)
        s3 = self._aws.client("s3", scope)
        if source.prefix:
            objects = _list(s3, bucket, key)
            if not objects:
                raise _not_found(source.uri)
            names = _relative_names([name for name, _ in objects], key, source.uri)
        else:
            objects = [(key, s3.head_object(Bucket=bucket, Key=key)["ETag"])]
            names = ["model.tar.gz" if source.archive else key.rsplit("/", 1)[-1]]
        version = sha256(repr((scope, bucket, source, objects)).encode()).hexdigest()[:32]
        folder = self._root / version
        if not folder.is_dir():
            self._root.mkdir(parents=True, exist_ok=True)
            working = Path(mkdtemp(dir=self._root, prefix="fetching-"))
            try:
                for (object_key, _), name in zip(objects, names, strict=True):
                    _download(s3, bucket, object_key, working / "files" / name)
                files = self._unpacked(working, source, container) if source.archive else working / "files"
                files.rename(folder)  # whole or not at all
            finally:
                shutil.rmtree(working, ignore_errors=True)
        return folder

    def _unpacked(self, working: Path, source: ModelSource, container: str) -> Path:
        target = working / "unpacked"
        target.mkdir()
        try:
            unpack(working / "files" / "model.tar.gz", target, self._limits)
        except BadArchive as error:
            raise FleetFailed(
                f'Failed to extract model data archive for container "{container}" from URL "{source.uri}": '
                f"{error}. Please ensure that the object located at the URL is a valid tar.gz archive."
            ) from error
        return target


def _location(uri: str, container: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        raise _failed(container, uri, "the sandbox reads s3:// URIs only")
    return parts.netloc, uri.split("/", 3)[3] if uri.count("/") > 2 else ""


def _list(s3: Any, bucket: str, prefix: str) -> list[tuple[str, str]]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [(entry["Key"], entry["ETag"]) for page in pages for entry in page.get("Contents", [])]


def _relative_names(keys: list[str], prefix: str, uri: str) -> list[str]:
    """File names below the model directory, by the rules of the API's S3ModelDataSource."""
    names = [key.removeprefix(prefix) for key in keys]
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts):
            raise FleetFailed(
                f"The model data at {uri} has an object {name!r} whose name is not allowed: parts between "
                "slashes must not be empty, '.', '..', hold null bytes or exceed 255 bytes. "
                "Remove the object or rename it."
            )
    files = set(names)
    for name in names:
        clash = next((name[:at] for at, char in enumerate(name) if char == "/" and name[:at] in files), None)
        if clash:
            raise FleetFailed(f"The model data at {uri} has both a file {clash!r} and a folder of that name.")
    return names


def _download(s3: Any, bucket: str, key: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    body = s3.get_object(Bucket=bucket, Key=key)["Body"]
    with target.open("wb") as file:
        for chunk in body.iter_chunks(_CHUNK):
            file.write(chunk)


def _copy(source: str, target: str) -> None:
    if os.stat(source).st_size >= _SHARED_FROM:  # noqa: PTH116  (copytree gives strings)
        try:
            os.link(source, target)
            return
        except OSError:  # a file system without hard links
            pass
    shutil.copy(source, target)


def _not_found(uri: str) -> FleetFailed:
    return FleetFailed(
        f"Could not find model data at {uri}. Please ensure that the object exists and that the role passed "
        "to CreateModel may read it."
    )


def _failed(container: str, uri: str, why: str) -> FleetFailed:
    return FleetFailed(f'Failed to download model data for container "{container}" from URL: "{uri}": {why}.')
