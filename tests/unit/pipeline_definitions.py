"""The committed definition of the pipeline, filled in, and ways to change it: for tests of definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.pipeline_definition import PipelineDefinition

TEMPLATE = Path(__file__).resolve().parents[2] / "stacks" / "ml_pipeline.json"
VALUES = {
    "BUCKET": "data-bucket",
    "CODE_VERSION": "0123abcd",
    "IMAGE": "111122223333.dkr.ecr.us-east-1.amazonaws.com/image:1",
    "MODEL_PACKAGE_GROUP": "sentiment",
    "TRAINING_ROLE_ARN": "arn:aws:iam::111122223333:role/training",
    "PROCESSING_ROLE_ARN": "arn:aws:iam::111122223333:role/processing",
    "DEPLOY_FUNCTION_ARN": "arn:aws:lambda:us-east-1:111122223333:function:deploy",
    "REGION": "us-east-1",
}
FILLED = dict(PipelineDefinition.from_template(TEMPLATE, VALUES).content)

Change = Callable[[Any, Any], object]


def refused(content: Any) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        PipelineDefinition(content)
    return [str(finding) for finding in caught.value.findings]


def steps_of(content: Any) -> dict[str, Any]:
    """All steps by name, those of the branches included."""
    found = {step["Name"]: step for step in content["Steps"]}
    branches = found["CheckAccuracy"]["Arguments"]
    return found | {step["Name"]: step for step in [*branches["IfSteps"], *branches["ElseSteps"]]}


def put(value: Any, *path: Any) -> Change:
    """Put a value into a step, or with an int first, into a parameter; None takes the member away."""

    def change(content: Any, steps: Any) -> None:
        holder = content["Parameters"] if isinstance(path[0], int) else steps
        for part in path[:-1]:
            holder = holder[part]
        if value is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = value

    return change


def top(**members: Any) -> Change:
    return lambda content, _: content.update(members)


RETRY = ("Train", "RetryPolicies", 0)
CHECK = ("CheckAccuracy", "Arguments", "Conditions")
LEFT = (*CHECK, 0, "LeftValue", "Std:JsonGet")
ROLE = ("Train", "Arguments", "RoleArn")
