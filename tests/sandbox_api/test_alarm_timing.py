"""When alarms are judged: late data, the running period, idle endpoints, the clock, scaling actions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms import AlarmEvaluator
from sandbox.clock import Clock
from tests.sandbox_api.alarm_source import HIGH, HOME, LAG, LOW, START, Source

POLICY = "arn:aws:autoscaling:ap-northeast-2:000000000000:scalingPolicy:1:resource/sagemaker/x:policyName/p"
TOPIC = "arn:aws:sns:ap-northeast-2:000000000000:topic"


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


@pytest.mark.parametrize("scale", [1.0, 10.0, 60.0])
def test_an_alarm_is_judged_when_all_data_of_a_period_are_in_and_no_later(
    source: Source, scale: float
) -> None:
    # GIVEN an alarm on an average, which only the end of its period decides, and one bad answer
    clock = Clock(scale)
    evaluator = AlarmEvaluator(source, clock, lambda *_: None)
    alarm = source.alarm(TreatMissingData="notBreaching")
    source.publish(START + clock.real(1), HIGH)
    settled = START + clock.real(60) + clock.data_lag

    # WHEN it is evaluated just before the last data may come in, and then
    evaluator.evaluate(settled - 0.01)
    before = alarm["StateValue"]
    evaluator.evaluate(settled + 0.01)

    # THEN it fires then, which is soon enough for a bake of 170 s at a scale of 60
    assert (before, alarm["StateValue"]) == ("OK", "ALARM")
    seen = settled - START + clock.evaluation_interval + max(0.1, clock.real(10))
    assert seen <= clock.real(60) + {1.0: 22.1, 10.0: 4.1, 60.0: 1.7}[scale]


@given(st.floats(0.1, 60))
def test_every_period_of_a_minute_has_points_at_every_scale_up_to_60(scale: float) -> None:
    # GIVEN a clock WHEN metrics are published at its interval THEN a period without a point means no traffic
    clock = Clock(scale)
    assert clock.publish_interval <= clock.real(60) / 5 + 1e-9
    assert clock.publish_interval < clock.data_lag <= clock.publish_interval + 1.0


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
