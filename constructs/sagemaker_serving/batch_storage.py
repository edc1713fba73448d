"""The buckets of a batch workflow, who took which object, and statements about both."""

from __future__ import annotations

from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from constructs import Construct

from .storage import DataBucket, EncryptionKey, Retention
from .tables import KeyedTable

WORK_DAYS = 7
"""Days that an execution's intermediate files are kept: long enough to look into one that failed."""


class Folder(StrEnum):
    """Folders; ``INPUT`` is in the input bucket, all others in the results bucket."""

    INPUT = "input"
    WORK = "work"
    OUTPUT = "output"
    QUARANTINE = "quarantine"


class BatchStorage(Construct):
    """An input bucket, a results bucket, and a table of claims.

    The results bucket has what a job answered (``output/``), rows that were set aside (``quarantine/``), and
    intermediate files (``work/``), which go after `WORK_DAYS` days. Uploads that were begun and not finished
    are removed: a transform job that dies leaves such.

    Args:
        key: Encrypts all of it.
        retention: How long objects stay, and whether the buckets and the table outlive the stack.

    Attributes:
        input: The input bucket.
        results: The results bucket.
        claims: Which execution took which object; key ``claim``.
        wildcards: Resources that the statements name with a wildcard, and why.
    """

    def __init__(self, scope: Construct, id_: str, *, key: EncryptionKey, retention: Retention) -> None:
        super().__init__(scope, id_)
        self.input = DataBucket(self, "Input", key=key, retention=retention)
        self.results = DataBucket(self, "Results", key=key, retention=retention)
        days = min(WORK_DAYS, retention.data_days)
        self.results.add_lifecycle_rule(
            id="expire-work",
            prefix=f"{Folder.WORK}/",
            expiration=cdk.Duration.days(days),
            noncurrent_version_expiration=cdk.Duration.days(1) if retention.keep_data else None,
        )
        self.claims = KeyedTable(self, "Claims", key_name="claim", key=key, retention=retention)
        self.wildcards = {
            self._objects(folder): "Names of objects are the caller's or the job's; the folder is for this "
            "workflow alone."
            for folder in Folder
        }

    def uri(self, folder: Folder) -> str:
        """Where a folder is, for example ``s3://bucket/input/``.

        Args:
            folder: Which one.
        """
        return f"s3://{self._bucket(folder).bucket_name}/{folder}/"

    def reading(self, sid: str, *folders: Folder) -> iam.PolicyStatement:
        """Objects may be read.

        Args:
            sid: Name of the statement.
            folders: Of these folders.
        """
        return iam.PolicyStatement(
            sid=sid, actions=["s3:GetObject"], resources=[self._objects(folder) for folder in folders]
        )

    def writing(self, sid: str, *folders: Folder) -> iam.PolicyStatement:
        """Objects may be written, in parts too.

        Args:
            sid: Name of the statement.
            folders: Into these folders.
        """
        return iam.PolicyStatement(
            sid=sid,
            actions=["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            resources=[self._objects(folder) for folder in folders],
        )

    def listing(self, sid: str, folder: Folder) -> iam.PolicyStatement:
        """Objects of a folder's bucket may be listed; without it one that is missing looks like one that is
        forbidden.

        Not of the folder alone: a request for one object has no prefix that a condition could look at.

        Args:
            sid: Name of the statement.
            folder: Which folder.
        """
        return iam.PolicyStatement(
            sid=sid, actions=["s3:ListBucket"], resources=[self._bucket(folder).bucket_arn]
        )

    def claiming(self, sid: str) -> iam.PolicyStatement:
        """Claims may be looked up, made and changed.

        Args:
            sid: Name of the statement.
        """
        return iam.PolicyStatement(
            sid=sid,
            actions=["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
            resources=[self.claims.table_arn],
        )

    def _bucket(self, folder: Folder) -> s3.Bucket:
        return self.input if folder == Folder.INPUT else self.results

    def _objects(self, folder: Folder) -> str:
        return self._bucket(folder).arn_for_objects(f"{folder}/*")
