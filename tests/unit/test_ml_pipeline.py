"""The pipeline construct: what it deploys, who may do what, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.ml_pipeline import MlPipeline
from sagemaker_serving.storage import DataBucket, EncryptionKey, Retention
from stacks.compliance import attach_packs

TEMPLATE = Path(__file__).resolve().parents[2] / "stacks" / "ml_pipeline.json"
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:deploy"


def pipeline(stack: cdk.Stack, **changes: Any) -> MlPipeline:
    retention = Retention(keep_data=False)
    key = EncryptionKey(stack, "Key", retention=retention)
    arguments: dict[str, Any] = {
        "name": "sentiment",
        "template": TEMPLATE,
        "bucket": DataBucket(stack, "Bucket", key=key, retention=retention),
        "key": key,
        "image": FrameworkImage.sklearn("1.4-2"),
        "code_version": "0123abcd",
        "deploy_function": lambda_.Function.from_function_arn(stack, "Deploy", FUNCTION),
        "model_package_group_name": "sentiment-models",
    }
    return MlPipeline(stack, "Pipeline", **arguments | changes)


def statements_of(resources: dict[str, Any], role: str) -> dict[str, Any]:
    """Statements of a role's policies by their Sid; the role by the beginning of its logical id."""
    return {
        statement["Sid"]: statement
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Policy"
        and any(item["Ref"].startswith(role) for item in resource["Properties"]["Roles"])
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    }


def test_it_deploys_the_definition_and_gives_each_role_its_duty_only(app: cdk.App, stack: cdk.Stack) -> None:
    # GIVEN a pipeline in an app under the compliance packs WHEN it is synthesized THEN they find nothing
    pipeline(stack)
    attach_packs(app)
    resources = Template.from_stack(stack).to_json()["Resources"]

    # AND the definition is the template with references in it
    [deployed] = [item for item in resources.values() if item["Type"] == "AWS::SageMaker::Pipeline"]
    body = deployed["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else next(iter(part.values()))[0] for part in body)
    assert [step["Name"] for step in json.loads(text)["Steps"]][:2] == ["Preprocess", "Train"]
    assert "@@" not in text
    assert FUNCTION in text

    # AND nothing of it is made before all its roles may do their work
    policies = [name for name, item in resources.items() if item["Type"] == "AWS::IAM::Policy"]
    own = [name for name in policies if name.startswith("Pipeline")]
    assert len(own) == 3
    assert set(own) <= set(deployed["DependsOn"])

    # AND the pipeline's role passes the jobs' roles to SageMaker, and no others
    statements = statements_of(resources, "PipelineRole")
    passing = statements["PassRolesOfJobs"]
    passed = {item["Fn::GetAtt"][0][:-8] for item in passing["Resource"]}  # without the id's digest
    assert passed == {"PipelineProcessingRole", "PipelineTrainingRole"}
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert statements["Deploy"]["Resource"] == FUNCTION
    assert "Write" not in statements

    # AND the jobs write their own folders only
    for role, folder in (("PipelineProcessingRole", "results"), ("PipelineTrainingRole", "models")):
        written = statements_of(resources, role)["Write"]["Resource"]
        assert written["Fn::Join"][1][1] == f"/{folder}/*"
        assert "PassRolesOfJobs" not in statements_of(resources, role)

    # AND no role has a policy of AWS or all actions of a service
    roles = [item for item in resources.values() if item["Type"] == "AWS::IAM::Role"]
    ours = [role for role in roles if "sagemaker.amazonaws.com" in json.dumps(role)]
    assert len(ours) == 3
    assert all("ManagedPolicyArns" not in role["Properties"] for role in ours)
    documents = json.dumps([resources[name] for name in own])
    assert ':*"' not in documents.replace("log-stream:*", "")


def test_names_that_the_service_would_refuse_are_told_together(stack: cdk.Stack) -> None:
    # GIVEN a pipeline's name that is too long, and a group's that begins with a hyphen WHEN it is made
    with pytest.raises(InvalidConfiguration) as caught:
        pipeline(stack, name="p" * 257, model_package_group_name="-models")

    # THEN both are told, each with its own limit
    assert [finding.field for finding in caught.value.findings] == ["name", "model_package_group_name"]
    assert "1 to 256 letters" in str(caught.value)
    assert "1 to 63 letters" in str(caught.value)


def test_a_template_of_another_pipeline_is_refused(stack: cdk.Stack, tmp_path: Path) -> None:
    # GIVEN a template without some of the placeholders, and with one that nobody fills
    step = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "@@REASON@@"}}
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"source": "", "definition": {"Steps": [step]}}), encoding="utf-8")

    # WHEN a pipeline is made of it THEN all of them are named
    with pytest.raises(InvalidConfiguration, match=r"PipelineDefinition of other\.json") as caught:
        pipeline(stack, template=path)
    assert "give REASON a value" in str(caught.value)
    assert "values['BUCKET']" in str(caught.value)
