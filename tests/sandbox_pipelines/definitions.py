"""Definitions of pipelines, and what tests ask of executions."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sandbox.store import Params
from tests.sandbox_api.world import IMAGE, ROLE
from tests.sandbox_jobs.workshop import Workshop, processing, training

FUNCTION = "arn:aws:lambda:ap-northeast-2:000000000000:function:"


def get(path: str) -> Params:
    return {"Get": path}


def join(*values: Any, on: str = "") -> Params:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def processing_step(name: str, code: str = "pass", /, **changed: Any) -> Params:
    """A step that runs a Python text; members of the step by name, of the job in `job`."""
    arguments = processing("none", code, **changed.pop("job", {}))
    del arguments["ProcessingJobName"]
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **changed}


def training_step(name: str, code: str, /, **changed: Any) -> Params:
    arguments = training("none", code) | changed.pop("job", {})
    del arguments["TrainingJobName"]
    return {"Name": name, "Type": "Training", "Arguments": arguments, **changed}


def condition_step(name: str, *conditions: Params, yes: Any = (), no: Any = (), **changed: Any) -> Params:
    arguments = {"Conditions": list(conditions), "IfSteps": list(yes), "ElseSteps": list(no)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **changed}


def at_least(left: Any, right: Any) -> Params:
    return {"Type": "GreaterThanOrEqualTo", "LeftValue": left, "RightValue": right}


def lambda_step(name: str, function: str, arguments: Params | None = None, /, **outputs: str) -> Params:
    return {
        "Name": name,
        "Type": "Lambda",
        "FunctionArn": f"{FUNCTION}{function}",
        "Arguments": arguments or {},
        "OutputParameters": [{"OutputName": key, "OutputType": kind} for key, kind in outputs.items()],
    }


def fail_step(name: str, message: Any, **changed: Any) -> Params:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **changed}


def register_step(name: str, data: Any, **changed: Any) -> Params:
    container = {"Image": IMAGE, "ModelDataUrl": data, "Environment": {"SAGEMAKER_PROGRAM": "inference.py"}}
    arguments = {
        "ModelPackageGroupName": "reviews",
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    return {"Name": name, "Type": "RegisterModel", "Arguments": arguments, **changed}


def parameter(name: str, kind: str = "String", default: Any = None) -> Params:
    given = {"Name": name, "Type": kind}
    return given if default is None else given | {"DefaultValue": default}


def text(steps: list[Params], parameters: list[Params] | None = None) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": parameters or [], "Steps": steps})


class Runner:
    """Pipelines of a workshop, as a person uses them."""

    def __init__(self, sagemaker: Any, workshop: Workshop) -> None:
        self.sagemaker = sagemaker
        self.workshop = workshop

    def create(self, name: str, steps: list[Params], parameters: list[Params] | None = None) -> None:
        self.sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDefinition=text(steps, parameters),
            RoleArn=ROLE,
            ClientRequestToken=str(uuid.uuid4()),
        )

    def start(self, name: str, /, **parameters: str) -> str:
        given = [{"Name": key, "Value": value} for key, value in parameters.items()]
        answer = self.sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=given)
        return str(answer["PipelineExecutionArn"])

    def ended(self, arn: str) -> Params:
        """An execution when it has ended."""

        def probe() -> Params | None:
            found: Params = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            return None if found["PipelineExecutionStatus"] in ("Executing", "Stopping") else found

        found: Params = self.workshop.wait(f"end of {arn}", probe)
        return found

    def run(self, name: str, /, **parameters: str) -> tuple[Params, dict[str, Params]]:
        """An execution that has ended, and its steps by name."""
        found = self.ended(self.start(name, **parameters))
        return found, self.steps(found["PipelineExecutionArn"])

    def steps(self, arn: str) -> dict[str, Params]:
        answer = self.sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=arn, SortOrder="Ascending", MaxResults=100
        )
        return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}
