"""What a transform job runs on, and how it cuts, filters and joins records: values that check themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aws_cdk as cdk

from .errors import Findings, InvalidConfiguration, is_token
from .instances import TransformInstanceType
from .limits import adopt, check_choice, check_integer, check_seconds
from .transform_environment import check_transform_environment
from .transform_filters import check_filter

__all__ = [
    "BatchStrategy",
    "BatchTransform",
    "CompressionType",
    "JoinSource",
    "ModelClient",
    "RecordAssembly",
    "S3DataType",
    "SplitType",
]

MAX_INSTANCES = 100
"""Instances of one job (API shape TransformInstanceCount, and the service's quotas)."""

MAX_PAYLOAD_MB = 100
"""Megabytes of a request, times requests at a time (API member CreateTransformJobRequest.MaxPayloadInMB)."""

DEFAULT_PAYLOAD_MB = 6
"""What the API takes when it is not told (API member CreateTransformJobRequest.MaxPayloadInMB)."""

MAX_MEDIA_TYPE_LENGTH = 256
"""Characters of a media type (API shapes ContentType and Accept)."""

CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
_JOINABLE = (CSV, JSON, JSON_LINES)
_PROCESSING = "developer guide, associate prediction results with input records"


class SplitType(StrEnum):
    """How an object is cut into records (API shape SplitType)."""

    NONE = "None"
    LINE = "Line"
    RECORD_IO = "RecordIO"
    TF_RECORD = "TFRecord"


class RecordAssembly(StrEnum):
    """How the answers of an object become one object (API shape AssemblyType)."""

    NONE = "None"
    LINE = "Line"


class BatchStrategy(StrEnum):
    """How many records go into a request (API shape BatchStrategy)."""

    MULTI_RECORD = "MultiRecord"
    SINGLE_RECORD = "SingleRecord"


class CompressionType(StrEnum):
    """How objects are packed (API shape CompressionType)."""

    NONE = "None"
    GZIP = "Gzip"


class JoinSource(StrEnum):
    """What an answer is joined with (API shape JoinSource)."""

    NONE = "None"
    INPUT = "Input"


class S3DataType(StrEnum):
    """What the input's URI is (API shape S3DataType; ``AugmentedManifestFile`` is for training only)."""

    S3_PREFIX = "S3Prefix"
    MANIFEST_FILE = "ManifestFile"


@dataclass(frozen=True, kw_only=True)
class ModelClient:
    """How SageMaker calls the container (API shape ModelClientConfig).

    Args:
        timeout: How long a request may take, 1 to 3600 s. Default 600 s.
        max_retries: How often a failed request is repeated, 0 to 3. Default 3.

    Raises:
        InvalidConfiguration: Outside these limits.
    """

    timeout: cdk.Duration = field(default_factory=lambda: cdk.Duration.seconds(600))
    max_retries: int = 3

    def __post_init__(self) -> None:
        findings = Findings("ModelClient")
        source = "API shape ModelClientConfig"
        check_seconds(findings, "timeout", self.timeout, low=1, high=3600, source=source)
        check_integer(findings, "max_retries", self.max_retries, low=0, high=3, source=source)
        findings.raise_if_any()


@dataclass(frozen=True, kw_only=True)
class BatchTransform:
    """A transform job without its names (API shape CreateTransformJobRequest).

    The defaults are what the record-by-record workflow needs: JSON lines in and out, many to a request, each
    answer joined with its input.

    Args:
        instance_type: One that transform jobs know; there is no Graviton among them.
        instance_count: 1 to 100. Objects are dealt out to instances and never shared. Default 1.
        content_type: Media type of the input, at most 256 characters. Default ``application/jsonlines``.
        accept: Media type of the output, at most 256 characters. Default ``application/jsonlines``.
        data_type: What the input's URI is. Default a prefix.
        compression: How input objects are packed. Default not at all.
        split: How objects are cut into records. Default by lines.
        assembly: How answers are put together. Default line by line.
        strategy: Records of a request; needs a ``split``. Default as many as fit.
        max_payload_mb: Megabytes of a request, 0 to 100; 0 streams objects of any size, for containers that
            know chunked encoding. Default 6.
        max_concurrent: Requests that an instance works on at a time; with it, times ``max_payload_mb``, at
            most 100. Default: what the container says, else 1.
        client: Timeout and retries of requests. Default `ModelClient()`.
        environment: Variables for the container, at most 16.
        input_filter: Path of what the model gets to see of a record, at most 63 characters. Default all.
        output_filter: Path of what is written of the joined record, at most 63 characters. Default all.
        join: What an answer is joined with. Default its input.
        encrypt_volume: Encrypt the volume with the stack's key; not on instances with a disk of their own,
            which encrypt it by themselves. Default: where it is possible.

    Attributes:
        instance: The instance type.
        volume_is_encrypted: Whether the job asks for a volume encrypted with a key.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    instance_type: str
    instance_count: int = 1
    content_type: str = JSON_LINES
    accept: str = JSON_LINES
    data_type: S3DataType = S3DataType.S3_PREFIX
    compression: CompressionType = CompressionType.NONE
    split: SplitType = SplitType.LINE
    assembly: RecordAssembly = RecordAssembly.LINE
    strategy: BatchStrategy | None = BatchStrategy.MULTI_RECORD
    max_payload_mb: int = DEFAULT_PAYLOAD_MB
    max_concurrent: int | None = None
    client: ModelClient = field(default_factory=ModelClient)
    environment: Mapping[str, str] = field(default_factory=dict)
    input_filter: str | None = None
    output_filter: str | None = None
    join: JoinSource = JoinSource.INPUT
    encrypt_volume: bool | None = None
    instance: TransformInstanceType = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        findings = Findings("BatchTransform")
        try:
            object.__setattr__(self, "instance", TransformInstanceType(self.instance_type))
        except InvalidConfiguration as error:
            adopt(findings, error, "instance_type")
        else:
            self._check_volume(findings)
        self._check_choices(findings)
        self._check_numbers(findings)
        self._check_processing(findings)
        check_transform_environment(findings, self.environment)
        findings.raise_if_any()

    @property
    def volume_is_encrypted(self) -> bool:
        """Whether the job asks for a volume that is encrypted with a key."""
        if self.encrypt_volume is None:
            return self.instance.supports_volume_size is True
        return self.encrypt_volume

    @property
    def processes(self) -> bool:
        """Whether records are filtered or joined (API shape DataProcessing)."""
        filters = (self.input_filter, self.output_filter)
        return self.join != JoinSource.NONE or any(value is not None for value in filters)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        texts = list(self.instance.warnings)
        if self.assembly == RecordAssembly.LINE and self.split == SplitType.NONE:
            texts.append(
                "Answers are put together line by line, but objects are not cut into lines: the one answer "
                "of each object gets a line end. Cut by lines too, or put answers together as they are."
            )
        if self.max_payload_mb == 0:
            texts.append(
                "A payload of 0 MB streams whole objects in chunks: only containers of your own that know "
                "chunked encoding can read them."
            )
        if self.volume_is_encrypted and self.instance.supports_volume_size is None:
            texts.append(
                f"{self.instance} may have a disk of its own, and SageMaker refuses a key for such a volume. "
                "Leave encrypt_volume out if the job is refused."
            )
        return tuple(texts)

    def render(
        self, *, job_name: str, model_name: str, input_uri: str, output_uri: str, key_arn: str
    ) -> dict[str, Any]:
        """The request as the API takes it.

        Args:
            job_name: Unique in the account and Region, for ever.
            model_name: The model.
            input_uri: Where the objects are.
            output_uri: Where answers go.
            key_arn: Encrypts answers, and the volume where that is possible.
        """
        request: dict[str, Any] = {
            "TransformJobName": job_name,
            "ModelName": model_name,
            "MaxPayloadInMB": self.max_payload_mb,
            "ModelClientConfig": {
                "InvocationsTimeoutInSeconds": int(self.client.timeout.to_seconds()),
                "InvocationsMaxRetries": self.client.max_retries,
            },
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": str(self.data_type), "S3Uri": input_uri}},
                "ContentType": self.content_type,
                "CompressionType": str(self.compression),
                "SplitType": str(self.split),
            },
            "TransformOutput": {
                "S3OutputPath": output_uri,
                "Accept": self.accept,
                "AssembleWith": str(self.assembly),
                "KmsKeyId": key_arn,
            },
            "TransformResources": {
                "InstanceType": self.instance_type,
                "InstanceCount": self.instance_count,
                **({"VolumeKmsKeyId": key_arn} if self.volume_is_encrypted else {}),
            },
        }
        if self.strategy is not None:
            request["BatchStrategy"] = str(self.strategy)
        if self.max_concurrent is not None:
            request["MaxConcurrentTransforms"] = self.max_concurrent
        if self.environment:
            request["Environment"] = dict(self.environment)
        if self.processes:
            filters = {"InputFilter": self.input_filter, "OutputFilter": self.output_filter}
            request["DataProcessing"] = {
                "JoinSource": str(self.join),
                **{name: value for name, value in filters.items() if value is not None},
            }
        return request

    def _check_volume(self, findings: Findings) -> None:
        findings.require(
            not self.encrypt_volume or self.instance.supports_volume_size is not False,
            "encrypt_volume",
            True,
            f"{self.instance_type} has a disk of its own, and SageMaker takes no key for it (API member "
            "TransformResources.VolumeKmsKeyId); the disk is encrypted by its hardware",
            "leave it out, or choose an instance type without a disk of its own, such as ml.m5.xlarge",
        )

    def _check_choices(self, findings: Findings) -> None:
        for name, kind, shape in (
            ("split", SplitType, "SplitType"),
            ("assembly", RecordAssembly, "AssemblyType"),
            ("strategy", BatchStrategy, "BatchStrategy"),
            ("compression", CompressionType, "CompressionType"),
            ("join", JoinSource, "JoinSource"),
            ("data_type", S3DataType, "S3DataType, of which transform jobs know two"),
        ):
            check_choice(findings, name, getattr(self, name), kind, source=f"API shape {shape}")
        findings.require(
            self.strategy is None or self.split != SplitType.NONE,
            "strategy",
            None if self.strategy is None else str(self.strategy),
            "says how many records go into a request, and without a split there are no records "
            "(API member CreateTransformJobRequest.BatchStrategy)",
            "set split to Line, RecordIO or TFRecord, or set strategy to None",
        )

    def _check_numbers(self, findings: Findings) -> None:
        check_integer(
            findings,
            "instance_count",
            self.instance_count,
            low=1,
            high=MAX_INSTANCES,
            source="API shape TransformInstanceCount and the service's quotas",
        )
        payload = check_integer(
            findings,
            "max_payload_mb",
            self.max_payload_mb,
            low=0,
            high=MAX_PAYLOAD_MB,
            source="API member CreateTransformJobRequest.MaxPayloadInMB",
        )
        if self.max_concurrent is None:
            return
        concurrent = check_integer(
            findings,
            "max_concurrent",
            self.max_concurrent,
            low=0,
            source="API member CreateTransformJobRequest.MaxConcurrentTransforms",
        )
        if payload and concurrent and not is_token(self.max_concurrent) and not is_token(self.max_payload_mb):
            product = self.max_concurrent * self.max_payload_mb
            findings.require(
                product <= MAX_PAYLOAD_MB,
                "max_concurrent x max_payload_mb",
                f"{self.max_concurrent} x {self.max_payload_mb} MB = {product} MB",
                f"may be at most {MAX_PAYLOAD_MB} MB "
                "(API member CreateTransformJobRequest.MaxConcurrentTransforms)",
                f"with {self.max_payload_mb} MB, at most {MAX_PAYLOAD_MB // max(self.max_payload_mb, 1)} "
                "requests at a time",
            )

    def _check_processing(self, findings: Findings) -> None:
        for name in ("content_type", "accept"):
            value = getattr(self, name)
            findings.require(
                len(value) <= MAX_MEDIA_TYPE_LENGTH,
                name,
                value[:60],
                f"has at most {MAX_MEDIA_TYPE_LENGTH} characters (API shapes ContentType and Accept)",
                "leave parameters out",
            )
            findings.require(
                not self.processes or value in _JOINABLE,
                name,
                value,
                f"only {', '.join(_JOINABLE)} can be filtered and joined ({_PROCESSING})",
                "choose one of them, or set join to None and leave the filters out",
            )
        if not self.processes:
            return
        delimited = self.content_type == CSV
        check_filter(findings, "input_filter", self.input_filter, csv=delimited)
        check_filter(findings, "output_filter", self.output_filter, csv=delimited and self.accept == CSV)
        if self.join == JoinSource.INPUT:
            self._check_join(findings)
        findings.require(
            not (delimited and self.accept == CSV)
            or (self.split == SplitType.LINE and self.assembly == RecordAssembly.LINE),
            "split, assembly",
            f"{self.split}, {self.assembly}",
            f"for CSV in and out, both are Line ({_PROCESSING})",
            "set both to Line",
        )

    def _check_join(self, findings: Findings) -> None:
        findings.require(
            self.content_type == self.accept,
            "accept",
            self.accept,
            f"an answer joins its input only in the same form, and content_type is {self.content_type} "
            f"({_PROCESSING})",
            f"set accept to {self.content_type}, or join to None",
        )
        findings.require(
            str(self.split) == str(self.assembly),
            "assembly",
            str(self.assembly),
            f"answers join their inputs only when both are cut alike, and split is {self.split} "
            f"({_PROCESSING})",
            "set split and assembly to the same, or join to None",
        )
