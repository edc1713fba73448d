"""A transform job as a workflow: rows are checked, scored, landed in a sink and counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions

from constructs import Construct

from .acknowledgements import acknowledge_used_wildcards
from .batch_functions import NAMESPACE, BatchFunctions
from .batch_sink import Sink
from .batch_storage import BatchStorage, Folder
from .errors import Findings
from .instances import Architecture
from .limits import check_integer, check_seconds
from .model import ContainerInvocation, ServingModel, acknowledge_inline
from .naming import NameKind, check_name, free_id
from .storage import EncryptionKey, Retention, ServiceLogGroup
from .transform import JSON_LINES, BatchTransform, JoinSource, RecordAssembly, S3DataType, SplitType
from .transform_states import (
    EVENTS_BESIDE_POLLS,
    EVENTS_PER_POLL,
    MAX_HISTORY_EVENTS,
    Flow,
    definition,
)

MAX_CONCURRENCY = 10_000
"""Children of a Distributed Map at a time (Step Functions quotas)."""

MAX_RANGE_MB = 100
"""A range becomes one object of the transform job, and one worker of 15 minutes lands it."""


@dataclass(frozen=True, kw_only=True)
class WorkflowSettings:
    """How the workflow cuts its input, how many workers it has, and how long it waits.

    Args:
        id_column: Column that identifies a row.
        text_column: Column that the model reads.
        max_text_characters: Longest text that the model takes, 1 or more; a longer one is set aside. Default
            10,000.
        range_mb: Megabytes of input that one worker prepares and another one lands, 1 to 100. A range becomes
            one object of the transform job, so there should be more of them than instances. Default 16.
        prepare_concurrency: Ranges that are prepared at a time, 1 to 10,000. Default 20.
        land_concurrency: Parts that are landed at a time, 1 to 10,000; it is what limits the writes a second.
            Default 20.
        poll_interval: Pause between two looks at the transform job, at least 1 s. Default 30 s.
        timeout: Longest execution. With ``poll_interval`` it must fit the history of 25,000 events. Default
            12 hours.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    id_column: str = "id"
    text_column: str = "text"
    max_text_characters: int = 10_000
    range_mb: int = 16
    prepare_concurrency: int = 20
    land_concurrency: int = 20
    poll_interval: cdk.Duration = field(default_factory=lambda: cdk.Duration.seconds(30))
    timeout: cdk.Duration = field(default_factory=lambda: cdk.Duration.hours(12))

    def __post_init__(self) -> None:
        findings = Findings("WorkflowSettings")
        findings.require(
            bool(self.id_column) and self.id_column != self.text_column,
            "id_column",
            self.id_column,
            "names the column that identifies a row, and is another one than text_column",
            "name both columns",
        )
        findings.require(
            bool(self.text_column), "text_column", self.text_column, "names what the model reads", "name it"
        )
        check_integer(
            findings,
            "range_mb",
            self.range_mb,
            low=1,
            high=MAX_RANGE_MB,
            source="one worker of 15 minutes must be able to land it",
        )
        check_integer(
            findings, "max_text_characters", self.max_text_characters, low=1, source="what the model takes"
        )
        for name in ("prepare_concurrency", "land_concurrency"):
            check_integer(
                findings,
                name,
                getattr(self, name),
                low=1,
                high=MAX_CONCURRENCY,
                source="Step Functions quotas, Distributed Map",
            )
        self._check_times(findings)
        findings.raise_if_any()

    def _check_times(self, findings: Findings) -> None:
        poll = check_seconds(findings, "poll_interval", self.poll_interval, low=1, source="a Wait state")
        limit = check_seconds(
            findings, "timeout", self.timeout, low=60, high=365 * 24 * 3600, source="Step Functions quotas"
        )
        if poll is None or limit is None:
            return
        events = limit // poll * EVENTS_PER_POLL + EVENTS_BESIDE_POLLS
        shortest = -(-limit * EVENTS_PER_POLL // (MAX_HISTORY_EVENTS - EVENTS_BESIDE_POLLS))
        findings.require(
            events <= MAX_HISTORY_EVENTS,
            "poll_interval",
            f"{poll} s",
            f"looking at a job for {limit} s (timeout) would write {events:,} events, and an execution ends "
            f"at {MAX_HISTORY_EVENTS:,} (Step Functions quotas)",
            f"look every {shortest} s, or shorten timeout",
        )


class TransformWorkflow(Construct):
    """A state machine that scores files in S3 with a SageMaker model and lands each row in a sink, once.

    Its parts and what they say to each other: docs/decisions/0010. Started with ``{"input": "s3://…"}``, by
    hand or by a trigger (`batch_triggers`).

    Args:
        workflow_name: 1 to 40 letters, digits and hyphens; stable. State machine, functions and metrics go by
            it.
        model: What scores; a single container or a series. Its role gets what the job needs.
        transform: The job. JSON lines in and out, cut and put together by lines, joined with its input.
        sink: Where rows land.
        code: The folder of the functions' code.
        settings: Default `WorkflowSettings()`.
        key: Encrypts buckets, claims, logs, answers and messages.
        retention: How long data and logs are kept, and whether they outlive the stack.
        failure_emails: Addresses that are asked to subscribe to failures.

    Attributes:
        storage: Buckets and claims.
        functions: The five functions.
        failure_topic: Is told why an execution failed.
        role: The state machine's.
        state_machine: The underlying resource.
        state_machine_arn: Its ARN.

    Raises:
        InvalidConfiguration: All that is wrong, at once.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow_name: str,
        model: ServingModel,
        transform: BatchTransform,
        sink: Sink,
        code: str | Path,
        settings: WorkflowSettings | None = None,
        key: EncryptionKey,
        retention: Retention,
        failure_emails: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id_)
        self.workflow_name = workflow_name
        self.settings = settings or WorkflowSettings()
        self.transform = transform
        self._key = key
        self._sink = sink
        self._check(model)
        for number, text in enumerate(transform.warnings):
            cdk.Annotations.of(self).add_warning_v2(f"sagemaker-serving:transform-{number}", text)

        self.state_machine_arn = self._arn("stateMachine", workflow_name)
        self.storage = BatchStorage(self, "Storage", key=key, retention=retention)
        self.failure_topic = sns.Topic(self, "FailureTopic", master_key=key, enforce_ssl=True)
        for index, email in enumerate(failure_emails):
            sns.Subscription(
                self,
                f"Email{index}",
                topic=self.failure_topic,
                protocol=sns.SubscriptionProtocol.EMAIL,
                endpoint=email,
            )
        self.functions = BatchFunctions(
            self,
            "Functions",
            workflow_name=workflow_name,
            execution_arn_pattern=self._arn("execution", f"{workflow_name}:*"),
            code=Path(code),
            environment=self._environment(model, sink),
            storage=self.storage,
            sink=sink,
            key=key,
            retention=retention,
        )
        logs = ServiceLogGroup(
            self, "Logs", name=f"/aws/vendedlogs/states/{workflow_name}", key=key, retention=retention
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
            description=f"State machine {workflow_name}",
        )
        policy = self._policy()
        job_policy = self._let_model_work(model)
        self.state_machine = stepfunctions.CfnStateMachine(
            self,
            "StateMachine",
            state_machine_name=workflow_name,
            role_arn=self.role.role_arn,
            # not by Stack.to_json_string, which leaves null out: it means something here
            definition_string=json.dumps(definition(self._flow(model))),
            logging_configuration=stepfunctions.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                include_execution_data=True,
                destinations=[
                    stepfunctions.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=stepfunctions.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=f"{logs.arn}:*"
                        )
                    )
                ],
            ),
            tracing_configuration=stepfunctions.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        )
        self.state_machine.node.add_dependency(policy, job_policy, logs)
        self.state_machine.apply_removal_policy(cdk.RemovalPolicy.DESTROY)

    def start_statement(self) -> iam.PolicyStatement:
        """The workflow may be started."""
        return iam.PolicyStatement(
            sid="StartWorkflow", actions=["states:StartExecution"], resources=[self.state_machine_arn]
        )

    def grant_run(self, role: iam.Role) -> iam.Policy:
        """Let somebody put files, start the workflow and follow it, read what it wrote, and look up rows.

        Args:
            role: Who.
        """
        executions = self._arn("execution", f"{self.workflow_name}:*")
        policy = iam.Policy(
            self,
            free_id(self, "RunPolicy"),
            roles=[role],
            statements=[
                self.storage.writing("PutFiles", Folder.INPUT),
                self.start_statement(),
                iam.PolicyStatement(
                    sid="FollowExecutions",
                    actions=["states:DescribeExecution", "states:GetExecutionHistory"],
                    resources=[executions],
                ),
                self.storage.reading("ReadResults", Folder.OUTPUT, Folder.QUARANTINE),
                self.storage.listing("SeeWhatIsThere", Folder.OUTPUT),
                iam.PolicyStatement(
                    sid="UseKey",
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=[self._key.key_arn],
                ),
                *self._sink.read_statements(),
            ],
        )
        acknowledge_inline(policy)
        acknowledge_used_wildcards(
            policy,
            {
                **self.storage.wildcards,
                **self._sink.wildcards,
                executions: "Executions are named when they start; they are of this one workflow.",
            },
        )
        return policy

    def _check(self, model: ServingModel) -> None:
        findings = Findings(self.node.path)
        check_name(findings, "workflow_name", self.workflow_name, NameKind.MODEL)
        findings.require(
            lambda: len(self.workflow_name) <= 40,
            "workflow_name",
            self.workflow_name,
            "has at most 40 characters: functions are named after it, and their names have 64",
            "shorten it",
        )
        findings.require(
            model.invocation != ContainerInvocation.DIRECT,
            "model",
            "directly invoked containers",
            "a transform job cannot say which of a model's containers it calls",
            "use a single container, or ContainerInvocation.SERIAL",
        )
        findings.require(
            model.architecture == Architecture.X86_64,
            "model",
            str(model.architecture),
            "transform jobs run on x86-64 only (API enumeration TransformInstanceType)",
            "build the model's images for x86-64",
        )
        self._check_transform(findings)
        findings.raise_if_any()

    def _check_transform(self, findings: Findings) -> None:
        wanted = (
            ("content_type", JSON_LINES),
            ("accept", JSON_LINES),
            ("split", SplitType.LINE),
            ("assembly", RecordAssembly.LINE),
            ("join", JoinSource.INPUT),
            ("data_type", S3DataType.S3_PREFIX),
        )
        for name, value in wanted:
            given = getattr(self.transform, name)
            findings.require(
                str(given) == str(value),
                f"transform.{name}",
                str(given),
                f"the workflow hands rows to the job, and finds them again, as {value}",
                "leave it out",
            )
        findings.require(
            self.transform.max_payload_mb >= 1,
            "transform.max_payload_mb",
            self.transform.max_payload_mb,
            "rows are checked against it before the model sees them",
            "give 1 to 100",
        )

    def _environment(self, model: ServingModel, sink: Sink) -> dict[str, str]:
        mb = 1024 * 1024
        return {
            "WORKFLOW_NAME": self.workflow_name,
            "METRIC_NAMESPACE": NAMESPACE,
            "CLAIMS_TABLE_NAME": self.storage.claims.table_name,
            "WORK_BUCKET": self.storage.results.bucket_name,
            "OUTPUT_BUCKET": self.storage.results.bucket_name,
            "MODEL_NAME": model.model_name,
            "ID_COLUMN": self.settings.id_column,
            "TEXT_COLUMN": self.settings.text_column,
            "RANGE_BYTES": str(self.settings.range_mb * mb),
            "MAX_TEXT_CHARACTERS": str(self.settings.max_text_characters),
            "MAX_PAYLOAD_BYTES": str(self.transform.max_payload_mb * mb),
            **sink.environment,
        }

    def _flow(self, model: ServingModel) -> Flow:
        settings = self.settings
        return Flow(
            workflow_name=self.workflow_name,
            functions=self.functions.arns,
            function_seconds=self.functions.longest_seconds,
            transform=self.transform,
            model_name=model.model_name,
            bucket_name=self.storage.results.bucket_name,
            key_arn=self._key.key_arn,
            failure_topic_arn=self.failure_topic.topic_arn,
            poll_seconds=int(settings.poll_interval.to_seconds()),
            timeout_seconds=int(settings.timeout.to_seconds()),
            prepare_concurrency=settings.prepare_concurrency,
            land_concurrency=settings.land_concurrency,
        )

    def _arn(self, kind: str, name: str, service: str = "states") -> str:
        separator = "/" if service == "sagemaker" else ":"
        where = f"{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}"
        return f"arn:{cdk.Aws.PARTITION}:{service}:{where}:{kind}{separator}{name}"

    def _policy(self) -> iam.Policy:
        jobs = self._arn("transform-job", f"{self.workflow_name}-*", "sagemaker")
        # those of a Map Run are named after its label, as in name/Land:id
        children = [self._arn("execution", f"{self.workflow_name}{mark}*") for mark in (":", "/")]
        storage = self.storage
        policy = iam.Policy(
            self,
            "Policy",
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    sid="CallFunctions",
                    actions=["lambda:InvokeFunction"],
                    resources=[made.function.function_arn for made in self.functions.all.values()],
                ),
                iam.PolicyStatement(
                    sid="RunTransformJobs",
                    actions=[f"sagemaker:{name}TransformJob" for name in ("Create", "Describe", "Stop")],
                    resources=[jobs],
                ),
                storage.reading("ReadPlan", Folder.WORK),
                storage.writing("WriteMapResults", Folder.WORK),
                storage.listing("SeeWhatIsPrepared", Folder.WORK),
                self.start_statement(),  # a Distributed Map starts executions of its own workflow
                iam.PolicyStatement(
                    sid="FollowChildren",
                    actions=["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"],
                    resources=children,
                ),
                iam.PolicyStatement(
                    sid="TellOfFailures", actions=["sns:Publish"], resources=[self.failure_topic.topic_arn]
                ),
                iam.PolicyStatement(
                    sid="UseKey",
                    actions=["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
                    resources=[self._key.key_arn],
                ),
                iam.PolicyStatement(
                    sid="EncryptVolumes",
                    actions=["kms:CreateGrant"],
                    resources=[self._key.key_arn],
                    conditions={"Bool": {"kms:GrantIsForAWSResource": True}},
                ),
                iam.PolicyStatement(sid="DeliverLogsAndTraces", actions=_DELIVERY, resources=["*"]),
            ],
        )
        acknowledge_inline(policy)
        acknowledge_used_wildcards(
            policy,
            {
                **storage.wildcards,
                jobs: "Each execution names its own job; the prefix is this workflow's.",
                **dict.fromkeys(
                    children, "A Distributed Map names its children; they are of this one workflow."
                ),
                "*": "Log delivery and X-Ray know no resource to narrow them to "
                "(Step Functions Developer Guide, logging and X-Ray).",
            },
        )
        return policy

    def _let_model_work(self, model: ServingModel) -> iam.Policy:
        """A transform job works with the role of its model."""
        policy = iam.Policy(
            self,
            "JobPolicy",
            roles=[model.role],
            statements=[
                self.storage.reading("ReadParts", Folder.WORK),
                self.storage.listing("ListParts", Folder.WORK),
                self.storage.writing("WriteAnswers", Folder.OUTPUT),
                iam.PolicyStatement(
                    sid="UseKey",
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=[self._key.key_arn],
                ),
            ],
        )
        acknowledge_inline(policy)
        acknowledge_used_wildcards(policy, self.storage.wildcards)
        return policy


_DELIVERY = [
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
]
