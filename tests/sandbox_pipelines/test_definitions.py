"""Definitions that are refused, each with what is wrong with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import ServiceError
from sandbox.pipelines.caching import duration
from sandbox.pipelines.conditions import holds
from sandbox.pipelines.definition import check_definition
from sandbox.pipelines.references import BadPath, parse_path, walk
from sandbox.store import Params
from tests.sandbox_api.world import ROLE
from tests.sandbox_pipelines.definitions import (
    Runner,
    at_least,
    condition_step,
    fail_step,
    get,
    join,
    lambda_step,
    parameter,
    processing_step,
    text,
)


def waits(name: str, *others: str) -> Params:
    return fail_step(name, "no", DependsOn=list(others))


def says(name: str, path: str) -> Params:
    return fail_step(name, get(path))


BAD = {
    "cycle by DependsOn": ([waits("A", "C"), waits("B", "A"), waits("C", "B")], "cycle: A -> C -> B -> A"),
    "cycle by reference": ([says("A", "Steps.B.X"), says("B", "Steps.A.X")], "form a cycle"),
    "waits for itself": ([waits("A", "A")], "form a cycle: A -> A"),
    "cycle through a branch": (
        [condition_step("C", at_least(get("Steps.In.X"), 1), yes=[fail_step("In", "x")])],
        "form a cycle",
    ),
    "unknown step": ([waits("A", "Nobody")], "depends on step 'Nobody', which does not exist"),
    "unknown step in a reference": ([says("A", "Steps.Nobody.X")], "refers to step 'Nobody'"),
    "unknown parameter": ([says("A", "Parameters.Nobody")], "parameter 'Nobody', which does not exist"),
    "unknown variable": ([says("A", "Execution.Moon")], "refers to Execution.Moon"),
    "no reference": ([says("A", "Elsewhere.X")], "is no reference"),
    "no path": ([waits("B"), says("A", "Steps.B.X[")], "cannot be read from '['"),
    "same name": ([waits("A"), waits("A")], "the step name 'A' comes twice"),
    "same name in both branches": (
        [condition_step("C", at_least(1, 1), yes=[waits("X")], no=[waits("X")])],
        "the step name 'X' comes twice",
    ),
    "bad name": ([waits("a b")], "a step has the name 'a b'"),
    "no name": ([{"Type": "Fail"}], "a step has the name None"),
    "no step": (["A"], "a step has the name None"),
    "unknown type": ([{"Name": "A", "Type": "Dance", "Arguments": {}}], "the type 'Dance' is unknown"),
    "no arguments": ([{"Name": "A", "Type": "Training"}], "Arguments must be an object"),
    "no message": ([{"Name": "A", "Type": "Fail", "Arguments": {}}], "ErrorMessage is missing"),
    "no function": ([{"Name": "A", "Type": "Lambda"}], "FunctionArn is missing"),
    "output type": ([lambda_step("A", "f", {}, x="List")], "has the type 'List'"),
    "no condition": ([condition_step("C")], "at least one condition"),
    "unknown condition": ([condition_step("C", {"Type": "Like"})], "condition type 'Like' is unknown"),
    "half a condition": ([condition_step("C", {"Type": "Equals"})], "needs LeftValue and RightValue"),
    "cache": ([processing_step("A", CacheConfig={"Enabled": True, "ExpireAfter": "soon"})], "'soon' is no"),
    "retry": (
        [processing_step("A", RetryPolicies=[{"ExceptionType": ["Bad.LUCK"], "MaxAttempts": 99}])],
        "Bad.LUCK is unknown",
    ),
    "retry for too long": (
        [
            processing_step(
                "A",
                RetryPolicies=[{"ExceptionType": "Step.THROTTLING", "MaxAttempts": 2, "ExpireAfterMin": 5}],
            )
        ],
        "exclude each other",
    ),
    "retry of a function": (
        [lambda_step("A", "f") | {"RetryPolicies": [{"ExceptionType": "Step.THROTTLING"}]}],
        "not for steps of type Lambda",
    ),
    "property file": (
        [processing_step("A", PropertyFiles=[{"PropertyFileName": "P", "OutputName": "o", "FilePath": "f"}])],
        "in the output 'o', which the step does not have",
    ),
    "property file of another step": (
        [
            processing_step("A"),
            fail_step(
                "B",
                {"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.P"), "Path": "x"}},
            ),
        ],
        "refers to property file",
    ),
    "join": ([fail_step("A", {"Std:Join": {"On": "-"}})], "Std:Join must be"),
}


@pytest.mark.parametrize(("steps", "words"), BAD.values(), ids=BAD)
def test_a_bad_definition_is_refused_with_the_reason(steps: list[Any], words: str) -> None:
    # GIVEN a definition with a mistake
    # WHEN it is read
    with pytest.raises(ServiceError) as caught:
        check_definition(text(steps))

    # THEN the service's error says what and where
    assert caught.value.code == "ValidationException"
    assert caught.value.message.startswith("Unable to parse pipeline definition. ")
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ([parameter("P", "Integer", "1")], "the default '1' of parameter 'P' is of type str"),
        ([parameter("P", "Float", True)], "is of type bool"),
        ([parameter("P", "Integer", 1.5)], "is of type float"),
        ([parameter("P", "List")], "unknown type 'List'"),
        ([parameter("P"), parameter("P")], "the parameter name 'P' comes twice"),
        ([parameter("P", default="x" * 4097)], "4096 are allowed"),
        ([{"Name": "P", "Type": "String", "DefaultValue": "a", "EnumValues": ["b"]}], "none of its values"),
        (["P"], "a parameter has the name None"),
    ],
)
def test_a_bad_parameter_is_refused(declared: list[Any], words: str) -> None:
    # GIVEN a definition with a bad parameter, WHEN it is read, THEN the reason is told
    with pytest.raises(ServiceError, match="Unable to parse pipeline definition") as caught:
        check_definition(text([], declared))
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, ""),
        ({"ExperimentName": get("Execution.PipelineName"), "TrialName": get("Parameters.P")}, ""),
        ("mine", "PipelineExperimentConfig must be an object or null"),
        ({"TrialName": get("Execution.Trial")}, "PipelineExperimentConfig refers to Execution.Trial"),
        ({"TrialName": get("Parameters.Q")}, "PipelineExperimentConfig refers to parameter 'Q'"),
        ({"TrialName": get("Steps.A.X")}, "PipelineExperimentConfig refers to step 'A'"),
        ({"TrialName": get("somewhere")}, "PipelineExperimentConfig: 'somewhere' is no reference"),
    ],
)
def test_an_experiment_is_named_rightly_or_not_wanted(config: Any, words: str) -> None:
    # GIVEN a definition with an experiment, or null for none
    content = json.loads(text([waits("A")], [parameter("P")])) | {"PipelineExperimentConfig": config}

    # WHEN it is read, THEN it is taken, or the mistake told
    if not words:
        assert set(check_definition(json.dumps(content)).steps) == {"A"}
        return
    with pytest.raises(ServiceError, match="Unable to parse pipeline definition") as caught:
        check_definition(json.dumps(content))
    assert words in caught.value.message


def test_create_and_update_refuse_with_all_findings(
    sagemaker: Any, runner: Runner, refused: Callable[..., tuple[str, str]]
) -> None:
    # GIVEN a pipeline, and a definition with three mistakes
    runner.create("P", [waits("A")])
    bad = text([waits("A", "B"), {"Name": "C", "Type": "Dance", "Arguments": {}}], [parameter("P", "X")])

    # WHEN it is sent
    refusals = [
        refused(sagemaker.create_pipeline, PipelineName="Q", PipelineDefinition=bad, RoleArn=ROLE),
        refused(sagemaker.update_pipeline, PipelineName="P", PipelineDefinition=bad),
    ]

    # THEN both tell all of them, and nothing changed
    for code, message in refusals:
        assert code == "ValidationException"
        for words in ("'B'", "'Dance'", "unknown type 'X'"):
            assert words in message
    shown = sagemaker.describe_pipeline(PipelineName="P")["PipelineDefinition"]
    assert json.loads(shown)["Steps"] == [waits("A")]
    assert len(sagemaker.list_pipelines()["PipelineSummaries"]) == 1


def test_a_definition_nested_without_end_is_refused() -> None:
    # GIVEN references in references
    value: Any = "x"
    for _ in range(200):
        value = join(value)

    # WHEN it is read, THEN that is an answer of the service, too
    with pytest.raises(ServiceError, match="nested deeper"):
        check_definition(text([fail_step("A", value)]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Name",
                    "Type",
                    "Arguments",
                    "Steps",
                    "Get",
                    "Std:Join",
                    "Std:JsonGet",
                    "Conditions",
                    "IfSteps",
                    "DependsOn",
                    "CacheConfig",
                    "RetryPolicies",
                    "PropertyFiles",
                    "Parameters",
                    "OutputParameters",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
STEPS = st.lists(
    st.fixed_dictionaries(
        {"Name": st.sampled_from(["A", "B"]), "Type": st.sampled_from(["Lambda", "Condition", "Processing"])},
        optional={
            "Arguments": JSON,
            "DependsOn": JSON,
            "CacheConfig": JSON,
            "RetryPolicies": JSON,
            "PropertyFiles": JSON,
            "OutputParameters": JSON,
            "FunctionArn": JSON,
        },
    )
    | JSON,
    max_size=3,
)


@settings(max_examples=50, deadline=None)
@given(content=st.fixed_dictionaries({"Steps": STEPS}, optional={"Parameters": JSON, "Version": JSON}) | JSON)
def test_no_definition_breaks_the_reader(content: Any) -> None:
    # GIVEN any JSON, WHEN it is read, THEN it is taken or refused in the service's words
    with contextlib.suppress(ServiceError):
        check_definition(json.dumps(content))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P30D", timedelta(days=30)),
        ("PT1H", timedelta(hours=1)),
        ("30d", timedelta(days=30)),
        ("T16m", timedelta(minutes=16)),
        ("P1Y2M3W4DT5H6M7S", timedelta(days=365 + 60 + 21 + 4, hours=5, minutes=6, seconds=7)),
    ],
)
def test_durations_are_read(text: str, expected: timedelta) -> None:
    # GIVEN a duration of the documentation, WHEN it is read, THEN it is as long as it says
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "P", "PT", "T", "1 day", "P1.5D", "-P1D", None, 3])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    # GIVEN no duration, WHEN it is read, THEN it is refused
    with pytest.raises(ValueError, match="is no ISO 8601 duration"):
        duration(text)


def test_paths_find_by_key_position_and_name() -> None:
    # GIVEN a document
    content = {
        "a": {"b-c": [{"OutputName": "x", "v": 1}, {"MetricName": "y", "v": 2}]},
        "dotted.key": 3,
        "n": None,
    }

    # WHEN paths lead to something, THEN it is found
    for path, expected in (
        ("a.b-c[0].v", 1),
        ("a.b-c['y'].v", 2),
        ('a["b-c"][1].v', 2),
        ("['dotted.key']", 3),
        ("n", None),
    ):
        assert walk(content, parse_path(path)) == expected
    # AND when they do not, it is said
    for path in ("a.x", "a.b-c[7]", "a.b-c['z']", "n.x", "a.b-c.v"):
        with pytest.raises(LookupError):
            walk(content, parse_path(path))
    for path in ("a..b", "a[", "a[x]", "a b"):
        with pytest.raises(BadPath):
            parse_path(path)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Type": "Equals", "LeftValue": 1, "RightValue": 1.0}, True),
        ({"Type": "Equals", "LeftValue": True, "RightValue": 1}, False),
        ({"Type": "NotEquals", "LeftValue": "a", "RightValue": "b"}, True),
        ({"Type": "GreaterThan", "LeftValue": 1, "RightValue": 1}, False),
        ({"Type": "GreaterThanOrEqualTo", "LeftValue": 1, "RightValue": 1}, True),
        ({"Type": "LessThan", "LeftValue": "a", "RightValue": "b"}, True),
        ({"Type": "LessThanOrEqualTo", "LeftValue": 2, "RightValue": 1}, False),
        ({"Type": "In", "QueryValue": "a", "Values": ["a", "b"]}, True),
        ({"Type": "NotIn", "Value": "a", "In": ["a", "b"]}, False),
        ({"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}, False),
        (
            {
                "Type": "Or",
                "Conditions": [
                    {"Type": "Equals", "LeftValue": 1, "RightValue": 2},
                    {"Type": "LessThan", "LeftValue": 1, "RightValue": 2},
                ],
            },
            True,
        ),
    ],
)
def test_conditions_decide(condition: Params, expected: bool) -> None:
    # GIVEN a condition, WHEN it is asked, THEN it decides
    assert holds(condition) is expected
