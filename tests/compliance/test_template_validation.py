"""The templates by CloudFormation's own rules: those in aws-cdk-lib as errors, and cfn-lint."""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sagemaker as sagemaker
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.match import Match

from tests.snapshots.synthesis import ENVIRONMENTS, REGION, ROOT, synthesise

# aws-cdk-lib writes this function itself, with a DependsOn that its GetAtt implies
NOT_OURS = "CustomS3AutoDeleteObjectsCustomResourceProvider"


def linted(template: str) -> list[Match]:
    """What cfn-lint finds in our resources with its default rules: errors and warnings."""
    found = lint(template, config=ManualArgs(regions=[REGION]))
    return [match for match in found if not (match.rule.id == "W3005" and NOT_OURS in match.message)]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_cfn_lint_has_nothing_to_say(environment: str) -> None:
    for path in synthesise(environment).template_paths:
        assert [str(match) for match in linted(path.read_text(encoding="utf-8"))] == []


def test_cfn_lint_does_look() -> None:
    bad = {"Resources": {"Endpoint": {"Type": "AWS::SageMaker::Endpoint", "Properties": {"Nme": "x"}}}}
    assert {match.rule.id for match in linted(json.dumps(bad))} >= {"E3002", "E3003"}


def test_strict_validation_is_on_for_everybody_who_uses_cdk_json(tmp_path: Path) -> None:
    # GIVEN the context of cdk.json and a property of a wrong type
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(analytics_reporting=False, outdir=str(tmp_path), context=context)
    model = sagemaker.CfnModel(cdk.Stack(app, "Bad"), "Model")
    model.add_property_override("VpcConfig", "none")
    # WHEN it is synthesised THEN that is an error
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_state_machine_is_in_the_states_language(environment: str) -> None:
    # GIVEN the batch workflow's definition, which cfn-lint only reads when no reference is in it
    (machine,) = (
        synthesise(environment).resources("BatchInference", "AWS::StepFunctions::StateMachine").values()
    )
    parts = machine["Properties"]["DefinitionString"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else "aws" for part in parts)
    # THEN it has nothing to say about it, and would have
    assert [str(match) for match in linted(_alone(text))] == []
    spoilt = linted(_alone(text.replace('"Type": "Wait"', '"Type": "Pause"')))
    assert {match.rule.id for match in spoilt} == {"E3601"}


def _alone(definition: str) -> str:
    properties = {"RoleArn": "arn:aws:iam::111122223333:role/workflow", "DefinitionString": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    return json.dumps({"Resources": {"Machine": machine}})
