"""CloudWatch's alarm evaluation, by table: which data lead to which state."""

from __future__ import annotations

import time

import pytest

from sandbox.alarms import AlarmEvaluator
from sandbox.alarms.evaluator import Rule
from tests.sandbox_api.alarm_source import AWAY, HIGH, HOME, LAG, LOW, START, Source

# the tables of "Configuring how CloudWatch alarms treat missing data": 0 is not breaching, X is, - is missing
MISSING_DATA = [
    # data, M of 3, then the state with missing, ignore, breaching, notBreaching; "=" keeps the state
    ("0-X-X", 3, "OK", "OK", "OK", "OK"),
    ("----0", 3, "OK", "OK", "OK", "OK"),
    ("-----", 3, "INSUFFICIENT_DATA", "=", "ALARM", "OK"),
    ("0XX-X", 3, "ALARM", "ALARM", "ALARM", "ALARM"),
    ("--X--", 3, "ALARM", "=", "ALARM", "OK"),
    ("----X", 3, "=", "=", "ALARM", "OK"),
    ("---X-", 3, "=", "=", "ALARM", "OK"),
    ("0-X-X", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
    ("00X0X", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0-X--", 2, "OK", "OK", "ALARM", "OK"),
    ("----0", 2, "OK", "OK", "ALARM", "OK"),
    ("---X-", 2, "ALARM", "=", "ALARM", "OK"),
    ("----X", 2, "=", "=", "ALARM", "OK"),
    ("XX000", 2, "OK", "OK", "OK", "OK"),
]
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


@pytest.mark.parametrize("current", ["OK", "ALARM", "INSUFFICIENT_DATA"])
@pytest.mark.parametrize(
    ("data", "to_alarm", "treatment", "state"),
    [
        (data, to_alarm, treatment, state)
        for data, to_alarm, *states in MISSING_DATA
        for treatment, state in zip(TREATMENTS, states, strict=True)
    ],
)
def test_missing_data_are_treated_as_the_guide_tells(
    data: str, to_alarm: int, treatment: str, state: str, current: str
) -> None:
    # GIVEN data points of an evaluation range of five periods
    rule = Rule(3, to_alarm, "GreaterThanThreshold", 5.0, treatment)
    values = [{"0": LOW, "X": HIGH, "-": None}[sign] for sign in data]

    # WHEN they are judged
    # THEN the state is that of the guide's table
    assert rule.reads == len(values)
    assert rule.judge(values, current) == (current if state == "=" else state)


@pytest.mark.parametrize(
    ("operator", "value", "state"),
    [
        ("GreaterThanThreshold", 5.0, "OK"),
        ("GreaterThanThreshold", 5.1, "ALARM"),
        ("GreaterThanOrEqualToThreshold", 5.0, "ALARM"),
        ("GreaterThanOrEqualToThreshold", 4.9, "OK"),
        ("LessThanThreshold", 5.0, "OK"),
        ("LessThanThreshold", 4.9, "ALARM"),
        ("LessThanOrEqualToThreshold", 5.0, "ALARM"),
        ("LessThanOrEqualToThreshold", 5.1, "OK"),
    ],
)
def test_values_are_compared_as_named(
    source: Source, evaluator: AlarmEvaluator, operator: str, value: float, state: str
) -> None:
    # GIVEN an alarm and a value near its threshold
    alarm = source.alarm(ComparisonOperator=operator)
    source.publish(START, value)

    # WHEN the period is over
    evaluator.evaluate(START + 60 + LAG)

    # THEN the comparison decides
    assert alarm["StateValue"] == state


def test_only_the_exact_dimensions_count(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm on one variant, and errors of another one, of the endpoint, and elsewhere
    variant = [{"Name": "VariantName", "Value": "a"}, {"Name": "EndpointName", "Value": "e"}]
    alarm = source.alarm(Dimensions=variant, TreatMissingData="notBreaching")
    source.publish(START, HIGH, EndpointName="e", VariantName="b")
    source.publish(START, HIGH, EndpointName="e")
    source.publish(START, HIGH, EndpointName="e", VariantName="a", ContainerName="c")
    source.publish(START, HIGH, EndpointName="e", VariantName="a", scope=AWAY)

    # WHEN it is evaluated before and after an error of its own variant
    evaluator.evaluate(START + 60 + LAG)
    before = alarm["StateValue"]
    source.publish(START + 60, HIGH, EndpointName="e", VariantName="a")
    evaluator.evaluate(START + 120 + LAG)

    # THEN only that one counts
    assert (before, alarm["StateValue"]) == ("OK", "ALARM")


def test_scopes_are_apart(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN alarms of one name in two Regions
    home, away = source.alarm(scope=HOME), source.alarm(scope=AWAY)
    source.publish(START, HIGH, scope=AWAY)
    source.publish(START, LOW, scope=HOME)

    # WHEN they are evaluated
    evaluator.evaluate(START + 60 + LAG)

    # THEN each sees its own Region
    assert (home["StateValue"], away["StateValue"]) == ("OK", "ALARM")


def test_m_of_n_in_a_row_of_minutes(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm of 2 out of 3
    alarm = source.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    states = []

    # WHEN every minute brings a value
    for minute, value in enumerate([LOW, LOW, LOW, HIGH, LOW, HIGH, LOW, LOW, LOW]):
        source.publish(START + 60 * minute + 5, value)
        evaluator.evaluate(START + 60 * (minute + 1) + LAG)
        states.append(alarm["StateValue"])

    # THEN it is in ALARM while two of the last three breach
    assert states == ["OK"] * 5 + ["ALARM"] + ["OK"] * 3


def test_reasons_read_like_those_of_cloudwatch(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm of 2 out of 2
    source.alarm(EvaluationPeriods=2)
    source.publish(START, HIGH)
    source.publish(START + 60, HIGH)

    # WHEN it fires, recovers, and loses its data
    evaluator.evaluate(START + 120 + LAG)
    source.publish(START + 120, LOW)
    evaluator.evaluate(START + 180 + LAG)
    evaluator.evaluate(START + 3600)

    # THEN the reasons say so
    assert [reason for _, _, reason in source.changes] == [
        "Threshold Crossed: 2 out of the last 2 datapoints [10 (15/01/27 08:00:00), 10 (15/01/27 08:01:00)] "
        "were greater than the threshold (5) (minimum 2 datapoints for INSUFFICIENT_DATA -> ALARM "
        "transition).",
        "Threshold Crossed: 1 out of the last 2 datapoints [1 (15/01/27 08:02:00)] was not greater than the "
        "threshold (5) (minimum 1 datapoint for ALARM -> OK transition).",
        "Insufficient Data: 2 datapoints were unknown.",
    ]


def test_an_alarm_may_change_what_it_watches(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm that was evaluated
    alarm = source.alarm(Statistic="Maximum")
    source.publish(START, HIGH, LOW)
    evaluator.evaluate(START + 60 + LAG)
    before = alarm["StateValue"]

    # WHEN it is put again with another statistic, and later with another metric
    alarm["Statistic"] = "Minimum"
    evaluator.evaluate(START + 61 + LAG)
    changed = alarm["StateValue"]
    source.publish(START, HIGH, metric="other")
    alarm["MetricName"] = "other"
    evaluator.evaluate(START + 62 + LAG)

    # THEN the new definition counts
    assert (before, changed, alarm["StateValue"]) == ("ALARM", "OK", "ALARM")


def test_deleted_alarms_leave_nothing_behind(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm that was evaluated
    source.alarm()
    evaluator.evaluate(time.time())

    # WHEN it is deleted
    source.kept[HOME].clear()
    evaluator.evaluate(time.time())

    # THEN its series are gone
    assert not evaluator._metrics
