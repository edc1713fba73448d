"""When an alarm is in which state, as the CloudWatch guide describes it ("Alarm evaluation").

Periods shrink with the sandbox's clock; timestamps are real. A period counts once it has been over for
`Clock.data_lag`, because publishers collect before they send: a metric that comes a little late must not
make an alarm flap. Waiting is needless where the running period breaches whatever may still come (a Sum,
SampleCount or Maximum above the threshold, a Minimum below it): such a period counts at once, so that a
rollback is not late. Where it cannot breach any more it counts at once for an alarm that is in ALARM, so
that the alarm on an idle endpoint ends with the first call; for others it would hide the period before.

Missing data: as on AWS more periods are read than are evaluated, and only when those hold too few data
points does TreatMissingData apply. The guide's examples read 5 periods for 3; the exact number is not
published.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.alarms.datapoints import AlarmMetric, AlarmWindow
from sandbox.alarms.metric_math import ExpressionError, TimeSeries
from sandbox.alarms.source import AlarmSource
from sandbox.clock import Clock
from sandbox.store import Scope

log = logging.getLogger(__name__)

EXTRA_PERIODS = 2

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}

ScalingAction = Callable[[str, str, str, Scope], None]


@dataclass(frozen=True)
class Rule:
    """How an alarm judges its data points.

    Args:
        periods: EvaluationPeriods, N.
        to_alarm: DatapointsToAlarm, M.
        comparison: ComparisonOperator.
        threshold: Threshold.
        missing: TreatMissingData.
    """

    periods: int
    to_alarm: int
    comparison: str
    threshold: float
    missing: str

    @classmethod
    def of(cls, alarm: Mapping[str, Any]) -> Rule:
        """The rule of an alarm.

        Raises:
            ExpressionError: The alarm compares in a way that the sandbox does not know (anomaly detection).
        """
        comparison = alarm.get("ComparisonOperator") or ""
        if comparison not in _BREACHES or alarm.get("Threshold") is None:
            raise ExpressionError(
                f"the sandbox does not evaluate alarms with ComparisonOperator {comparison!r}"
            )
        periods = int(alarm.get("EvaluationPeriods") or 1)
        to_alarm = int(alarm.get("DatapointsToAlarm") or periods)
        missing = alarm.get("TreatMissingData") or "missing"
        return cls(periods, to_alarm, comparison, float(alarm["Threshold"]), missing)

    @property
    def reads(self) -> int:
        """The evaluation range: how many periods are looked at."""
        return self.periods + EXTRA_PERIODS

    def breaches(self, value: float) -> bool:
        """Whether a data point breaches."""
        return _BREACHES[self.comparison](value, self.threshold)

    def judge(self, values: TimeSeries, current: str) -> str:
        """The state that data points lead to.

        Args:
            values: A value for each period of the evaluation range, oldest first; None where data are
            missing.
            current: The state so far.
        """
        present = [self.breaches(value) for value in values if value is not None]
        if len(present) >= self.periods:
            return "ALARM" if sum(present[-self.periods :]) >= self.to_alarm else "OK"
        filled = self.periods - len(present)
        breaching = sum(present)
        if self.missing == "breaching":
            return "ALARM" if breaching + filled >= self.to_alarm else "OK"
        if self.missing == "notBreaching" or breaching >= self.to_alarm:
            return "ALARM" if breaching >= self.to_alarm else "OK"
        if not present:
            return current if self.missing == "ignore" else "INSUFFICIENT_DATA"
        if not all(present):
            return "OK"
        # only breaching data, but too few of them: an alarm unless more may still come in time
        oldest = len(values) - next(index for index, value in enumerate(values) if value is not None)
        return "ALARM" if self.missing == "missing" and oldest >= self.to_alarm else current


class AlarmEvaluator:
    """Evaluates every metric alarm of a source.

    Args:
        source: CloudWatch.
        clock: Its scale divides the alarms' periods.
        on_scaling_action: Called with the scaling policy's ARN, the alarm's name, its state and its scope,
            at every evaluation while an alarm with such an action is in ALARM, as CloudWatch does.
    """

    def __init__(self, source: AlarmSource, clock: Clock, on_scaling_action: ScalingAction) -> None:
        self._source = source
        self._clock = clock
        self._on_scaling_action = on_scaling_action
        self._metrics: dict[tuple[Scope, str], AlarmMetric] = {}
        self._complained: dict[tuple[Scope, str], str] = {}

    def evaluate(self, now: float) -> None:
        """Evaluate all alarms.

        Args:
            now: Epoch seconds.
        """
        seen = set()
        for scope in list(self._source.scopes()):
            for alarm in list(self._source.alarms(scope)):
                key = (scope, alarm["AlarmName"])
                seen.add(key)
                try:
                    self._evaluate(key, alarm, now)
                except ExpressionError as error:
                    self._cannot(key, alarm, str(error))
                except Exception:
                    log.exception("alarm %s could not be evaluated", alarm["AlarmName"])
        for key in self._metrics.keys() - seen:
            del self._metrics[key]

    def _evaluate(self, key: tuple[Scope, str], alarm: Mapping[str, Any], now: float) -> None:
        scope, name = key
        rule = Rule.of(alarm)
        window = self._window(key, alarm, rule, now)
        state = rule.judge(window.values, alarm["StateValue"])
        self._complained.pop(key, None)
        if state != alarm["StateValue"]:
            self._source.set_state(scope, name, state, _reason(rule, window, state, alarm["StateValue"]))
        if state == "ALARM" and alarm.get("ActionsEnabled", True):
            for arn in alarm.get("AlarmActions") or []:
                if ":autoscaling:" in arn and ":scalingPolicy:" in arn:
                    self._on_scaling_action(arn, name, state, scope)

    def _window(
        self, key: tuple[Scope, str], alarm: Mapping[str, Any], rule: Rule, now: float
    ) -> AlarmWindow:
        metric = self._metrics.get(key)
        if metric is None or not metric.is_for(alarm):
            metric = self._metrics[key] = AlarmMetric(alarm, self._clock)
        running = int(now // metric.period)
        last = int((now - self._clock.data_lag) // metric.period) - 1
        metric.read(
            lambda namespace, name, dimensions, _: self._source.points(key[0], namespace, name, dimensions),
            last - rule.reads + 1,
        )
        while last < running:
            breaches = metric.is_decided(last + 1, rule.comparison, rule.threshold)
            if breaches is None or (not breaches and alarm["StateValue"] != "ALARM"):
                break
            last += 1
        return metric.window(last, rule.reads)

    def _cannot(self, key: tuple[Scope, str], alarm: Mapping[str, Any], reason: str) -> None:
        if self._complained.get(key) != reason:
            log.warning("alarm %s: %s", key[1], reason)
            self._complained[key] = reason
        if alarm["StateValue"] != "INSUFFICIENT_DATA":
            self._source.set_state(*key, "INSUFFICIENT_DATA", f"Evaluation error: {reason}")


def _reason(rule: Rule, window: AlarmWindow, state: str, before: str) -> str:
    """CloudWatch's own kind of sentence."""
    known = [
        (start, value) for start, value in zip(window.starts, window.values, strict=True) if value is not None
    ]
    known = known[-rule.periods :]
    if state == "INSUFFICIENT_DATA" or not known:
        unknown = f"{rule.periods} datapoint{'s were' if rule.periods > 1 else ' was'} unknown"
        if state == "INSUFFICIENT_DATA":
            return f"Insufficient Data: {unknown}."
        treated = "breaching" if state == "ALARM" else "non-breaching"
        received = f"no datapoints were received for {rule.periods} period{'s' if rule.periods > 1 else ''}"
        return f"Threshold Crossed: {received} and {unknown}, treated as {treated}."
    matching = [(start, value) for start, value in known if rule.breaches(value) == (state == "ALARM")]
    shown = ", ".join(
        f"{value:g} ({datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S})" for at, value in matching
    )
    plural = len(matching) != 1
    verb = ("were" if plural else "was") + ("" if state == "ALARM" else " not")
    needed = rule.to_alarm if state == "ALARM" else rule.periods - rule.to_alarm + 1
    plurals = "s" if len(known) > 1 else ""
    return (
        f"Threshold Crossed: {len(matching)} out of the last {len(known)} datapoint{plurals} "
        f"[{shown}] {verb} {_WORDS[rule.comparison]} the threshold ({rule.threshold:g}) "
        f"(minimum {needed} datapoint{'s' if needed > 1 else ''} for {before} -> {state} transition)."
    )
