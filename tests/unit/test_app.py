"""The app as a process, and what holds for the stacks that it makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import app as patterns
from stacks.registry import PATTERNS
from tests.snapshots.synthesis import ENVIRONMENTS, ROOT, Assembly, synthesise

STACK = "RealtimeInference"


def properties(environment: str, kind: str) -> dict[str, Any]:
    (resource,) = synthesise(environment).resources(STACK, kind).values()
    return dict(resource["Properties"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a configuration and a model of its own."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "model_code", tmp_path / "model_code")
    for name in ("app.py", "stacks"):
        (tmp_path / name).symlink_to(ROOT / name)
    # app.py itself is copied, so that its folder is the project's
    (tmp_path / "app.py").unlink()
    shutil.copy(ROOT / "app.py", tmp_path / "app.py")
    return tmp_path


def run(project: Path, environment: str = "dev") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=project,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": f'{{"env": "{environment}"}}',
            "CDK_OUTDIR": str(project / "cdk.out"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_mistake_in_the_configuration_ends_synth_with_one_message(project: Path) -> None:
    path = project / "config" / "dev.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("instance_count: 1", "instance_cout: 1", 1))
    done = run(project)
    assert done.returncode == 1
    assert "config/dev.yaml: 1 problem" in done.stderr
    assert "did you mean instance_count" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "cdk.out" / f"{STACK}.template.json").exists()


def test_packs_run_until_they_have_passed_and_never_on_what_failed(project: Path) -> None:
    # GIVEN a project that was never synthesised
    report = project / "cdk.out" / "validation-report.json"
    # WHEN it is synthesised twice
    assert run(project).returncode == 0
    first = report.read_text(encoding="utf-8")
    report.unlink()
    assert run(project).returncode == 0
    # THEN the packs ran the first time, and the second time there was nothing new to check
    assert "PCI.DSS.321" in first
    assert not report.exists() or "PCI.DSS.321" not in report.read_text(encoding="utf-8")
    # AND they run again when the configuration changes
    path = project / "config" / "dev.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("bake_seconds: 120", "bake_seconds: 121", 1))
    assert run(project).returncode == 0
    assert "PCI.DSS.321" in report.read_text(encoding="utf-8")


def test_model_directory_without_a_program_ends_synth_with_one_message(project: Path) -> None:
    (project / "model_code" / "sentiment" / "inference.py").unlink()
    done = run(project)
    assert done.returncode == 1
    assert "inference.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_comes_back_through_jsii_is_told_without_a_traceback(project: Path) -> None:
    # GIVEN a bake that is shorter than the rollback alarms need, which only the constructs together know
    path = project / "config" / "dev.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("bake_seconds: 120", "bake_seconds: 60", 1))
    done = run(project)
    assert done.returncode == 1
    for part in (f"{STACK}/Endpoint", "rollback_alarms[0].window = '120 s'", "bakes for 60 s"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_is_synthesised_without_an_account(environment: str) -> None:
    assembly = synthesise(environment, account=None, region=None)
    assert assembly.stacks.keys() == {stack.__name__ for stack in PATTERNS.values()}
    assert assembly.read("manifest.json")["artifacts"][STACK]["environment"] == (
        "aws://unknown-account/unknown-region"
    )


def test_same_model_gives_the_same_template(tmp_path: Path) -> None:
    """Two apps of the same model give the same template, digest included."""

    def made(name: str) -> dict[str, Any]:
        app = cdk.App(
            analytics_reporting=False,
            builtin_cloud_formation_validation=False,
            outdir=str(tmp_path / name),
        )
        patterns.build(app)
        app.synth()
        return Assembly(tmp_path / name).template(STACK)

    assert made("one") == made("two")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_stacks_say_what_they_are(environment: str) -> None:
    for pattern, stack in PATTERNS.items():
        made = synthesise(environment).stacks[stack.__name__]
        assert made["tags"] == {
            "sagemaker-serving:pattern": pattern,
            "sagemaker-serving:environment": environment,
        }
        assert made["terminationProtection"] is (environment == "prod")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_outputs_are_those_that_clients_read(environment: str) -> None:
    outputs = synthesise(environment).template(STACK)["Outputs"]
    assert set(outputs) == {
        "EndpointName",
        "EndpointConfigName",
        "VariantNames",
        "AlarmTopicArn",
        "DashboardName",
        "RollbackAlarmNames",
        "DataCaptureUri",
        "ModelArtifactUri",
    }
    assert outputs["EndpointName"]["Value"] == f"realtime-{environment}"
    assert outputs["VariantNames"]["Value"] == "primary"


def test_dev_is_small_updates_at_once_and_leaves_nothing() -> None:
    resources = synthesise("dev").template(STACK)["Resources"]
    assert {resource.get("DeletionPolicy", "Delete") for resource in resources.values()} == {"Delete"}
    (variant,) = properties("dev", "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["InitialInstanceCount"] == 1
    policy = properties("dev", "AWS::SageMaker::Endpoint")["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    target = properties("dev", "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)


def test_prod_survives_an_instance_updates_by_canary_and_keeps_its_data() -> None:
    (variant,) = properties("prod", "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["InitialInstanceCount"] >= 2
    policy = properties("prod", "AWS::SageMaker::Endpoint")["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    target = properties("prod", "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 6)
    assembly = synthesise("prod")
    for kind in ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup"):
        for resource in assembly.resources(STACK, kind).values():
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_managed_policy_of_aws_and_no_wildcard_action_in_our_roles(environment: str) -> None:
    assembly = synthesise(environment)
    for policy in assembly.resources(STACK, "AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert "*" not in str(statement["Action"])
    for name, role in assembly.resources(STACK, "AWS::IAM::Role").items():
        if not name.startswith("CustomS3AutoDelete"):  # aws-cdk-lib's own
            assert "ManagedPolicyArns" not in role["Properties"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_updates_keep_what_scaling_has_set(environment: str) -> None:
    endpoint = properties(environment, "AWS::SageMaker::Endpoint")
    assert endpoint["RetainAllVariantProperties"] is True
    assert endpoint["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DesiredWeight"}]
