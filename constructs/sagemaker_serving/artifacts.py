"""Model artifacts: what a container finds in ``/opt/ml/model``."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aws_cdk as cdk

from constructs import Construct

from .errors import Findings, is_token
from .naming import free_id
from .packing import list_sources, pack

if TYPE_CHECKING:
    from aws_cdk import aws_s3 as s3

DEFAULT_PROGRAM = "inference.py"
CODE_DIRECTORY = "/opt/ml/model/code"
ARCHIVE_SUFFIX = ".tar.gz"
MAX_URI_LENGTH = 1024
"""Characters in an artifact's URI (API shape Url)."""

_S3_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)", re.DOTALL)
_PROGRAM = re.compile(r"[A-Za-z0-9_-]+\.py")


@dataclass(frozen=True, kw_only=True)
class BoundArtifact:
    """An artifact as a model uses it.

    Args:
        model_data_url: S3 URI of the archive (API member ContainerDefinition.ModelDataUrl).
        object_arn: The S3 object, for ``s3:GetObject``.
        key_arn: The customer-managed KMS key of the object, for ``kms:Decrypt``; None when there is none.
        asset_hash: Digest of the content, when it was packed here.
    """

    model_data_url: str
    object_arn: str
    key_arn: str | None = None
    asset_hash: str | None = None


class ModelArtifact(ABC):
    """A model's data and code; made by `from_directory`, `from_s3_uri` or `from_bucket`."""

    @staticmethod
    def from_directory(
        path: str | Path, *, shared: Sequence[str | Path] = (), program: str = DEFAULT_PROGRAM
    ) -> ModelArtifact:
        """Pack a source directory at synth; the CDK uploads it when it deploys.

        ``*.py`` and ``requirements.txt`` at the top go into ``code/``, a folder ``code/`` stays as it is, and
        everything else keeps its place. Left out: ``__pycache__``, ``*.pyc``, hidden files and folders, and
        folders named ``tests``. The same content gives the same archive and is packed once (`packing`).

        Args:
            path: The directory.
            shared: Folders with files that several models use; they are laid over the model's own by the same
                rules, so that code imports them flat. Default: none.
            program: The file with the handler functions. Default ``inference.py``.

        Raises:
            InvalidConfiguration: All that is wrong with the folders, at once: one is missing, the directory
                has no program, a file would come twice, or there are symbolic links or other special files.
        """
        return DirectoryArtifact(Path(path), program, tuple(Path(folder) for folder in shared))

    @staticmethod
    def from_s3_uri(
        uri: str, *, program: str | None = DEFAULT_PROGRAM, encryption_key_arn: str | None = None
    ) -> ModelArtifact:
        """Use an archive that is in S3 already.

        Args:
            uri: ``s3://bucket/key.tar.gz``, at most 1024 characters (API shape Url); may be a token.
            program: The file with the handler functions, in the archive's ``code/``; None when the archive
                holds no code. Default ``inference.py``.
            encryption_key_arn: The customer-managed KMS key of the object, if it has one.

        Raises:
            InvalidConfiguration: The URI or the program's name is not legal.
        """
        return S3UriArtifact(uri, program, encryption_key_arn)

    @staticmethod
    def from_bucket(bucket: s3.IBucket, key: str, *, program: str | None = DEFAULT_PROGRAM) -> ModelArtifact:
        """Use an archive in a bucket that the app knows.

        Args:
            bucket: The bucket; its encryption key, if it has one, is used too.
            key: Key of the archive, ending in ``.tar.gz``; may be a token.
            program: As in `from_s3_uri`.

        Raises:
            InvalidConfiguration: The key or the program's name is not legal.
        """
        return BucketArtifact(bucket, key, program)

    program: str | None

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that tell the container where its code is; none for an archive without code."""
        if self.program is None:
            return {}
        return {"SAGEMAKER_PROGRAM": self.program, "SAGEMAKER_SUBMIT_DIRECTORY": CODE_DIRECTORY}

    @property
    def needs_network(self) -> bool:
        """Whether AWS's images install packages for it when the container starts (``requirements.txt``)."""
        return False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        return ()

    @abstractmethod
    def bind(self, scope: Construct) -> BoundArtifact:
        """Make what the artifact needs in a construct tree.

        Args:
            scope: The model's construct.
        """


@dataclass(frozen=True)
class DirectoryArtifact(ModelArtifact):
    """See `ModelArtifact.from_directory`."""

    directory: Path
    program: str = DEFAULT_PROGRAM
    shared: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        findings = Findings("ModelArtifact.from_directory")
        _check_program(findings, self.program)
        findings.raise_if_any()
        list_sources(self.directory, self.program, self.shared)

    @property
    def needs_network(self) -> bool:
        """See `ModelArtifact.needs_network`."""
        return any((folder / "requirements.txt").is_file() for folder in (self.directory, *self.shared))

    def bind(self, scope: Construct) -> BoundArtifact:
        """See `ModelArtifact.bind`; packs the directory, unless it was packed before."""
        # Here, because only this kind of artifact needs the module and its import is not free.
        from aws_cdk import aws_s3_assets as assets

        archive = pack(self.directory, self.program, self.shared)
        # The content's digest and not the file's: two releases of zlib may compress differently.
        asset = assets.Asset(
            scope, free_id(scope, "Artifact"), path=str(archive.path), asset_hash=archive.content_digest
        )
        return BoundArtifact(
            model_data_url=asset.s3_object_url,
            object_arn=f"arn:{cdk.Aws.PARTITION}:s3:::{asset.s3_bucket_name}/{asset.s3_object_key}",
            asset_hash=archive.content_digest,
        )


@dataclass(frozen=True)
class S3UriArtifact(ModelArtifact):
    """See `ModelArtifact.from_s3_uri`."""

    uri: str
    program: str | None = DEFAULT_PROGRAM
    encryption_key_arn: str | None = None

    def __post_init__(self) -> None:
        findings = Findings("ModelArtifact.from_s3_uri")
        known = isinstance(self.uri, str)
        findings.require(
            lambda: known and _S3_URI.fullmatch(self.uri) is not None,
            "uri",
            self.uri,
            "must name one object in S3 (API member ContainerDefinition.ModelDataUrl)",
            "give s3://bucket/key.tar.gz",
        )
        if known:
            _check_suffix(findings, "uri", self.uri)
            findings.require(
                len(self.uri) <= MAX_URI_LENGTH,
                "uri",
                f"{len(self.uri)} characters",
                f"at most {MAX_URI_LENGTH} characters (API shape Url)",
                "copy the archive to a shorter key",
            )
        _check_program(findings, self.program)
        findings.raise_if_any()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        return _unknown_suffix(self.uri)

    def bind(self, scope: Construct) -> BoundArtifact:
        """See `ModelArtifact.bind`."""
        if is_token(self.uri):
            path = cdk.Fn.select(1, cdk.Fn.split("s3://", self.uri))
        else:
            path = self.uri.removeprefix("s3://")
        return BoundArtifact(
            model_data_url=self.uri,
            object_arn=f"arn:{cdk.Aws.PARTITION}:s3:::{path}",
            key_arn=self.encryption_key_arn,
        )


@dataclass(frozen=True)
class BucketArtifact(ModelArtifact):
    """See `ModelArtifact.from_bucket`."""

    bucket: s3.IBucket
    key: str
    program: str | None = DEFAULT_PROGRAM

    def __post_init__(self) -> None:
        findings = Findings("ModelArtifact.from_bucket")
        _check_suffix(findings, "key", self.key)
        findings.require(
            not self.key.startswith("/") and len(self.key.encode()) <= MAX_URI_LENGTH - len("s3:///") - 63,
            "key",
            self.key,
            f"must not start with a slash, and its URI has at most {MAX_URI_LENGTH} characters (API Url)",
            "give the object's key as S3 lists it",
        )
        _check_program(findings, self.program)
        findings.raise_if_any()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        return _unknown_suffix(self.key)

    def bind(self, scope: Construct) -> BoundArtifact:
        """See `ModelArtifact.bind`."""
        key = self.bucket.encryption_key
        return BoundArtifact(
            model_data_url=f"s3://{self.bucket.bucket_name}/{self.key}",
            object_arn=f"{self.bucket.bucket_arn}/{self.key}",
            key_arn=key.key_arn if key is not None else None,
        )


def _check_program(findings: Findings, program: object) -> None:
    findings.require(
        lambda: program is None or (isinstance(program, str) and _PROGRAM.fullmatch(program) is not None),
        "program",
        program,
        "must be the name of a Python file without a folder: the container imports it from code/",
        f"give for example {DEFAULT_PROGRAM!r}",
    )


def _check_suffix(findings: Findings, where: str, text: str) -> None:
    findings.require(
        text.endswith(ARCHIVE_SUFFIX),
        where,
        text,
        f"must end in {ARCHIVE_SUFFIX}: SageMaker unpacks a gzip-compressed tar archive "
        "(API member ContainerDefinition.ModelDataUrl)",
        "pack the model with tar and gzip, or use ModelArtifact.from_directory",
    )


def _unknown_suffix(text: str) -> tuple[str, ...]:
    if not is_token(text):
        return ()
    return (
        f"The model artifact is known only at deployment: make sure that it ends in {ARCHIVE_SUFFIX}, or the "
        "endpoint will fail to start.",
    )
