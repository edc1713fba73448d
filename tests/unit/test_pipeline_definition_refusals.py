"""Definitions of pipelines that are refused: each rule, with the place, the words and the fix."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sagemaker_serving.pipeline_definition import MAX_BODY_LENGTH
from tests.unit.pipeline_definitions import (
    CHECK,
    FILLED,
    LEFT,
    RETRY,
    ROLE,
    Change,
    put,
    refused,
    steps_of,
    top,
)


def steps_conditions(steps: Any) -> Any:
    return copy.deepcopy(steps["CheckAccuracy"]["Arguments"]["Conditions"])


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
