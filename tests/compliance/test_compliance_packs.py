"""AwsSolutions, NIST 800-53 R5, HIPAA and PCI DSS on all templates; each exception is reasoned and needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from app import build
from sagemaker_serving.acknowledgements import Pack
from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.model import Container, ServingModel
from sagemaker_serving.network import VpcAttachment
from stacks.compliance import Review, attach_packs
from tests.compliance.test_template_validation import linted
from tests.snapshots.synthesis import ACCOUNT, ENVIRONMENTS, REGION, ROOT, Assembly, synthesise

Acknowledgement = tuple[str, str]


def reports(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = assembly.read("validation-report.json")["pluginReports"]
    return {report["pluginName"]: report for report in found}


def acknowledged(assembly: Assembly) -> Iterator[tuple[Acknowledgement, str]]:
    """All acknowledgements: where and what, and the reason."""
    for stack in assembly.stacks:
        for path, entries in assembly.read(f"{stack}.metadata.json").items():
            for entry in entries:
                if entry["type"] == "aws:cdk:acknowledged-rules":
                    for rule, reason in entry["data"].items():
                        yield (path.lstrip("/"), rule), reason


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_packs_ran_and_found_nothing_that_is_not_acknowledged(environment: str) -> None:
    found = reports(synthesise(environment))
    for pack in Pack:
        assert found[pack]["conclusion"] == "success"
        assert found[pack]["violations"] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_acknowledgement_says_why(environment: str) -> None:
    for where, reason in acknowledged(synthesise(environment)):
        assert len(reason.split()) >= 6, where


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_acknowledgement_is_still_needed(environment: str) -> None:
    assembly = synthesise(environment)
    used = {
        (item["acknowledgedAt"], item["acknowledgedId"])
        for report in reports(assembly).values()
        for item in report.get("suppressedViolations", [])  # the report of warnings has none
    }
    assert {made for made, _ in acknowledged(assembly)} == used


def test_model_in_a_vpc_passes_too(tmp_path: Path) -> None:
    # GIVEN a model attached to a VPC, which no committed configuration has
    app = cdk.App(analytics_reporting=False, outdir=str(tmp_path))
    vpc = VpcAttachment(subnet_ids=["subnet-1", "subnet-2"], security_group_ids=["sg-1"])
    artifact = ModelArtifact.from_s3_uri("s3://models/sentiment/model.tar.gz")
    container = Container(image=FrameworkImage.sklearn(), artifact=artifact)
    ServingModel(cdk.Stack(app, "Attached"), "Model", containers=[container], vpc=vpc)
    attach_packs(app)
    # WHEN it is synthesised THEN no pack has anything to say
    app.synth()
    found = reports(Assembly(tmp_path))
    assert {found[pack]["conclusion"] for pack in Pack} == {"success"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_rows_in_postgresql_pass_too(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN the batch pattern with the sink that no committed configuration has, for a known Region
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("CDK_DEFAULT_REGION", REGION)
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    chosen = {"env": environment, "only": "batch", "patterns.batch.sink": "postgresql"}
    app = cdk.App(analytics_reporting=False, outdir=str(tmp_path), context={**context, **chosen})
    build(app)
    attach_packs(app)
    # WHEN it is synthesised THEN neither the packs nor CloudFormation's rules nor cfn-lint find anything
    app.synth()
    assembly = Assembly(tmp_path)
    found = reports(assembly)
    assert {found[pack]["conclusion"] for pack in Pack} == {"success"}
    assert [found[pack]["violations"] for pack in Pack] == [[]] * len(Pack)
    (template,) = assembly.template_paths
    assert [str(match) for match in linted(template.read_text(encoding="utf-8"))] == []
    assert assembly.resources("BatchInference", "AWS::RDS::DBCluster")
    # AND nothing has to be looked up in an account beforehand
    assert not assembly.read("manifest.json").get("missing")


def test_packs_do_find_what_is_wrong(tmp_path: Path) -> None:
    # GIVEN an app with a bucket that is neither encrypted with a key nor logged nor TLS only
    app = cdk.App(analytics_reporting=False, outdir=str(tmp_path))
    s3.Bucket(cdk.Stack(app, "Bad"), "Open")
    attach_packs(app)
    # WHEN it is synthesised THEN synth fails, and each pack says so
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    found = reports(Assembly(tmp_path))
    assert {name for name in Pack if found[name]["conclusion"] == "failure"} == set(Pack)


def test_a_synth_that_passed_is_known_until_something_changes(tmp_path: Path) -> None:
    # GIVEN a note of a synth that passed
    configuration = tmp_path / "dev.yaml"
    configuration.write_text("a: 1")

    def review(context: dict[str, str], text: str = "111122223333") -> Review:
        app = cdk.App(analytics_reporting=False, outdir=str(tmp_path / "out"), context=context)
        return Review(app, [configuration, text], notes=tmp_path / "notes")

    assert not review({"env": "dev"}).passed_before
    review({"env": "dev"}).note()
    # THEN the same is known, and other context, other inputs and another configuration are not
    assert review({"env": "dev"}).passed_before
    assert not review({"env": "prod"}).passed_before
    assert not review({"env": "dev"}, "444455556666").passed_before
    configuration.write_text("a: 2")
    assert not review({"env": "dev"}).passed_before
