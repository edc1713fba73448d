"""Objects of S3 that become files of a job, and files that become objects. All blocking."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import LocalAws
from sandbox.fleet.archives import BadArchive, unpack
from sandbox.jobs.failures import CLIENT_ERROR, JobFailed
from sandbox.store import Params, Scope


class JobData:
    """S3 as one job reads and writes it.

    Args:
        aws: Where S3 is.
        scope: Account and Region of the job.
        role: RoleArn of the job, for messages.
    """

    def __init__(self, aws: LocalAws, scope: Scope, role: str) -> None:
        self._aws = aws
        self._scope = scope
        self._role = role

    def fetch(self, source: Params, target: Path, compression: str = "None") -> None:
        """Bring the objects of an S3DataSource or ProcessingS3Input into a folder.

        Args:
            source: S3DataType (``S3Prefix`` or ``ManifestFile``) and S3Uri.
            target: The folder.
            compression: ``Gzip`` to unpack objects that end in .gz.

        Raises:
            JobFailed: Nothing is there, or it cannot be read.
        """
        target.mkdir(parents=True, exist_ok=True)
        uri = source["S3Uri"]
        try:
            found = [*self._objects(source)]
            if not found:
                raise _nothing(uri, self._scope, self._role)
            for bucket, key, name in found:
                file = _below(target, name, uri)
                file.parent.mkdir(parents=True, exist_ok=True)
                self._client().download_file(bucket, key, str(file))
                if compression == "Gzip" and file.suffix == ".gz":
                    _gunzip(file)
        except ClientError as error:
            if error.response["Error"].get("Code") in ("404", "NoSuchBucket", "NoSuchKey"):
                raise _nothing(uri, self._scope, self._role) from error
            raise JobFailed(CLIENT_ERROR, f"Data download failed: {uri}: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise JobFailed(CLIENT_ERROR, f"Data download failed: {uri}: {error}") from error

    def fetch_code(self, uri: str, target: Path, scratch: Path) -> None:
        """Unpack the tar.gz of a script-mode job.

        Args:
            uri: s3:// URI of the archive.
            target: An empty folder.
            scratch: A folder for the archive itself.

        Raises:
            JobFailed: It cannot be had or is no tar.gz.
        """
        folder = scratch / "code-archive"
        self.fetch({"S3DataType": "S3Prefix", "S3Uri": uri}, folder)
        archives = [file for file in folder.rglob("*") if file.is_file()]
        target.mkdir(parents=True, exist_ok=True)
        try:
            if len(archives) != 1:
                raise BadArchive(f"there are {len(archives)} objects instead of one")
            unpack(archives[0], target)
        except BadArchive as error:
            raise JobFailed(
                CLIENT_ERROR, f"SAGEMAKER_SUBMIT_DIRECTORY {uri} is not a valid tar.gz archive: {error}."
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def store(self, folder: Path, uri: str, kms_key: str | None = None) -> int:
        """Put all files below a folder below a prefix.

        Returns:
            How many.

        Raises:
            JobFailed: S3 does not take one.
        """
        files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
        for file in files:
            self._put(file, f"{uri.rstrip('/')}/{file.relative_to(folder).as_posix()}", kms_key)
        return len(files)

    def store_archive(self, folder: Path, uri: str, scratch: Path, kms_key: str | None = None) -> None:
        """Put a folder's content into one tar.gz.

        Raises:
            JobFailed: S3 does not take it.
        """
        archive = scratch / "upload.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
            for item in sorted(folder.iterdir()):
                tar.add(item, arcname=item.name)
        try:
            self._put(archive, uri, kms_key)
        finally:
            archive.unlink(missing_ok=True)

    def _put(self, file: Path, uri: str, kms_key: str | None) -> None:
        bucket, key = split(uri)
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        try:
            self._client().upload_file(str(file), bucket, key, ExtraArgs=extra)
        except Exception as error:  # boto3 wraps what happens in an upload in errors of its own
            raise JobFailed(CLIENT_ERROR, f"Data upload to {uri} failed: {error}") from error

    def _objects(self, source: Params) -> Iterator[tuple[str, str, str]]:
        """Bucket, key and local name of each object of a source."""
        bucket, prefix = split(source["S3Uri"])
        if source.get("S3DataType", "S3Prefix") == "ManifestFile":
            yield from self._manifest(bucket, prefix, source["S3Uri"])
            return
        for page in self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    yield bucket, item["Key"], _name(item["Key"], prefix)

    def _manifest(self, bucket: str, key: str, uri: str) -> Iterator[tuple[str, str, str]]:
        body = self._client().get_object(Bucket=bucket, Key=key)["Body"].read()
        try:
            content = json.loads(body)
            common, names = content[0]["prefix"], [str(name) for name in content[1:]]
        except (ValueError, LookupError, TypeError) as error:
            raise JobFailed(
                CLIENT_ERROR, f'The manifest {uri} must be [{{"prefix": "s3://..."}}, "name", ...].'
            ) from error
        for name in names:
            yield (*split(f"{common}{name}"), name)

    def _client(self) -> Any:
        return self._aws.client("s3", self._scope)


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI.

    Raises:
        JobFailed: It is none.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise JobFailed(CLIENT_ERROR, f"{uri!r} is not the location of objects in S3 (s3://bucket/key).")
    return bucket, key


def _name(key: str, prefix: str) -> str:
    """Name of a file below its channel: what follows the prefix, or its last folder."""
    if key != prefix and (prefix.endswith("/") or key.startswith(f"{prefix}/") or not prefix):
        return key[len(prefix) :].lstrip("/")
    return key[len(prefix.rpartition("/")[0]) :].lstrip("/")


def _below(folder: Path, name: str, uri: str) -> Path:
    if not name or any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
        raise JobFailed(CLIENT_ERROR, f"{uri} has an object {name!r} whose name cannot be that of a file.")
    return folder / name


def _gunzip(file: Path) -> None:
    with gzip.open(file) as packed, file.with_suffix("").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    file.unlink()


def _nothing(uri: str, scope: Scope, role: str) -> JobFailed:
    return JobFailed(
        CLIENT_ERROR,
        f"Data download failed: no S3 objects found under S3 URL {uri!r} given in input data source. The "
        f"bucket must be in Region {scope.region}, objects must be below the prefix, and the role {role} "
        "must be allowed s3:ListBucket.",
    )
