"""The five functions of a batch workflow, each with a role that can do its own duty and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from constructs import Construct

from .batch_sink import Sink
from .batch_storage import BatchStorage, Folder
from .storage import EncryptionKey, Retention
from .transform_states import FunctionArns
from .zip_function import ZipFunction

NAMESPACE = "SageMakerServing/Batch"
"""Of the metrics that Reconcile publishes."""

_QUICK, _LONG = cdk.Duration.minutes(2), cdk.Duration.minutes(15)
_ONE_CORE_MB = 1769


class BatchFunctions(Construct):
    """Claim, Prepare, Land, Reconcile and Release (docs/decisions/0010).

    Args:
        workflow_name: The functions are named after it.
        execution_arn_pattern: Executions of the workflow, with a wildcard: Claim looks whether one that holds
            a claim is still running.
        code: The folder of their code.
        environment: Variables of all of them.
        storage: Buckets and claims.
        sink: Where rows land.
        key: Encrypts logs and environments.
        retention: How long logs are kept.

    Attributes:
        all: The functions, by the module of their handler.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow_name: str,
        execution_arn_pattern: str,
        code: Path,
        environment: Mapping[str, str],
        storage: BatchStorage,
        sink: Sink,
        key: EncryptionKey,
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        duties: Mapping[str, tuple[int, cdk.Duration, Sequence[iam.PolicyStatement]]] = {
            "claim": (1024, _LONG, self._claim(storage, execution_arn_pattern)),
            "prepare": (_ONE_CORE_MB, _LONG, self._prepare(storage)),
            "land": (_ONE_CORE_MB, _LONG, self._land(storage, sink)),
            "reconcile": (1024, _LONG, self._reconcile(storage, sink)),
            "release": (512, _QUICK, self._release(storage)),
        }
        wildcards = {
            **storage.wildcards,
            **sink.wildcards,
            execution_arn_pattern: "Executions are named when they start; they are of this one workflow.",
        }
        self.all: dict[str, ZipFunction] = {}
        for duty, (memory_mb, timeout, statements) in duties.items():
            self.all[duty] = ZipFunction(
                self,
                duty.capitalize(),
                function_name=f"{workflow_name}-{duty}",
                code=code,
                handler=f"{duty}.handler",
                environment=environment,
                statements=statements,
                wildcards=wildcards,
                memory_mb=memory_mb,
                timeout=timeout,
                key=key,
                retention=retention,
            )

    @property
    def arns(self) -> FunctionArns:
        """As the state machine takes them."""
        return FunctionArns(**{duty: made.function.function_arn for duty, made in self.all.items()})

    @property
    def longest_seconds(self) -> int:
        """The longest of their timeouts."""
        return max(int(made.timeout.to_seconds()) for made in self.all.values())

    def _claim(self, storage: BatchStorage, executions: str) -> Sequence[iam.PolicyStatement]:
        return [
            storage.listing("ListInput", Folder.INPUT),
            storage.reading("ReadInput", Folder.INPUT),
            storage.writing("WritePlan", Folder.WORK),
            storage.claiming("TakeObjects"),
            iam.PolicyStatement(
                sid="SeeWhoIsStillRunning", actions=["states:DescribeExecution"], resources=[executions]
            ),
        ]

    def _prepare(self, storage: BatchStorage) -> Sequence[iam.PolicyStatement]:
        return [
            storage.reading("ReadInput", Folder.INPUT),
            storage.listing("SeeWhatIsMissing", Folder.INPUT),
            storage.writing("WriteParts", Folder.WORK, Folder.QUARANTINE),
        ]

    def _land(self, storage: BatchStorage, sink: Sink) -> Sequence[iam.PolicyStatement]:
        return [
            storage.reading("ReadAnswers", Folder.OUTPUT, Folder.WORK),
            storage.listing("SeeWhatIsMissing", Folder.OUTPUT),
            storage.writing("WriteReports", Folder.WORK, Folder.QUARANTINE),
            *sink.write_statements(),
        ]

    def _reconcile(self, storage: BatchStorage, sink: Sink) -> Sequence[iam.PolicyStatement]:
        folders = (Folder.OUTPUT, Folder.QUARANTINE, Folder.WORK)
        return [
            storage.reading("ReadReports", *folders),
            storage.listing("SeeWhatIsMissing", Folder.OUTPUT),
            storage.writing("WriteReport", Folder.OUTPUT, Folder.QUARANTINE),
            storage.claiming("MarkObjects"),
            *sink.count_statements(),
            iam.PolicyStatement(
                sid="PublishMetrics",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
            ),
        ]

    def _release(self, storage: BatchStorage) -> Sequence[iam.PolicyStatement]:
        return [
            storage.reading("ReadPlan", Folder.WORK),
            storage.listing("SeeWhatIsMissing", Folder.WORK),
            storage.claiming("GiveBackObjects"),
        ]
