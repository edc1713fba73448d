"""What the stack tells the functions: read once for each execution environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

# checking parameters takes longer than sending them, and these are always of one kind
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 6},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    parameter_validation=False,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Variables of the functions' environment.

    Args:
        workflow: Name of the workflow; jobs and metrics are named after it.
        namespace: Of the metrics.
        work_bucket: Bucket with the folder ``work/``.
        output_bucket: Bucket with the folders ``output/`` and ``quarantine/``.
        claims_table: Table of claims.
        model: Name of the SageMaker model.
        id_column: Column that identifies a row.
        text_column: Column that the model reads.
        range_bytes: Bytes of input for one worker.
        max_payload_bytes: Bytes of one record for the model at most.
        max_text_characters: Characters of one text at most.
    """

    workflow: str
    namespace: str
    work_bucket: str
    output_bucket: str
    claims_table: str
    model: str
    id_column: str
    text_column: str
    range_bytes: int
    max_payload_bytes: int
    max_text_characters: int


@cache
def settings() -> Settings:
    """The settings of this function."""
    env = os.environ
    return Settings(
        workflow=env["WORKFLOW_NAME"],
        namespace=env["METRIC_NAMESPACE"],
        work_bucket=env["WORK_BUCKET"],
        output_bucket=env["OUTPUT_BUCKET"],
        claims_table=env["CLAIMS_TABLE_NAME"],
        model=env["MODEL_NAME"],
        id_column=env["ID_COLUMN"],
        text_column=env["TEXT_COLUMN"],
        range_bytes=int(env["RANGE_BYTES"]),
        max_payload_bytes=int(env["MAX_PAYLOAD_BYTES"]),
        max_text_characters=int(env["MAX_TEXT_CHARACTERS"]),
    )


@cache
def client(service: str) -> Any:
    """A client of an AWS service; one for each execution environment, shared by its threads.

    Args:
        service: For example ``s3``.
    """
    return boto3.client(service, config=_CONFIG)
