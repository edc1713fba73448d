"""Settings of patterns with several containers, variants or versions, and settings on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import load

MODEL = "model: {s3_uri: 's3://bucket/m.tar.gz', framework: xgboost, framework_version: 3.2-0}"
CONFIG = Path(__file__).resolve().parents[2] / "config"


def said(**context: Any) -> str:
    """What is said of the dev configuration with settings given on the command line."""
    given = {
        f"patterns.{path.replace('__', '.').replace('_x_', '-')}": value for path, value in context.items()
    }
    with pytest.raises(InvalidConfiguration) as refused:
        load("dev", CONFIG, given)
    return str(refused.value)


def of(**context: Any) -> dict[str, Any]:
    """The patterns of the dev configuration with settings given on the command line."""
    given = {
        f"patterns.{path.replace('__', '.').replace('_x_', '-')}": value for path, value in context.items()
    }
    return dict(load("dev", CONFIG, given).enabled())


def test_a_setting_on_the_command_line_wins_over_the_file() -> None:
    # GIVEN settings as `cdk deploy -c key=value` passes them: texts
    # WHEN the configuration is read
    patterns = of(
        blue_x_green__version="v3",
        blue_x_green__deployment__bake_seconds="180",
        realtime__scaling="null",
        realtime__model__environment__THREADS='"2"',
        ab_x_test__variants__challenger="null",
    )

    # THEN they are values of their types, null removes, and a section that was not there is made
    assert patterns["blue-green"].version == "v3"
    assert patterns["blue-green"].deployment.bake_seconds == 180
    assert patterns["realtime"].scaling is None
    assert patterns["realtime"].model.environment == {"THREADS": "2"}
    assert list(patterns["ab-test"].variants) == ["champion"]


def test_context_that_is_no_setting_is_left_alone() -> None:
    # GIVEN context of the CDK's own
    context = {"@aws-cdk/core:stackRelativeExports": True, "env": "dev", "availability-zones:x": ["a"]}
    # WHEN the configuration is read THEN it is the file's
    assert load("dev", CONFIG, context) == load("dev", CONFIG)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("patterns.blue-green.verson", "v2", ["patterns.blue-green.verson", "version", "command line"]),
        (
            "patterns.nope.enabled",
            "true",
            ["patterns.nope", "blue-green, inference-pipeline", "command line"],
        ),
        ("patterns.blue-green.deployment.bake_seconds", "soon", ["bake_seconds", "soon", "command line"]),
        ("patterns.realtime.enabled.x", "1", ["patterns.realtime.enabled is True and has no keys"]),
        ("patterns.blue-green.version", "[v2", ["patterns.blue-green.version", "not valid YAML"]),
        ("patterns..version", "v2", ["a part of the path is empty"]),
        ("termination_protection", "maybe", ["termination_protection", "true or false", "command line"]),
    ],
)
def test_a_wrong_setting_on_the_command_line_is_told_as_such(path: str, value: str, words: list[str]) -> None:
    # GIVEN a setting that is wrong WHEN it is given on the command line
    with pytest.raises(InvalidConfiguration) as refused:
        load("dev", CONFIG, {path: value})
    # THEN the message has its path, the rule, and where it came from
    for word in words:
        assert word in str(refused.value), str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"ab_x_test__variants__champion__weight": "-1"},
            ["patterns.ab-test.variants.champion.weight = -1"],
        ),
        (
            {"ab_x_test__variants__champion__weight": "0", "ab_x_test__variants__challenger__weight": "0"},
            ["patterns.ab-test.variants", "above 0"],
        ),
        (
            {"ab_x_test__variants": f"{{bad_name: {{instance_type: ml.m5.large, {MODEL}}}}}"},
            ["patterns.ab-test.variants.bad_name", "bad_name"],
        ),
        ({"ab_x_test__variants": "{}"}, ["patterns.ab-test.variants", "1 to 10"]),
        (
            {"ab_x_test__variants__champion__instance_type": "ml.m5.lrge"},
            ["patterns.ab-test.variants.champion.instance_type", "did you mean ml.m5.large"],
        ),
        (
            {"ab_x_test__shadow": f"{{instance_type: ml.m5.large, {MODEL}}}"},
            ["patterns.ab-test.shadow", "2 production variants"],
        ),
        (
            {
                "ab_x_test__variants__challenger": "null",
                "ab_x_test__shadow": f"{{weight: 80, instance_type: ml.inf1.xlarge, {MODEL}}}",
            },
            ["patterns.ab-test.shadow", "nf1"],
        ),
        (
            {"blue_x_green__version": "v9"},
            ["patterns.blue-green.version = 'v9'", "v1, v2, v3"],
        ),
        (
            {"blue_x_green__deployment__step_instances": "2"},
            ["patterns.blue-green.deployment.step_instances"],
        ),
        (
            {"blue_x_green__endpoint__instance_count": "1"},
            ["patterns.blue-green.deployment.step_instances", "2 instances"],
        ),
        (
            {"blue_x_green__deployment__maximum_execution_timeout_seconds": "700"},
            ["patterns.blue-green.deployment.maximum_execution_timeout_seconds", "720"],
        ),
        (
            {"blue_x_green__deployment__strategy": "linear", "blue_x_green__deployment__step_instances": "2"},
            ["patterns.blue-green.deployment.step_instances"],
        ),
        (
            {"multi_x_container__containers__similarity__framework_version": "9.9"},
            ["patterns.multi-container.containers.similarity", "9.9"],
        ),
        (
            {"multi_x_container__containers__similarity__directry": "x"},
            ["patterns.multi-container.containers.similarity.directry", "did you mean directory"],
        ),
        (
            {"inference_x_pipeline__endpoint__instance_type": "ml.c7g.large"},
            ["patterns.inference-pipeline.endpoint.instance_type"],
        ),
    ],
)
def test_what_the_library_refuses_is_told_at_its_key(settings: dict[str, str], words: list[str]) -> None:
    # GIVEN settings that do not fit together WHEN they are read
    message = said(**settings)
    # THEN the key, the value and the rule are told
    for word in words:
        assert word in message, message


def test_only_the_patterns_that_are_asked_for_are_made() -> None:
    # GIVEN the dev configuration WHEN two patterns, or all, are asked for
    configuration = load("dev", CONFIG)
    # THEN these are made, in the app's order
    assert list(configuration.chosen("blue-green, realtime")) == ["realtime", "blue-green"]
    assert configuration.chosen(None) == dict(configuration.enabled())


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("realtme", ["only = 'realtme'", "did you mean realtime"]),
        ("ab-test", ["only = 'ab-test'", "switch it on"]),
        (" , ", ["names no pattern"]),
    ],
)
def test_a_pattern_that_cannot_be_made_is_refused(only: str, words: list[str]) -> None:
    # GIVEN a configuration without the A/B test
    configuration = load("dev", CONFIG, {"patterns.ab-test.enabled": "false"})
    # WHEN a pattern is asked for that is not enabled, or that does not exist
    with pytest.raises(InvalidConfiguration) as refused:
        configuration.chosen(only)
    # THEN the message says what there is
    for word in words:
        assert word in str(refused.value)
