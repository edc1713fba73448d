"""Definitions of pipelines: what is filled in, what is refused with which words, and what is deployed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.pipeline_definition import MAX_BODY_LENGTH, PipelineDefinition

TEMPLATE = Path(__file__).resolve().parents[2] / "stacks" / "ml_pipeline.json"
VALUES = {
    "BUCKET": "data-bucket",
    "CODE_VERSION": "0123abcd",
    "IMAGE": "111122223333.dkr.ecr.us-east-1.amazonaws.com/image:1",
    "MODEL_PACKAGE_GROUP": "sentiment",
    "TRAINING_ROLE_ARN": "arn:aws:iam::111122223333:role/training",
    "PROCESSING_ROLE_ARN": "arn:aws:iam::111122223333:role/processing",
    "DEPLOY_FUNCTION_ARN": "arn:aws:lambda:us-east-1:111122223333:function:deploy",
    "REGION": "us-east-1",
}
FILLED = dict(PipelineDefinition.from_template(TEMPLATE, VALUES).content)

Change = Callable[[Any, Any], object]


def refused(content: Any) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        PipelineDefinition(content)
    return [str(finding) for finding in caught.value.findings]


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


def steps_of(content: Any) -> dict[str, Any]:
    """All steps by name, those of the branches included."""
    found = {step["Name"]: step for step in content["Steps"]}
    branches = found["CheckAccuracy"]["Arguments"]
    return found | {step["Name"]: step for step in [*branches["IfSteps"], *branches["ElseSteps"]]}


def put(value: Any, *path: Any) -> Change:
    """Put a value into a step, or with an int first, into a parameter; None takes the member away."""

    def change(content: Any, steps: Any) -> None:
        holder = content["Parameters"] if isinstance(path[0], int) else steps
        for part in path[:-1]:
            holder = holder[part]
        if value is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = value

    return change


def top(**members: Any) -> Change:
    return lambda content, _: content.update(members)


RETRY = ("Train", "RetryPolicies", 0)
CHECK = ("CheckAccuracy", "Arguments", "Conditions")
LEFT = (*CHECK, 0, "LeftValue", "Std:JsonGet")
ROLE = ("Train", "Arguments", "RoleArn")

OFFENDERS: dict[str, tuple[Change, str]] = {
    "version": (top(Version="2019-01-01"), "Version = '2019-01-01': must be 2020-12-01"),
    "no steps": (top(Steps=[]), "Steps = []: must be a list of at least one step"),
    "steps no list": (top(Steps={"Name": "x"}), "Steps = {'Name': 'x'}: must be a list of at least one step"),
    "a step no object": (
        lambda content, _: content["Steps"].append("Train"),
        "Steps[4] = 'Train': must be an object",
    ),
    "parameters no list": (
        lambda content, _: content.update(Parameters=[*content["Parameters"], 5]),
        "Parameters[10] = 5: must be an object",
    ),
    "step name": (
        lambda content, _: content["Steps"].append({"Name": "Two words", "Type": "Fail"}),
        "Steps[4].Name = 'Two words': a name has 1 to 64 letters",
    ),
    "step name missing": (
        lambda content, _: content["Steps"].append({"Type": "Fail"}),
        "Steps[4].Name = None: a name has 1 to 64 letters",
    ),
    "step name long": (
        lambda content, _: content["Steps"].append({"Name": "x" * 65, "Type": "Fail"}),
        "': a name has 1 to 64 letters",
    ),
    "step name twice": (
        lambda content, steps: content["Steps"].append(copy.deepcopy(steps["Train"])),
        "Steps[4].Name = 'Train': no two steps have the same name",
    ),
    "step in both branches": (
        lambda _, steps: steps["CheckAccuracy"]["Arguments"]["ElseSteps"].append(
            copy.deepcopy(steps["Deploy"])
        ),
        "Steps.CheckAccuracy.Arguments.ElseSteps[1].Name = 'Deploy': a step is in one branch of a condition "
        "only (developer guide, condition step). Fix: give the other branch a step of another name.",
    ),
    "branch no list": (
        put("Deploy", "CheckAccuracy", "Arguments", "ElseSteps"),
        "Steps.CheckAccuracy.Arguments.ElseSteps = 'Deploy': must be a list",
    ),
    "nested condition": (
        lambda _, steps: steps["CheckAccuracy"]["Arguments"]["IfSteps"].append(
            {"Name": "Inner", "Type": "Condition", "Arguments": {"Conditions": steps_conditions(steps)}}
        ),
        "Steps.Inner = 'in CheckAccuracy.IfSteps': a condition step cannot be in a branch of another",
    ),
    "step type": (
        put("Trainig", "Train", "Type"),
        "Steps.Train.Type = 'Trainig': must be a type of step (pipeline definition schema, API shape "
        "PipelineExecutionStepMetadata). Fix: did you mean Training",
    ),
    "step type missing": (put(None, "Train", "Type"), "Steps.Train.Type = None: must be a type of step"),
    "arguments missing": (
        put("x", "Train", "Arguments"),
        "Steps.Train.Arguments = 'x': a step of type Training has Arguments",
    ),
    "no function": (put(None, "Deploy", "FunctionArn"), "Steps.Deploy.FunctionArn = None: must be given"),
    "no queue": (
        lambda content, _: content["Steps"].append({"Name": "Ask", "Type": "Callback"}),
        "Steps.Ask.SqsQueueUrl = None: must be given",
    ),
    "no message": (
        put({}, "AccuracyTooLow", "Arguments"),
        "Steps.AccuracyTooLow.Arguments.ErrorMessage = None: must be given",
    ),
    "nested function argument": (
        put({"a": [1]}, "Deploy", "Arguments", "model_package_arn"),
        "Steps.Deploy.Arguments.model_package_arn = {'a': [1]}: the arguments of a Lambda step are strings",
    ),
    "output type": (
        put("Text", "Deploy", "OutputParameters", 0, "OutputType"),
        "Steps.Deploy.OutputParameters[0].OutputType = 'Text': must be a type of value",
    ),
    "output name": (
        put(None, "Deploy", "OutputParameters", 0, "OutputName"),
        "Steps.Deploy.OutputParameters[0].OutputName = None: must be given",
    ),
    "no condition": (put([], *CHECK), "Steps.CheckAccuracy.Arguments.Conditions = []: must be a list of at"),
    "condition type": (
        put("Greater", *CHECK, 0, "Type"),
        "Steps.CheckAccuracy.Arguments.Conditions[0].Type = 'Greater': must be a type of condition (pipeline "
        "definition schema). Fix: did you mean GreaterThan",
    ),
    "condition value": (
        put(None, *CHECK, 0, "RightValue"),
        "Conditions[0].RightValue = None: a condition of type GreaterThanOrEqualTo has LeftValue and RightV",
    ),
    "condition within": (
        put(
            [{"Type": "Or", "Conditions": [{"Type": "Not", "Condition": {"Type": "In", "Value": 1}}]}], *CHECK
        ),
        "Conditions[0].Conditions[0].Condition.Values = None: a condition of type In has Query",
    ),
    "unknown parameter": (
        put({"Get": "Parameters.AccuracyTreshold"}, *CHECK, 0, "RightValue"),
        "Steps.CheckAccuracy.Arguments.Conditions[0].RightValue = 'Parameters.AccuracyTreshold': "
        "refers to a parameter that the definition does not have. Fix: did you mean AccuracyThreshold",
    ),
    "unknown step": (
        put({"Get": "Steps.Trian.ModelArtifacts"}, *ROLE),
        "Steps.Train.Arguments.RoleArn = 'Steps.Trian.ModelArtifacts': refers to a step that the definition "
        "does not have. Fix: did you mean Train",
    ),
    "unknown step before": (
        put(["Prepare", 5], "Train", "DependsOn"),
        "Steps.Train.DependsOn[1] = 5: refers to a step that the definition does not have",
    ),
    "depends no list": (
        put("Preprocess", "Train", "DependsOn"),
        "Steps.Train.DependsOn = 'Preprocess': must be a list",
    ),
    "unknown variable": (
        put({"Std:Join": {"On": "", "Values": ["x", {"Get": "Execution.Name"}]}}, *ROLE),
        "Steps.Train.Arguments.RoleArn.Std:Join.Values[1] = 'Execution.Name': refers to a variable",
    ),
    "unknown variable of the experiment": (
        top(PipelineExperimentConfig={"TrialName": {"Get": "Execution.Trial"}}),
        "PipelineExperimentConfig.TrialName = 'Execution.Trial': refers to a variable",
    ),
    "unknown property file": (
        put({"Get": "Steps.Evaluate.PropertyFiles.Evaluations"}, *LEFT, "PropertyFile"),
        "'Steps.Evaluate.PropertyFiles.Evaluations': refers to a property file that step Evaluate does not "
        "have. Fix: did you mean Evaluation",
    ),
    "property file of a step without": (
        put({"Get": "Steps.Train.PropertyFiles['Evaluation']"}, *LEFT, "PropertyFile"),
        "refers to a property file that step Train does not have. Fix: give the step a property file of this",
    ),
    "unknown output parameter": (
        put({"Get": "Steps.Deploy.OutputParameters['name']"}, "AccuracyTooLow", "Arguments", "ErrorMessage"),
        "refers to an output parameter that step Deploy does not have. Fix: use one of endpoint_name, status",
    ),
    "nothing of a step": (
        put({"Get": "Steps.Preprocess"}, *ROLE),
        "'Steps.Preprocess': refers to a step, but to nothing of it",
    ),
    "no reference": (
        put({"Get": "Step.Train.X"}, *ROLE),
        "Steps.Train.Arguments.RoleArn = 'Step.Train.X': a reference begins with Parameters., Steps. or Exec",
    ),
    "cycle by DependsOn": (
        put(["Evaluate"], "Preprocess", "DependsOn"),
        "each of these steps waits for the one before, so that none can begin",
    ),
    "cycle by reference": (
        put({"Get": "Steps.Train.TrainingJobName"}, *ROLE),
        "Steps = 'Train -> Train': each of these steps waits for the one before",
    ),
    "cycle through a branch": (
        put(["Register"], "CheckAccuracy", "DependsOn"),
        "each of these steps waits for the one before",
    ),
    "parameter name": (put("a.b", 0, "Name"), "Parameters[0].Name = 'a.b': a name has 1 to 64 letters"),
    "parameter twice": (
        put("L2", 0, "Name"),
        "Parameters[8].Name = 'L2': no two parameters have the same na",
    ),
    "parameter type": (
        put("Int", 5, "Type"),
        "Parameters.Epochs.Type = 'Int': must be a type of parameter",
    ),
    "default of another type": (
        put("four", 5, "DefaultValue"),
        "Parameters.Epochs.DefaultValue = 'four': must be of the parameter's type, Integer (pipeline "
        "definition schema). Fix: give a value of type Integer, or correct the type.",
    ),
    "truth value as number": (put(True, 5, "DefaultValue"), "Parameters.Epochs.DefaultValue = True: must be"),
    "truth value as float": (put(True, 3, "DefaultValue"), "AccuracyThreshold.DefaultValue = True: must be"),
    "number as text": (
        put(1, 0, "DefaultValue"),
        "Parameters.InputData.DefaultValue = 1: must be of the para",
    ),
    "default too long": (
        put("x" * 4097, 0, "DefaultValue"),
        "Parameters.InputData.DefaultValue = '4097 characters': must have at most 4096 characters",
    ),
    "default no choice": (
        put(["small", "large"], 0, "EnumValues"),
        "Parameters.InputData.DefaultValue = 'reviews': must be one of the parameter's EnumValues",
    ),
    "choice of another type": (
        put([1], 0, "EnumValues"),
        "Parameters.InputData.EnumValues[0] = 1: must be of the parameter's type, String",
    ),
    "too many parameters": (
        lambda content, _: content["Parameters"].extend({"Name": f"p{index}"} for index in range(191)),
        "Parameters = '201 parameters': at most 200 (API shape ParameterList)",
    ),
    "cache no object": (
        put("P30D", "Train", "CacheConfig"),
        "Steps.Train.CacheConfig = 'P30D': must be an ob",
    ),
    "cache enabled": (
        put("yes", "Train", "CacheConfig", "Enabled"),
        "Steps.Train.CacheConfig.Enabled = 'yes': must be true or false",
    ),
    **{
        f"cache expires {value}": (
            put(value, "Train", "CacheConfig", "ExpireAfter"),
            f"Steps.Train.CacheConfig.ExpireAfter = {value!r}: must be an ISO 8601 duration (developer "
            "guide, caching pipeline steps). Fix: give for example P30D for 30 days or PT1H for an hour.",
        )
        for value in ("P", "", "PT", "P1DT", "30 days", "P-1D", "1H", "P1.5D", 30)
    },
    "attempts": (
        put(21, *RETRY, "MaxAttempts"),
        "Steps.Train.RetryPolicies[0].MaxAttempts = 21: must be a whole number from 1 to 20",
    ),
    "no attempts": (put(0, *RETRY, "MaxAttempts"), "RetryPolicies[0].MaxAttempts = 0: must be a whole numb"),
    "interval": (
        put(43201, *RETRY, "IntervalSeconds"),
        "RetryPolicies[0].IntervalSeconds = 43201: must be a whole number from 1 to 43200",
    ),
    "backoff": (
        put(0.5, *RETRY, "BackoffRate"),
        "RetryPolicies[0].BackoffRate = 0.5: must be a finite number",
    ),
    "retry expiry": (
        lambda _, steps: steps["Train"].update(
            RetryPolicies=[{"ExceptionType": "Step.THROTTLING", "ExpireAfterMin": 14401}]
        ),
        "RetryPolicies[0].ExpireAfterMin = 14401: must be a whole number from 1 to 14400",
    ),
    "attempts and expiry": (
        put(10, *RETRY, "ExpireAfterMin"),
        "RetryPolicies[0] = {'MaxAttempts': 3, 'ExpireAfterMin': 10}: MaxAttempts and ExpireAfterMin exclude",
    ),
    "exception": (
        put(["Step.FAULT"], *RETRY, "ExceptionType"),
        "RetryPolicies[0].ExceptionType = 'Step.FAULT': must be a type of exception (developer guide, retry "
        "policy for pipeline steps). Fix: did you mean Step.SERVICE_FAULT",
    ),
    "no exception": (put([], *RETRY, "ExceptionType"), "RetryPolicies[0].ExceptionType = []: must be a type"),
    "retried Lambda": (
        put([{"ExceptionType": "Step.THROTTLING"}], "Deploy", "RetryPolicies"),
        "Steps.Deploy.RetryPolicies = '1 for a step of type Lambda': only steps of types",
    ),
    "retries no list": (put({}, "Train", "RetryPolicies"), "Steps.Train.RetryPolicies = {}: must be a list"),
    "property file of another output": (
        put("evaluations", "Evaluate", "PropertyFiles", 0, "OutputName"),
        "Steps.Evaluate.PropertyFiles[0].OutputName = 'evaluations': must be an output of the step's "
        "ProcessingOutputConfig (developer guide, property files). Fix: did you mean evaluation",
    ),
    "property file without path": (
        put(None, "Evaluate", "PropertyFiles", 0, "FilePath"),
        "Steps.Evaluate.PropertyFiles[0].FilePath = None: must be given",
    ),
    "property file of a training": (
        lambda _, steps: steps["Train"].update(PropertyFiles=steps["Evaluate"]["PropertyFiles"]),
        "Steps.Train.PropertyFiles = ['Evaluation']: only a step of type Processing has property files",
    ),
    "property file twice": (
        lambda _, steps: steps["Evaluate"]["PropertyFiles"].append(steps["Evaluate"]["PropertyFiles"][0]),
        "Steps.Evaluate.PropertyFiles[1].PropertyFileName = 'Evaluation': no two property files",
    ),
    "no number": (put(float("nan"), 3, "DefaultValue"), "Parameters[3].DefaultValue = nan: must be a finite"),
    "infinite": (put(float("inf"), 3, "DefaultValue"), "Parameters[3].DefaultValue = inf: must be a finite"),
    "too large": (
        put(2**53, 9, "DefaultValue"),
        "Parameters[9].DefaultValue = 9007199254740992: must be a f",
    ),
    "body too long": (
        top(Metadata={"note": "x" * MAX_BODY_LENGTH}),
        "must have at most 1048576 characters (API shape PipelineDefinition)",
    ),
}


def steps_conditions(steps: Any) -> Any:
    return copy.deepcopy(steps["CheckAccuracy"]["Arguments"]["Conditions"])


@pytest.mark.parametrize(("change", "message"), OFFENDERS.values(), ids=list(OFFENDERS))
def test_what_is_wrong_is_refused_with_its_place_the_rule_and_a_fix(change: Change, message: str) -> None:
    # GIVEN the valid definition with one thing changed
    content = copy.deepcopy(FILLED)
    change(content, steps_of(content))

    # WHEN it is checked THEN a finding names the place, the value, the rule and a fix
    findings = refused(content)
    assert any(message in finding for finding in findings), "\n".join(findings)
    assert all(". Fix: " in finding for finding in findings)


def test_all_findings_come_at_once() -> None:
    # GIVEN a definition with a mistake of every kind that leaves the others visible
    content = copy.deepcopy(FILLED)
    names = (
        "version",
        "cache enabled",
        "attempts",
        "unknown parameter",
        "cycle by DependsOn",
        "parameter type",
    )
    for name in names:
        OFFENDERS[name][0](content, steps_of(content))

    # WHEN it is checked THEN there is one finding for each
    findings = refused(content)
    assert len(findings) == len(names)
    assert all(any(OFFENDERS[name][1] in finding for finding in findings) for name in names)


def test_a_cycle_is_shown_in_the_order_of_waiting_and_every_cycle_once() -> None:
    # GIVEN two pairs of steps that wait for each other, and one that waits for such a pair
    waits = {"A": "B", "B": "A", "C": "D", "D": "C", "E": "A"}
    steps = [
        {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": "x"}, "DependsOn": [before]}
        for name, before in waits.items()
    ]
    # WHEN checked THEN there are two findings, and none about the waiting one
    findings = refused({"Steps": steps})
    assert len(findings) == 2
    assert {tuple(sorted(set(finding.split("'")[1].split(" -> ")))) for finding in findings} == {
        ("A", "B"),
        ("C", "D"),
    }


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
