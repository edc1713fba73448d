"""Definitions of pipelines: what is filled in, what is deployed, and what is passed over."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.pipeline_definition import PipelineDefinition
from tests.unit.pipeline_definitions import CHECK, FILLED, RETRY, ROLE, TEMPLATE, VALUES, put, steps_of


def test_the_committed_template_is_filled_in_and_valid() -> None:
    # GIVEN the template WHEN it got its values THEN no placeholder is left and all values are in their places
    text = json.dumps(FILLED)
    assert "@@" not in text
    assert all(value in text for value in VALUES.values())
    train = next(step for step in FILLED["Steps"] if step["Name"] == "Train")
    assert train["Arguments"]["RoleArn"] == VALUES["TRAINING_ROLE_ARN"]
    assert train["Arguments"]["OutputDataConfig"]["S3OutputPath"] == "s3://data-bucket/models"

    # AND it is otherwise as it was: putting the placeholders back gives the template again
    original = json.loads(TEMPLATE.read_text(encoding="utf-8"))["definition"]
    marks = {name: f"@@{name}@@" for name in VALUES}
    with pytest.raises(InvalidConfiguration):
        PipelineDefinition.from_template(TEMPLATE, {**VALUES, "BUCKETS": "x"})
    assert PipelineDefinition.from_template(TEMPLATE, marks).content == original


def test_placeholders_without_value_and_values_without_placeholder_are_told_at_once() -> None:
    # GIVEN one value too few, one that is misspelt and one that is empty
    values = {**VALUES, "IMGE": VALUES["IMAGE"], "REGION": ""}
    del values["IMAGE"], values["BUCKET"]

    # WHEN the template is read
    with pytest.raises(InvalidConfiguration) as caught:
        PipelineDefinition.from_template(TEMPLATE, values)

    # THEN every one is named, with where it stands and what to do
    text = str(caught.value)
    assert text.startswith("PipelineDefinition of ml_pipeline.json: 4 problems")
    assert "'@@IMAGE@@': every placeholder of the template needs a value. Fix: give IMAGE a value." in text
    assert "Steps[0].Arguments." in text
    assert "'@@BUCKET@@'" in text
    assert "values['IMGE'] = 'IMGE': the template has no such placeholder. Fix: did you mean IMAGE" in text
    assert "values['REGION'] = ''" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "must hold JSON: Expecting property name"),
        ("[1]", "must hold an object with the member definition"),
        ('{"definition": [1]}', "must hold an object with the member definition"),
        ('{"definition": ' + '{"a":' * 200 + "1" + "}" * 200 + "}", "nested at most 100 levels deep"),
        ("[" * 200_000, "must hold"),
        ("\x00", "must hold JSON"),
    ],
)
def test_a_file_that_is_no_template_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "template.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=message) as caught:
        PipelineDefinition.from_template(path, VALUES)
    assert "generate the template again" in str(caught.value)


def test_a_value_is_not_searched_for_placeholders(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    step = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "@@A@@ @@B@@"}}
    path.write_text(json.dumps({"source": "", "definition": {"Steps": [step]}}), encoding="utf-8")
    filled = PipelineDefinition.from_template(path, {"A": "@@B@@", "B": "b"})
    assert filled.content["Steps"][0]["Arguments"]["ErrorMessage"] == "@@B@@ b"


def test_tokens_pass_and_reach_the_template_as_references(stack: cdk.Stack) -> None:
    # GIVEN values that are known at deployment only
    values = {**VALUES, "REGION": stack.region, "TRAINING_ROLE_ARN": cdk.Fn.import_value("training")}

    # WHEN the definition is rendered
    definition = PipelineDefinition.from_template(TEMPLATE, values)
    resolved = stack.resolve(definition.body(stack))

    # THEN they are references, and with texts in their places it is the definition, nulls included
    parts = resolved["Fn::Join"][1]
    assert {"Ref": "AWS::Region"} in parts
    assert {"Fn::ImportValue": "training"} in parts
    stand_ins = {"Ref": VALUES["REGION"], "Fn::ImportValue": VALUES["TRAINING_ROLE_ARN"]}
    text = "".join(part if isinstance(part, str) else stand_ins[next(iter(part))] for part in parts)
    assert json.loads(text) == FILLED
    assert json.loads(text)["MlflowConfig"] is None


def test_a_token_anywhere_is_skipped_by_the_checks(stack: cdk.Stack) -> None:
    # GIVEN tokens where a plain text would be refused
    token = cdk.Fn.import_value("value")
    content = copy.deepcopy(FILLED)
    steps = steps_of(content)
    for path in [
        ("Train", "CacheConfig", "ExpireAfter"),
        ("Train", "DependsOn"),
        ("Evaluate", "PropertyFiles", 0, "OutputName"),
        (*RETRY, "ExceptionType"),
        (*RETRY, "MaxAttempts"),
        (*CHECK, 0, "Type"),
        ("Deploy", "OutputParameters", 0, "OutputType"),
    ]:
        put([token] if path[-1] == "DependsOn" else token, *path)(content, steps)
    put({"Get": token}, *ROLE)(content, steps)
    put(token, 5, "DefaultValue")(content, steps)
    put(token, 0, "Name")(content, steps)
    content["Steps"].append({"Name": token, "Type": token, "DependsOn": ["Unknown"]})
    content["Version"] = token

    # WHEN it is checked THEN nothing is found, not even names that a token may turn out to be
    PipelineDefinition(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


PLACES: list[tuple[Any, ...]] = [ROLE, RETRY, CHECK, ("Train",), ("Deploy",)]
MEMBERS = [
    "Arguments",
    "CacheConfig",
    "Conditions",
    "DependsOn",
    "ExceptionType",
    "Get",
    "Name",
    "OutputParameters",
    "PropertyFiles",
    "RetryPolicies",
    "Type",
]


@given(value=JSON, path=st.sampled_from(PLACES), member=st.sampled_from(MEMBERS))
def test_whatever_is_in_it_the_answer_is_a_definition_or_findings(
    value: Any, path: tuple[Any, ...], member: str
) -> None:
    # GIVEN the valid definition with anything at all in a place that is looked at
    content = copy.deepcopy(FILLED)
    holder: Any = steps_of(content)
    for part in path[:-1]:
        holder = holder[part]
    if isinstance(holder[path[-1]], dict):
        holder[path[-1]][member] = value
    else:
        holder[path[-1]] = {member: value}

    # WHEN it is checked THEN it is either taken or refused with findings
    findings = None
    try:
        definition = PipelineDefinition(content)
    except InvalidConfiguration as error:
        findings = error.findings
    assert all(finding.rule and finding.fix for finding in findings) if findings else definition
