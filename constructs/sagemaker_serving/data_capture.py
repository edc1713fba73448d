"""A record of requests and answers in S3, to look at drift and quality later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker

from .errors import Findings, is_token
from .limits import check_choice, check_integer

MAX_DESTINATION_LENGTH = 512
"""Characters of the S3 URI (API shape DestinationS3Uri)."""

MAX_CONTENT_TYPES = 10
"""Entries in each list of content types (API shapes CsvContentTypes and JsonContentTypes)."""

_CONTENT_TYPE = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*/[a-zA-Z0-9](-*[a-zA-Z0-9.])*")


class CaptureMode(StrEnum):
    """What is recorded (API shape CaptureMode)."""

    INPUT = "Input"
    OUTPUT = "Output"


@dataclass(frozen=True, kw_only=True)
class DataCapture:
    """Records a sample of an endpoint's requests and answers as JSON lines (API shape DataCaptureConfig).

    The files are `{prefix}/{endpoint}/{variant}/yyyy/mm/dd/hh/*.jsonl`.

    Args:
        bucket: Where the files go.
        key: Encrypts the files; the bucket's own key when None.
        prefix: Folder in the bucket. Default ``capture``.
        sampling_percentage: Share of the requests to record, 0 to 100. Default 100.
        modes: Input, output or both. Default both.
        csv_content_types: Bodies of these types are recorded as text, up to 10. Default ``text/csv``.
        json_content_types: Bodies of these types are recorded as JSON text, up to 10. Default
            ``application/json`` and ``application/jsonlines``. A body of any other type is recorded in
            base64.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    bucket: s3.IBucket
    key: kms.IKey | None = None
    prefix: str = "capture"
    sampling_percentage: int = 100
    modes: Sequence[CaptureMode] = (CaptureMode.INPUT, CaptureMode.OUTPUT)
    csv_content_types: Sequence[str] = ("text/csv",)
    json_content_types: Sequence[str] = ("application/json", "application/jsonlines")

    def __post_init__(self) -> None:
        findings = Findings("DataCapture")
        check_integer(
            findings,
            "sampling_percentage",
            self.sampling_percentage,
            low=0,
            high=100,
            source="API shape SamplingPercentage",
        )
        self._check_modes(findings)
        for field, shape in (
            ("csv_content_types", "CsvContentTypes"),
            ("json_content_types", "JsonContentTypes"),
        ):
            _check_content_types(findings, field, getattr(self, field), shape)
        self._check_destination(findings)
        findings.raise_if_any()

    @property
    def uri(self) -> str:
        """Where the files go, for example ``s3://bucket/capture``."""
        return f"s3://{self.bucket.bucket_name}/{self.prefix}"

    @property
    def objects_arn(self) -> str:
        """ARN pattern of the files."""
        return self.bucket.arn_for_objects(f"{self.prefix}/*")

    @property
    def statements(self) -> list[iam.PolicyStatement]:
        """What the execution role needs to write the files."""
        key = self.key or self.bucket.encryption_key
        allowed = [
            iam.PolicyStatement(
                sid="WriteCapturedData",
                actions=["s3:PutObject"],
                resources=[self.objects_arn],
            )
        ]
        if key is not None:
            allowed.append(
                iam.PolicyStatement(
                    sid="EncryptCapturedData",
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=[key.key_arn],
                )
            )
        return allowed

    def render(self) -> sagemaker.CfnEndpointConfig.DataCaptureConfigProperty:
        """The block as an endpoint configuration holds it."""
        config = sagemaker.CfnEndpointConfig
        return config.DataCaptureConfigProperty(
            enable_capture=True,
            initial_sampling_percentage=self.sampling_percentage,
            destination_s3_uri=self.uri,
            kms_key_id=self.key.key_arn if self.key else None,
            capture_options=[
                config.CaptureOptionProperty(capture_mode=CaptureMode(mode).value) for mode in self.modes
            ],
            capture_content_type_header=config.CaptureContentTypeHeaderProperty(
                csv_content_types=list(self.csv_content_types) or None,
                json_content_types=list(self.json_content_types) or None,
            )
            if self.csv_content_types or self.json_content_types
            else None,
        )

    def _check_modes(self, findings: Findings) -> None:
        for index, mode in enumerate(self.modes):
            check_choice(findings, f"modes[{index}]", mode, CaptureMode, source="API shape CaptureMode")
        findings.require(
            len(set(self.modes)) == len(self.modes) >= 1,
            "modes",
            list(self.modes),
            "must hold Input, Output or both, each once (API shape CaptureOptionList)",
            "give for example [CaptureMode.INPUT, CaptureMode.OUTPUT]",
        )

    def _check_destination(self, findings: Findings) -> None:
        findings.require(
            lambda: bool(self.prefix) and not self.prefix.startswith("/") and not self.prefix.endswith("/"),
            "prefix",
            self.prefix,
            "must be a folder without a slash at either end",
            f"use {self.prefix.strip('/') or 'capture'!r}",
        )
        known = "" if is_token(self.bucket.bucket_name) else self.bucket.bucket_name
        length = len(f"s3://{known}/{self.prefix}")
        findings.require(
            length <= MAX_DESTINATION_LENGTH,
            "prefix",
            f"{length} characters with the bucket",
            f"the S3 URI may have at most {MAX_DESTINATION_LENGTH} characters (API shape DestinationS3Uri)",
            "shorten the prefix",
        )


def _check_content_types(findings: Findings, field: str, values: Sequence[str], shape: str) -> None:
    findings.require(
        len(values) <= MAX_CONTENT_TYPES,
        field,
        f"{len(values)} entries",
        f"may hold at most {MAX_CONTENT_TYPES} content types (API shape {shape})",
        f"keep {MAX_CONTENT_TYPES}",
    )
    for index, value in enumerate(values):
        findings.require(
            len(value) <= 256 and _CONTENT_TYPE.fullmatch(value) is not None,
            f"{field}[{index}]",
            value,
            f"must look like type/subtype, at most 256 characters, without parameters (API shape {shape})",
            "give for example 'text/csv'",
        )
