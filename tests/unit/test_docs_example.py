"""The examples of docs/constructs.md are apps that can be deployed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "constructs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def synthesised(code: str, out: Path) -> dict[str, Any]:
    """The resources of an example's only stack."""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "CDK_OUTDIR": str(out)},
        check=True,
        capture_output=True,
    )
    [template] = out.glob("*.template.json")
    return dict(json.loads(template.read_text(encoding="utf-8"))["Resources"])


@pytest.mark.parametrize(("stack", "routing"), [("Reviews", "CANARY"), ("Texts", "ALL_AT_ONCE")])
def test_an_example_of_the_constructs_page_synthesises(tmp_path: Path, stack: str, routing: str) -> None:
    # GIVEN the page's only example with this stack
    [code] = [example for example in EXAMPLES if f'cdk.Stack(app, "{stack}")' in example]
    # WHEN it is run as an app
    resources = synthesised(code, tmp_path)
    # THEN its template has an endpoint with the deployment that it shows
    [endpoint] = [item for item in resources.values() if item["Type"] == "AWS::SageMaker::Endpoint"]
    policy = endpoint["Properties"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == routing


def test_the_example_of_asynchronous_and_serverless_endpoints_synthesises(tmp_path: Path) -> None:
    # GIVEN the page's example with both kinds of endpoints WHEN it is run as an app
    [code] = [example for example in EXAMPLES if 'cdk.Stack(app, "Videos")' in example]
    resources = synthesised(code, tmp_path)
    # THEN one of them is asynchronous and sleeps at zero, and the other has no instances
    configs = [
        item["Properties"] for item in resources.values() if item["Type"] == "AWS::SageMaker::EndpointConfig"
    ]
    [queued] = [one for one in configs if "AsyncInferenceConfig" in one]
    [serverless] = [one for one in configs if one is not queued]
    assert "ServerlessConfig" in serverless["ProductionVariants"][0]
    [target] = [
        item["Properties"]
        for item in resources.values()
        if item["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
    ]
    assert target["MinCapacity"] == 0


def test_the_example_of_a_function_synthesises(tmp_path: Path) -> None:
    # GIVEN the page's example of a function WHEN it is run as an app
    [code] = [example for example in EXAMPLES if 'cdk.Stack(app, "Quick")' in example]
    resources = synthesised(code, tmp_path)
    # THEN its image runs on Graviton, behind an alias that scales and a URL that wants signatures
    of_kind = {item["Type"]: item["Properties"] for item in resources.values()}
    assert of_kind["AWS::Lambda::Function"]["PackageType"] == "Image"
    assert of_kind["AWS::Lambda::Function"]["Architectures"] == ["arm64"]
    assert of_kind["AWS::Lambda::Alias"]["ProvisionedConcurrencyConfig"] == {
        "ProvisionedConcurrentExecutions": 2
    }
    assert of_kind["AWS::ApplicationAutoScaling::ScalableTarget"]["MaxCapacity"] == 10
    assert of_kind["AWS::Lambda::Url"]["AuthType"] == "AWS_IAM"


def test_no_example_of_the_constructs_page_is_left_out() -> None:
    assert len(EXAMPLES) == 6


def test_the_example_of_a_batch_workflow_synthesises(tmp_path: Path) -> None:
    # GIVEN the page's example of a workflow WHEN it is run as an app
    [code] = [example for example in EXAMPLES if 'cdk.Stack(app, "Nightly")' in example]
    resources = synthesised(code, tmp_path)
    # THEN its schedule starts its state machine
    kinds = [item["Type"] for item in resources.values()]
    assert kinds.count("AWS::StepFunctions::StateMachine") == 1
    [schedule] = [item for item in resources.values() if item["Type"] == "AWS::Scheduler::Schedule"]
    assert schedule["Properties"]["ScheduleExpressionTimezone"] == "Asia/Seoul"
    assert "stateMachine:nightly" in json.dumps(schedule["Properties"]["Target"]["Arn"])


def test_the_example_of_an_ml_pipeline_synthesises(tmp_path: Path) -> None:
    # GIVEN the page's example of a pipeline WHEN it is run as an app
    [code] = [example for example in EXAMPLES if 'cdk.Stack(app, "Training")' in example]
    resources = synthesised(code, tmp_path)
    # THEN its pipeline waits for its scripts, and its function starts it on Sundays
    [pipeline] = [item for item in resources.values() if item["Type"] == "AWS::SageMaker::Pipeline"]
    waits = {resources[name]["Type"] for name in pipeline["DependsOn"]}
    assert {"Custom::JobCode", "Custom::RegistryEndpoint"} <= waits
    [schedule] = [item for item in resources.values() if item["Type"] == "AWS::Scheduler::Schedule"]
    assert schedule["Properties"]["ScheduleExpression"] == "cron(0 3 ? * SUN *)"
