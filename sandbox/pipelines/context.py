"""What a definition's references mean in one execution."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import LocalAws
from sandbox.pipelines.definition import property_files
from sandbox.pipelines.records import SUCCEEDED, Execution, StepFailed
from sandbox.pipelines.references import Reference, Resolver, walk

_LARGEST_PROPERTY_FILE = 10 * 1024 * 1024


class Context:
    """Values of references.

    Args:
        execution: The execution.
        aws: Where property files are.
    """

    def __init__(self, execution: Execution, aws: LocalAws) -> None:
        self._execution = execution
        self._aws = aws
        self.resolver = Resolver(self._get, self._property_file, self._read)

    def _get(self, reference: Reference) -> Any:
        execution = self._execution
        if reference.source == "Parameters":
            return walk(execution.parameters[reference.name], reference.rest)
        if reference.source == "Execution":
            return self._variable(reference.name)
        run = execution.steps.get(reference.name)
        if run is None or run.status != SUCCEEDED:
            raise LookupError(reference.name)
        return walk(run.properties, reference.rest)

    def _variable(self, name: str) -> str:
        execution = self._execution
        values = {
            "PipelineName": execution.pipeline_name,
            "PipelineArn": execution.pipeline_arn,
            "PipelineExecutionId": execution.id,
            "PipelineExecutionArn": execution.arn,
            "StartDateTime": execution.created_at.isoformat(),
            "CurrentDateTime": datetime.now(UTC).isoformat(),
        }
        return values[name]

    def _property_file(self, step: str, name: str) -> str:
        file = property_files(self._execution.definition.steps[step].body)[name]
        run = self._execution.steps.get(step)
        outputs = run.properties.get("ProcessingOutputConfig", {}).get("Outputs", []) if run else []
        for output in outputs:
            if output["OutputName"] == file["OutputName"]:
                return f"{output['S3Output']['S3Uri'].rstrip('/')}/{file['FilePath'].lstrip('/')}"
        raise StepFailed(f"The step {step!r} has written no output {file['OutputName']!r} for {name!r}.")

    def _read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            answer = self._aws.client("s3", self._execution.scope).get_object(Bucket=bucket, Key=key)
            content: bytes = answer["Body"].read(_LARGEST_PROPERTY_FILE + 1)
        except (ClientError, BotoCoreError) as error:
            raise StepFailed(f"JsonGet failed: {uri} cannot be read: {error}") from error
        if len(content) > _LARGEST_PROPERTY_FILE:
            raise StepFailed(f"JsonGet failed: {uri} has more than {_LARGEST_PROPERTY_FILE} bytes.")
        return content
