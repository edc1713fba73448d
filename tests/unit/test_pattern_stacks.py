"""What the stacks of the endpoint patterns are made of, as configured and with settings changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import app as patterns
from sagemaker_serving.errors import InvalidConfiguration
from stacks.registry import PATTERNS
from tests.snapshots.synthesis import ENVIRONMENTS, Assembly, synthesise

ON_INSTANCES = ("realtime", "multi-container", "inference-pipeline", "ab-test", "blue-green")
OUTPUTS = {"EndpointName", "EndpointConfigName", "VariantNames", "AlarmTopicArn", "DashboardName"}
SKLEARN = "framework: scikit-learn, framework_version: 1.4-2-py312"
MODEL = f"{{s3_uri: 's3://models/shadow/model.tar.gz', {SKLEARN}}}"
ENDPOINT, CONFIG = "AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"
Changed = Callable[..., dict[str, Any]]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """The template of one pattern in dev, with settings of its own changed."""

    def make(pattern: str, settings: dict[str, str]) -> dict[str, Any]:
        app = cdk.App(
            analytics_reporting=False,
            builtin_cloud_formation_validation=False,
            outdir=str(tmp_path / "out"),
            context={
                "only": pattern,
                **{f"patterns.{pattern}.{key}": value for key, value in settings.items()},
            },
        )
        patterns.build(app)
        app.synth()
        return Assembly(tmp_path / "out").template(PATTERNS[pattern].__name__)

    return make


def committed(pattern: str, environment: str = "dev") -> dict[str, Any]:
    return synthesise(environment).template(PATTERNS[pattern].__name__)


def of_kind(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the resources of a type, by logical id."""
    found = template["Resources"].items()
    return {name: one.get("Properties", {}) for name, one in found if one["Type"] == kind}


def only_one(template: dict[str, Any], kind: str) -> dict[str, Any]:
    (properties,) = of_kind(template, kind).values()
    return properties


def output(template: dict[str, Any], key: str) -> Any:
    return template["Outputs"][key]["Value"]


def alarms_on(template: dict[str, Any], dimension: str, value: str) -> list[dict[str, Any]]:
    """Alarms, of which any metric has this dimension."""
    wanted = {"Name": dimension, "Value": value}
    return [
        one
        for one in of_kind(template, "AWS::CloudWatch::Alarm").values()
        if wanted in one.get("Dimensions", [])
        or any(
            wanted in query.get("MetricStat", {}).get("Metric", {}).get("Dimensions", [])
            for query in one.get("Metrics", [])
        )
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("pattern", ON_INSTANCES)
def test_every_pattern_has_what_clients_need_and_no_more_rights_than_it_uses(
    pattern: str, environment: str
) -> None:
    # GIVEN a pattern as it is configured
    template = committed(pattern, environment)
    # THEN its endpoint has a stable name, which clients are told
    assert template["Outputs"].keys() >= OUTPUTS
    assert output(template, "EndpointName") == f"{pattern}-{environment}"
    # AND no statement allows every action, and no role has a policy of AWS's
    for policy in of_kind(template, "AWS::IAM::Policy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            assert "*" not in str(statement["Action"])
    for name, role in of_kind(template, "AWS::IAM::Role").items():
        if not name.startswith("CustomS3AutoDelete"):  # aws-cdk-lib's own
            assert "ManagedPolicyArns" not in role
    # AND dev leaves nothing behind, and prod keeps the key and the logs
    kept = {one.get("DeletionPolicy", "Delete") for one in template["Resources"].values()}
    assert (kept == {"Delete"}) is (environment == "dev")
    for one in template["Resources"].values():
        if environment == "prod" and one["Type"] in {"AWS::KMS::Key", "AWS::Logs::LogGroup"}:
            assert one["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("pattern", ON_INSTANCES)
def test_prod_has_two_instances_of_every_variant(pattern: str) -> None:
    for variant in only_one(committed(pattern, "prod"), CONFIG)["ProductionVariants"]:
        assert variant["InitialInstanceCount"] >= 2


@pytest.mark.parametrize(
    ("pattern", "mode", "hostnames"),
    [
        ("multi-container", "Direct", ["sentiment", "similarity", "summarization"]),
        ("inference-pipeline", "Serial", ["normalize", "classify", "render"]),
    ],
)
def test_several_containers_are_invoked_as_the_pattern_says_and_watched_one_by_one(
    pattern: str, mode: str, hostnames: list[str]
) -> None:
    # GIVEN a pattern with several containers
    template = committed(pattern)
    model = only_one(template, "AWS::SageMaker::Model")
    # THEN the model has them in order, and clients are told
    assert [one["ContainerHostname"] for one in model["Containers"]] == hostnames
    assert model["InferenceExecutionConfig"] == {"Mode": mode}
    assert output(template, "InferenceMode") == mode
    assert output(template, "ContainerHostnames") == ",".join(hostnames)
    # AND each container has alarms
    for hostname in hostnames:
        assert len(alarms_on(template, "ContainerName", hostname)) == 2


def test_threshold_of_containers_is_a_setting_of_its_own(changed: Changed) -> None:
    # GIVEN containers that may take longer than the default
    template = changed("multi-container", {"alarms.container_latency_p99_milliseconds": "1500"})
    # THEN their alarms are raised at it, in microseconds, and the model's are where they were
    latencies = [
        one["Threshold"]
        for one in alarms_on(template, "ContainerName", "similarity")
        if one.get("MetricName") == "ContainerLatency"
    ]
    assert latencies == [1_500_000]
    assert {
        one["Threshold"]
        for one in of_kind(template, "AWS::CloudWatch::Alarm").values()
        if one.get("MetricName") == "ModelLatency"
    } == {2_000_000}


def test_a_container_more_is_a_section_more(changed: Changed) -> None:
    template = changed("multi-container", {"containers.echo": MODEL})
    assert output(template, "ContainerHostnames") == "sentiment,similarity,summarization,echo"


def test_variants_share_the_traffic_and_are_updated_without_guardrails() -> None:
    # GIVEN the A/B test as it is configured
    template = committed("ab-test")
    variants = only_one(template, CONFIG)["ProductionVariants"]
    endpoint = only_one(template, ENDPOINT)
    # THEN two models share the traffic evenly
    assert [(one["VariantName"], one["InitialVariantWeight"]) for one in variants] == [
        ("champion", 50),
        ("challenger", 50),
    ]
    assert len({json.dumps(one["ModelName"]) for one in variants}) == 2
    assert output(template, "VariantNames") == "champion,challenger"
    # AND nothing stands in the way of an update that changes the variants' names
    assert "DeploymentConfig" not in endpoint
    assert "RollbackAlarmNames" not in template["Outputs"]
    # AND each variant is watched
    for name in ("champion", "challenger"):
        assert len(alarms_on(template, "VariantName", name)) >= 4


@pytest.mark.parametrize(("given", "kept"), [("true", True), ("false", False)])
def test_shifted_weights_are_kept_by_a_deployment_unless_the_settings_say_otherwise(
    changed: Changed, given: str, kept: bool
) -> None:
    endpoint = only_one(changed("ab-test", {"retain_weights": given}), ENDPOINT)
    if not kept:
        assert "RetainAllVariantProperties" not in endpoint
        return
    assert endpoint["RetainAllVariantProperties"] is True
    # nothing scales, so the counts are those of the settings
    assert endpoint["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DesiredInstanceCount"}]


def test_the_loser_goes_with_its_entry(changed: Changed) -> None:
    template = changed("ab-test", {"variants.challenger": "null"})
    (variant,) = only_one(template, CONFIG)["ProductionVariants"]
    assert variant["VariantName"] == "champion"
    assert len(of_kind(template, "AWS::SageMaker::Model")) == 1
    assert not alarms_on(template, "VariantName", "challenger")


def test_a_shadow_gets_copies_and_is_watched(changed: Changed) -> None:
    # GIVEN one variant and a shadow, by settings
    shadow = f"{{name: candidate, weight: 25, instance_type: ml.c5.large, instance_count: 2, model: {MODEL}}}"
    template = changed("ab-test", {"variants.challenger": "null", "shadow": shadow})
    config = only_one(template, CONFIG)
    # THEN it is none of the variants that answer
    assert [one["VariantName"] for one in config["ProductionVariants"]] == ["champion"]
    (made,) = config["ShadowProductionVariants"]
    assert (made["VariantName"], made["InitialVariantWeight"]) == ("candidate", 25)
    assert (made["InstanceType"], made["InitialInstanceCount"]) == ("ml.c5.large", 2)
    # AND clients and alarms know it
    assert output(template, "VariantNames") == "champion"
    assert output(template, "ShadowVariantName") == "candidate"
    assert alarms_on(template, "VariantName", "candidate")


def test_blue_green_is_a_canary_of_one_in_three_with_the_workshops_times() -> None:
    # GIVEN blue/green as it is configured
    template = committed("blue-green")
    (variant,) = only_one(template, CONFIG)["ProductionVariants"]
    deployment = only_one(template, ENDPOINT)["DeploymentConfig"]
    # THEN a third of three instances is the canary
    assert variant["InitialInstanceCount"] == 3
    assert deployment["BlueGreenUpdatePolicy"] == {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 300,
        },
        "TerminationWaitInSeconds": 120,
        "MaximumExecutionTimeoutInSeconds": 1800,
    }
    # AND one minute with a tenth of errors takes it back
    watched = [
        one
        for one in of_kind(template, "AWS::CloudWatch::Alarm").values()
        if "EndpointConfigName" in json.dumps(one.get("Dimensions", []))
    ]
    errors = next(one for one in watched if one["MetricName"] == "Invocation5XXErrors")
    assert len(deployment["AutoRollbackConfiguration"]["Alarms"]) == len(watched) == 2
    assert (errors["Statistic"], errors["Threshold"], errors["Period"]) == ("Average", 0.1, 60)
    assert errors["EvaluationPeriods"] == 1
    assert errors["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert output(template, "ModelVersion") == "v1"


def test_prod_moves_in_linear_steps() -> None:
    policy = only_one(committed("blue-green", "prod"), ENDPOINT)["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "LINEAR"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"deployment": "{strategy: all_at_once, bake_seconds: 60}"},
            {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}},
        ),
        (
            {"deployment": "{strategy: linear, step_percent: 34, bake_seconds: 60}"},
            {
                "TrafficRoutingConfiguration": {
                    "Type": "LINEAR",
                    "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 34},
                    "WaitIntervalInSeconds": 60,
                }
            },
        ),
        (
            {"deployment": "{strategy: rolling, step_instances: 1, bake_seconds: 60}"},
            {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 60},
        ),
    ],
    ids=["all_at_once", "linear", "rolling"],
)
def test_the_policy_is_a_setting(
    changed: Changed, settings: dict[str, str], expected: dict[str, Any]
) -> None:
    made = only_one(changed("blue-green", settings), ENDPOINT)["DeploymentConfig"]
    policy = made.get("BlueGreenUpdatePolicy") or made["RollingUpdatePolicy"]
    assert expected.items() <= policy.items()
    assert made["AutoRollbackConfiguration"]["Alarms"]


def test_the_version_chooses_the_model_and_nothing_else(changed: Changed) -> None:
    # GIVEN the same settings but for the version
    first, second = (changed("blue-green", {"version": version}) for version in ("v1", "v2"))
    # THEN another model serves under the same names
    assert output(second, "ModelVersion") == "v2"
    for key in ("EndpointName", "VariantNames", "DashboardName"):
        assert output(first, key) == output(second, key)
    (one,), (other,) = (of_kind(made, "AWS::SageMaker::Model").values() for made in (first, second))
    assert one["PrimaryContainer"]["Image"] == other["PrimaryContainer"]["Image"]
    assert one["PrimaryContainer"]["ModelDataUrl"] != other["PrimaryContainer"]["ModelDataUrl"]


def test_a_deployment_that_ends_badly_is_told_to_the_topic() -> None:
    # GIVEN blue/green as it is configured
    template = committed("blue-green")
    rules = of_kind(template, "AWS::Events::Rule").values()
    # THEN failures, and a return to another configuration, go to the topic that alarms go to
    assert {target["Arn"]["Ref"] for rule in rules for target in rule["Targets"]} == {
        output(template, "AlarmTopicArn")["Ref"]
    }
    statuses = {status for rule in rules for status in rule["EventPattern"]["detail"]["EndpointStatus"]}
    assert statuses == {"FAILED", "ROLLING_BACK", "UPDATE_ROLLBACK_FAILED", "IN_SERVICE"}
    # AND the rules are there before the endpoint is updated
    (endpoint,) = (one for one in template["Resources"].values() if one["Type"] == ENDPOINT)
    assert set(of_kind(template, "AWS::Events::Rule")) <= set(endpoint["DependsOn"])


@pytest.mark.parametrize(
    ("pattern", "settings", "words"),
    [
        ("multi-container", {"containers": "{}"}, ["multi-container.containers = '0 containers'", "2 to 15"]),
        (
            "multi-container",
            {"containers.similarity": "null", "containers.summarization": "null"},
            ["multi-container.containers = '1 container'", "add one; realtime is for one alone"],
        ),
        (
            "inference-pipeline",
            {f"containers.stage-{number}": MODEL for number in range(13)},
            ["inference-pipeline.containers = '16 containers'", "keep at most 15"],
        ),
        ("multi-container", {"containers.two words": MODEL}, ["containers.two words", "1 to 63 letters"]),
    ],
)
def test_containers_that_sagemaker_refuses_are_refused_at_their_key(
    changed: Changed, pattern: str, settings: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        changed(pattern, settings)
    for word in ["config/dev.yaml: 1 problem", *words]:
        assert word in str(refused.value)
