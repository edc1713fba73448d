"""What starts executions of an ML pipeline by itself: new data, and a schedule."""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from constructs import Construct

from .event_calls import call_on_events
from .ml_pipeline import RAW, MlPipeline
from .naming import stable_name
from .schedules import Schedule, start_by_schedule
from .storage import DataBucket, DeadLetterQueue, EncryptionKey, Retention
from .zip_function import ZipFunction


class PipelineStarts(Construct):
    """A function that starts executions with the folder of new data, by a marker or by the clock.

    A folder below ``raw/`` is complete when ``_SUCCESS`` is written into it: with ``on_new_data`` that starts
    an execution with the folder as ``InputData``. A schedule takes the newest folder, and starts nothing if
    it was worked on since the pipeline was last changed.

    Args:
        pipeline: What starts.
        bucket: Has the folder ``raw/``.
        on_new_data: Whether a marker starts an execution.
        schedule: When the newest folder is looked for. Default: never.
        code: The folder of the function's code, with ``start.py``.
        key: Encrypts logs, environment and dead letters.
        retention: How long logs are kept.

    Attributes:
        function: The function, named ``<name of the pipeline>-start``.
        dead_letters: Starts that failed.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: MlPipeline,
        bucket: DataBucket,
        on_new_data: bool,
        schedule: Schedule | None = None,
        code: Path,
        key: EncryptionKey,
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key, has_owner=True)
        self.function = ZipFunction(
            self,
            "Function",
            function_name=stable_name(pipeline.name, "start"),
            code=code,
            handler="start.handler",
            environment={
                "PIPELINE_NAME": pipeline.name,
                "BUCKET": bucket.bucket_name,
                "RAW_PREFIX": f"{RAW}/",
            },
            statements=[
                iam.PolicyStatement(
                    sid="StartExecutions",
                    actions=[
                        "sagemaker:DescribePipeline",
                        "sagemaker:ListPipelineExecutions",
                        "sagemaker:StartPipelineExecution",
                    ],
                    resources=[pipeline.pipeline_arn],
                ),
                iam.PolicyStatement(
                    sid="SeeWhatWasDone",
                    actions=["sagemaker:ListPipelineParametersForExecution"],
                    resources=[pipeline.executions_arn],
                ),
                iam.PolicyStatement(
                    sid="LookForFolders",
                    actions=["s3:ListBucket"],
                    resources=[bucket.bucket_arn],
                    conditions={"StringLike": {"s3:prefix": f"{RAW}/*"}},
                ),
            ],
            wildcards={pipeline.executions_arn: "SageMaker names the executions of this one pipeline."},
            memory_mb=256,
            timeout=cdk.Duration.minutes(2),
            key=key,
            retention=retention,
            dead_letters=self.dead_letters,
        )
        if on_new_data:
            self._on_new_data(pipeline, bucket, key)
        if schedule is not None:
            start_by_schedule(
                self,
                schedule,
                what=pipeline.name,
                arn=self.function.function.function_arn,
                permission=self.function.invoke_statement,
                text=json.dumps({"trigger": "schedule"}),
                dead_letters=self.dead_letters,
                key=key,
            ).node.add_dependency(pipeline.pipeline)

    def _on_new_data(self, pipeline: MlPipeline, bucket: DataBucket, key: EncryptionKey) -> None:
        bucket.send_events()
        rule = call_on_events(
            self,
            "NewData",
            description=f"Starts {pipeline.name} when a folder of data is complete",
            pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [bucket.bucket_name]},
                    "object": {"key": [{"wildcard": f"{RAW}/*/_SUCCESS"}]},
                },
            },
            function=self.function,
            dead_letters=self.dead_letters,
        )
        rule.node.add_dependency(pipeline.pipeline)
        self.dead_letters.keep_events_of([rule])
        key.allow_rules()
