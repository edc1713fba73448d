"""CloudWatch's alarm evaluation, by table."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms import AlarmEvaluator, Point
from sandbox.alarms.evaluator import Rule
from sandbox.alarms.series import Bucket, Series
from sandbox.clock import Clock
from sandbox.store import Params, Scope

HOME, AWAY = Scope("000000000000", "ap-northeast-2"), Scope("000000000000", "us-east-1")
START = 1_800_000_000.0  # a multiple of all periods used here
POLICY = "arn:aws:autoscaling:ap-northeast-2:000000000000:scalingPolicy:1:resource/sagemaker/x:policyName/p"
TOPIC = "arn:aws:sns:ap-northeast-2:000000000000:topic"
LAG = Clock().data_lag
HIGH, LOW = 10.0, 1.0  # around the threshold of 5


class Source:
    """CloudWatch in memory."""

    def __init__(self) -> None:
        self.kept: dict[Scope, dict[str, Params]] = {}
        self.metrics: dict[tuple[Any, ...], list[Point]] = {}
        self.changes: list[tuple[str, str, str]] = []
        self.fired: list[tuple[str, str, str, Scope]] = []
        self.broken = ""

    def alarm(self, name: str = "a", scope: Scope = HOME, **more: Any) -> Params:
        made = {
            "AlarmName": name,
            "Namespace": "N",
            "MetricName": "m",
            "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "StateValue": "INSUFFICIENT_DATA",
            "AlarmActions": [],
            **more,
        }
        self.kept.setdefault(scope, {})[name] = {k: v for k, v in made.items() if v is not None}
        return self.kept[scope][name]

    def publish(
        self, at: float, *values: float, metric: str = "m", scope: Scope = HOME, **dimensions: str
    ) -> None:
        key = (scope, "N", metric, *sorted((dimensions or {"EndpointName": "e"}).items()))
        self.metrics.setdefault(key, []).extend(Point.of_value(at, value) for value in values)

    def scopes(self) -> list[Scope]:
        return list(self.kept)

    def alarms(self, scope: Scope) -> list[Params]:
        return list(self.kept[scope].values())

    def points(
        self, scope: Scope, namespace: str, metric: str, dimensions: Mapping[str, str]
    ) -> Sequence[Point]:
        if metric == self.broken:
            raise RuntimeError("broken")
        return self.metrics.get((scope, namespace, metric, *sorted(dimensions.items())), [])

    def set_state(self, scope: Scope, alarm_name: str, state: str, reason: str) -> None:
        self.kept[scope][alarm_name]["StateValue"] = state
        self.changes.append((alarm_name, state, reason))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def evaluator(source: Source) -> AlarmEvaluator:
    return AlarmEvaluator(source, Clock(), lambda *call: source.fired.append(call))


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


@pytest.mark.parametrize(
    ("statistic", "value"),
    [
        ({"Statistic": "Sum"}, 110.0),
        ({"Statistic": "Average"}, 11.0),
        ({"Statistic": "Minimum"}, 2.0),
        ({"Statistic": "Maximum"}, 20.0),
        ({"Statistic": "SampleCount"}, 10.0),
        ({"Statistic": None, "ExtendedStatistic": "p50"}, 11.0),
        ({"Statistic": None, "ExtendedStatistic": "p90"}, 18.2),
        ({"Statistic": "Average", "ExtendedStatistic": "p100"}, 20.0),
        ({"Statistic": None, "ExtendedStatistic": "p0.5"}, 2.09),
    ],
)
def test_a_statistic_is_that_of_the_period(
    source: Source, evaluator: AlarmEvaluator, statistic: Params, value: float
) -> None:
    # GIVEN the values 2, 4 ... 20 in one period and others outside of it, and two alarms around the statistic
    source.publish(START, *(2.0 * n for n in range(1, 11)))
    source.publish(START - 60, 1000.0)
    source.publish(START + 60, -1000.0)
    below = source.alarm("below", Threshold=value - 1e-6, **statistic)
    above = source.alarm("above", Threshold=value + 1e-6, **statistic)

    # WHEN they are evaluated
    evaluator.evaluate(START + 60 + LAG)

    # THEN exactly one is crossed
    assert (below["StateValue"], above["StateValue"]) == ("ALARM", "OK")


def test_percentiles_need_single_values() -> None:
    # GIVEN a bucket with a statistic set of differing values, and one with a negative value
    mixed, negative = Bucket(), Bucket()
    mixed.add(Point(START, 3, 6.0, 1.0, 3.0))
    negative.add(Point.of_value(START, -1.0))

    # WHEN percentiles are asked for
    # THEN there are none, as on CloudWatch; other statistics there are
    assert mixed.statistic("p99") is negative.statistic("p99") is None
    assert (mixed.statistic("Average"), negative.statistic("Minimum")) == (2.0, -1.0)


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


def test_a_metric_that_comes_a_second_late_does_not_make_an_alarm_flap(
    source: Source, evaluator: AlarmEvaluator
) -> None:
    # GIVEN an alarm that wants data in every minute, and a publisher that is 1.5 s late
    alarm = source.alarm(
        ComparisonOperator="LessThanThreshold", TreatMissingData="breaching", Statistic="Sum"
    )
    for number in range(-5, 1):
        source.publish(START + 60 * number, HIGH)

    # WHEN it is evaluated every half second for three minutes
    for tick in range(360):
        now = START + 60 + tick / 2
        if (now - 1.5) % 60 == 0:
            source.publish(now - 1.5 - 1, HIGH)
        evaluator.evaluate(now)

    # THEN it left its first state once and stayed OK
    assert [state for _, state, _ in source.changes] == ["OK"]
    assert alarm["StateValue"] == "OK"


@pytest.mark.parametrize(
    ("statistic", "operator", "so_far", "at_once"),
    [
        ("Sum", "GreaterThanThreshold", [LOW] * 6, True),
        ("SampleCount", "GreaterThanOrEqualToThreshold", [LOW] * 5, True),
        ("Maximum", "GreaterThanThreshold", [HIGH], True),
        ("Minimum", "LessThanThreshold", [LOW], True),
        ("Sum", "GreaterThanThreshold", [LOW] * 5, False),
        ("Average", "GreaterThanThreshold", [HIGH], False),
        ("Minimum", "GreaterThanThreshold", [HIGH], False),
        ("Sum", "LessThanThreshold", [LOW], False),
        ("Maximum", "LessThanThreshold", [LOW], False),
    ],
)
def test_a_breach_that_nothing_can_undo_counts_at_once(
    source: Source,
    evaluator: AlarmEvaluator,
    statistic: str,
    operator: str,
    so_far: list[float],
    at_once: bool,
) -> None:
    # GIVEN an alarm that is OK for the last minute, and a minute that has just begun
    alarm = source.alarm(Statistic=statistic, ComparisonOperator=operator, StateValue="OK")
    source.publish(START - 60, LOW if operator.startswith("Greater") else HIGH)
    source.publish(START + 1, *so_far)

    # WHEN it is evaluated within that minute
    evaluator.evaluate(START + 2)

    # THEN it fires only where what is still to come cannot matter
    assert alarm["StateValue"] == ("ALARM" if at_once else "OK")


def test_a_sum_with_negative_values_waits(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN a Sum that may still fall
    alarm = source.alarm(Statistic="Sum", StateValue="OK")
    source.publish(START - 60, LOW)
    source.publish(START + 1, 20.0, -1.0)

    # WHEN it is evaluated within the minute, and after it fell
    evaluator.evaluate(START + 2)
    source.publish(START + 3, -19.0)
    evaluator.evaluate(START + 60 + LAG)

    # THEN it never fired
    assert source.changes == []
    assert alarm["StateValue"] == "OK"


def test_an_idle_endpoint_is_noticed(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm for an hour without invocations, and an endpoint that was used for an hour
    alarm = source.alarm(
        ComparisonOperator="LessThanOrEqualToThreshold",
        Threshold=0.0,
        Statistic="Sum",
        Period=3600,
        TreatMissingData="breaching",
    )
    source.publish(START, *[1.0] * 50)

    # WHEN nothing more comes
    evaluator.evaluate(START + 3600 + LAG)
    used = alarm["StateValue"]
    evaluator.evaluate(START + 4 * 3600 + LAG)

    # THEN it fires once the last use has left the evaluation range
    assert (used, alarm["StateValue"]) == ("OK", "ALARM")
    assert source.changes[-1][2].endswith("1 datapoint was unknown, treated as breaching.")


def test_the_first_call_ends_an_idle_alarm_without_waiting_for_the_hour(
    source: Source, evaluator: AlarmEvaluator
) -> None:
    # GIVEN an alarm for eight hours without invocations, which fires for an endpoint that was never called
    alarm = source.alarm(
        ComparisonOperator="LessThanThreshold",
        Threshold=1.0,
        Statistic="Sum",
        Period=3600,
        EvaluationPeriods=8,
        TreatMissingData="breaching",
    )
    evaluator.evaluate(START + 60)
    never_called = alarm["StateValue"]

    # WHEN a call comes within the running hour
    source.publish(START + 61, 1.0)
    evaluator.evaluate(START + 62)

    # THEN the alarm is over: what is still to come cannot undo the call
    assert (never_called, alarm["StateValue"]) == ("ALARM", "OK")


def test_periods_follow_the_clock(source: Source) -> None:
    # GIVEN a clock on which a minute takes a second
    fast = AlarmEvaluator(source, Clock(60.0), lambda *_: None)
    alarm = source.alarm(EvaluationPeriods=3)
    for second in range(3):
        source.publish(START + second + 0.5, HIGH)

    # WHEN three seconds have passed
    fast.evaluate(START + 3 + LAG)

    # THEN three periods have breached
    assert alarm["StateValue"] == "ALARM"


def test_scaling_actions_are_called_at_every_evaluation_in_alarm(
    source: Source, evaluator: AlarmEvaluator
) -> None:
    # GIVEN alarms with a scaling policy and a topic, one of them with actions switched off
    source.alarm("on", AlarmActions=[POLICY, TOPIC])
    source.alarm("off", AlarmActions=[POLICY], ActionsEnabled=False)
    source.publish(START, HIGH)
    source.publish(START + 60, LOW)

    # WHEN they are evaluated twice in ALARM and once after
    for now in (60, 65, 120):
        evaluator.evaluate(START + now + LAG)

    # THEN the policy was called twice; the topic is for the source, which dispatches on changes
    assert source.fired == [(POLICY, "on", "ALARM", HOME)] * 2
    assert [state for name, state, _ in source.changes if name == "on"] == ["ALARM", "OK"]


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


points = st.lists(
    st.tuples(st.integers(0, 599), st.integers(0, 50), st.integers(1, 4)).map(
        lambda p: Point.of_value(START + p[0], float(p[1]), float(p[2]))
    ),
    max_size=60,
)


@given(points, st.lists(st.integers(0, 60), max_size=4), st.sampled_from([10, 60, 0.5]))
def test_a_series_counts_each_point_once_in_whatever_order_they_come(
    published: list[Point], cuts: list[int], period: float
) -> None:
    # GIVEN points in any order, read in several goes
    series = Series(period)
    first, last = int(START // period), int((START + 599) // period)
    for end in [*sorted(cuts), len(published)]:
        series.absorb(published[:end], first)

    # WHEN statistics are asked for
    # THEN they are those of all points of each period
    for number in range(first, last + 1):
        inside = [p for p in published if number * period <= p.timestamp < (number + 1) * period]
        expected = [p.low for p in inside for _ in range(int(p.samples))]
        (total,) = series.values(number, number, "Sum")
        (count,) = series.values(number, number, "SampleCount")
        (median,) = series.values(number, number, "p50")
        if not expected:
            assert total is count is median is None
            continue
        assert (total, count) == (sum(expected), len(expected))
        ordered = sorted(expected)
        middle = (len(ordered) - 1) / 2
        assert median == (ordered[int(middle)] + ordered[-1 - int(middle)]) / 2


def test_a_list_of_points_that_is_made_anew_is_read_anew() -> None:
    # GIVEN a series that has read some points
    series = Series(60)
    kept = [Point.of_value(START + n, 1.0) for n in range(30)]
    series.absorb(kept, int(START // 60))

    # WHEN the older half is forgotten by CloudWatch and new ones come
    kept = kept[15:] + [Point.of_value(START + 40, 1.0)] * 15
    series.absorb(kept, int(START // 60))

    # THEN the count is that of what is there now
    assert series.values(int(START // 60), int(START // 60), "Sum") == [30.0]


def test_evaluations_read_new_points_only(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN 40 alarms with 5,000 points each that have been evaluated
    class Counting(list[Point]):
        reads = 0

        def __getitem__(self, index: Any) -> Any:
            Counting.reads += 1
            return super().__getitem__(index)

    numbers = random.Random(1)
    for n in range(40):
        source.alarm(f"alarm-{n}", Dimensions=[{"Name": "n", "Value": str(n)}], ExtendedStatistic="p99")
        key = (HOME, "N", "m", ("n", str(n)))
        source.metrics[key] = Counting(
            Point.of_value(START + i * 0.05, numbers.random()) for i in range(5_000)
        )
    evaluator.evaluate(START + 300)
    Counting.reads = 0

    # WHEN ten more points come to each and they are evaluated again
    for n in range(40):
        source.publish(START + 300, *[1.0] * 10, n=str(n))
    evaluator.evaluate(START + 301)

    # THEN little more than those points was read
    assert Counting.reads <= 40 * 13


def test_deleted_alarms_leave_nothing_behind(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN an alarm that was evaluated
    source.alarm()
    evaluator.evaluate(time.time())

    # WHEN it is deleted
    source.kept[HOME].clear()
    evaluator.evaluate(time.time())

    # THEN its series are gone
    assert not evaluator._metrics
