"""Executions of the pipeline, and the data that they were started with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aws import client, pages

DATA_PARAMETER = "InputData"
"""Parameter of the pipeline: a folder below ``raw/`` of the bucket."""


def newest_first(pipeline: str) -> Iterator[Mapping[str, Any]]:
    """Executions as ListPipelineExecutions shows them."""
    yield from pages(
        "sagemaker",
        "list_pipeline_executions",
        "PipelineExecutionSummaries",
        PipelineName=pipeline,
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 100},
    )


def input_data(execution: str, default: str) -> str:
    """What an execution reads.

    Args:
        execution: Its ARN.
        default: What one reads to which no data were given.
    """
    given = pages(
        "sagemaker",
        "list_pipeline_parameters_for_execution",
        "PipelineParameters",
        PipelineExecutionArn=execution,
    )
    for parameter in given:
        if parameter["Name"] == DATA_PARAMETER:
            return str(parameter["Value"])
    return default


def default_data(definition: str) -> str:
    """The default of `DATA_PARAMETER` in a pipeline's definition; empty if it has none."""
    for parameter in json.loads(definition).get("Parameters", []):
        if parameter["Name"] == DATA_PARAMETER:
            return str(parameter.get("DefaultValue", ""))
    return ""


def step(execution: str, name: str) -> Mapping[str, Any] | None:
    """A step of an execution as ListPipelineExecutionSteps shows it; None if it was not started."""
    steps = pages(
        "sagemaker",
        "list_pipeline_execution_steps",
        "PipelineExecutionSteps",
        PipelineExecutionArn=execution,
    )
    return next((found for found in steps if found["StepName"] == name), None)


def describe(pipeline: str) -> Mapping[str, Any]:
    """The pipeline as DescribePipeline shows it."""
    described: Mapping[str, Any] = client("sagemaker").describe_pipeline(PipelineName=pipeline)
    return described
