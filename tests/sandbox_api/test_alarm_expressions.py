"""Alarms on metric math, and alarms that cannot be evaluated."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.alarms import AlarmEvaluator
from sandbox.store import Params
from tests.sandbox_api.alarm_source import HIGH, LAG, START, Source


def rate_alarm(source: Source, expression: str, **more: Any) -> Params:
    def stat(name: str) -> Params:
        metric = {
            "Namespace": "N",
            "MetricName": name,
            "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
        }
        return {
            "Id": name,
            "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        }

    queries = [stat("errors"), stat("calls"), {"Id": "rate", "Expression": expression, "ReturnData": True}]
    return source.alarm(Metrics=queries, MetricName=None, Namespace=None, Statistic=None, **more)


@pytest.mark.parametrize(
    ("expression", "errors", "calls", "state"),
    [
        ("100 * errors / calls", 6, 100, "ALARM"),
        ("100 * errors / calls", 5, 100, "OK"),
        ("100 * errors / FILL(calls, 1)", 0, None, "OK"),
        ("IF(calls > 10, 100 * errors / calls, 0)", 5, 5, "OK"),
        ("SUM(METRICS())", 3, 3, "ALARM"),
    ],
)
def test_metric_math_is_evaluated_per_period(
    source: Source, evaluator: AlarmEvaluator, expression: str, errors: int, calls: int | None, state: str
) -> None:
    # GIVEN an alarm on an expression over two metrics
    alarm = rate_alarm(source, expression)
    source.publish(START, float(errors), metric="errors")
    if calls is not None:
        source.publish(START, float(calls), metric="calls")

    # WHEN the period is over
    evaluator.evaluate(START + 60 + LAG)

    # THEN the expression decides
    assert alarm["StateValue"] == state


def test_expressions_may_build_on_one_another(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an expression over another one, in any order
    alarm = rate_alarm(source, "100 * share")
    alarm["Metrics"].append({"Id": "share", "Expression": "errors / calls", "ReturnData": False})
    source.publish(START, 6.0, metric="errors")
    source.publish(START, 100.0, metric="calls")

    # WHEN it is evaluated
    evaluator.evaluate(START + 60 + LAG)

    # THEN it is computed
    assert alarm["StateValue"] == "ALARM"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Metrics": [{"Id": "e", "Expression": "e + 1"}]}, "refer to each other"),
        ({"Metrics": [{"Id": "e", "Expression": "SEARCH('x')"}]}, "SEARCH with 1 arguments is not known"),
        (
            {"Metrics": [{"Id": "e", "Expression": "nobody * 2"}]},
            "no metric or expression has the id 'nobody'",
        ),
        ({"Metrics": [{"Id": "a", "Expression": "1"}, {"Id": "b", "Expression": "2"}]}, "exactly one query"),
        ({"Metrics": [{"Id": "a"}]}, "has neither MetricStat nor Expression"),
        ({"ExtendedStatistic": "tm99"}, "does not compute the statistic 'tm99'"),
        ({"MetricName": None}, "the alarm names no metric"),
        (
            {"ComparisonOperator": "LessThanLowerThreshold"},
            "does not evaluate alarms with ComparisonOperator",
        ),
        (
            {"Threshold": None, "ComparisonOperator": "GreaterThanUpperThreshold"},
            "does not evaluate alarms with",
        ),
    ],
)
def test_an_alarm_that_cannot_be_evaluated_says_so_once_and_harms_no_other(
    source: Source,
    evaluator: AlarmEvaluator,
    caplog: pytest.LogCaptureFixture,
    changes: Params,
    words: str,
) -> None:
    # GIVEN an alarm beyond the evaluation's means, and a common one
    odd, common = source.alarm("odd", StateValue="OK", **changes), source.alarm("zz-common")
    source.publish(START, HIGH)

    # WHEN both are evaluated twice
    evaluator.evaluate(START + 60 + LAG)
    evaluator.evaluate(START + 61 + LAG)

    # THEN the odd one has insufficient data and a reason, told once
    assert (odd["StateValue"], common["StateValue"]) == ("INSUFFICIENT_DATA", "ALARM")
    (reason,) = (reason for name, _, reason in source.changes if name == "odd")
    assert words in reason
    assert len(caplog.records) == 1


def test_a_fault_of_ours_in_one_alarm_harms_no_other(
    source: Source, evaluator: AlarmEvaluator, caplog: pytest.LogCaptureFixture
) -> None:
    # GIVEN a metric that cannot be read
    source.broken = "cursed"
    source.alarm("a", MetricName="cursed")
    common = source.alarm("b")
    source.publish(START, HIGH)

    # WHEN all are evaluated
    evaluator.evaluate(START + 60 + LAG)

    # THEN the other is in its state, and the log knows
    assert common["StateValue"] == "ALARM"
    assert "alarm a could not be evaluated" in caplog.text
