"""Target tracking: the two alarms of a policy, and what makes a policy legal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sandbox.autoscaling.records import Policy
from sandbox.store import Params

_INVOCATIONS = "SageMakerVariantInvocationsPerInstance"
_PREDEFINED: dict[str, tuple[str, str, int]] = {  # type -> metric, statistic, period
    _INVOCATIONS: ("InvocationsPerInstance", "Sum", 60),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": ("ConcurrentRequestsPerModel", "Average", 10),
}
_HIGH_PERIODS = 3
_LOW_SECONDS = 15 * 60
_LOW_SHARE = 0.9  # the low alarm's threshold lies a tenth under the target, so that both never fire in turn


def tracking_findings(config: Params) -> Iterator[str]:
    """What is wrong with a TargetTrackingScalingPolicyConfiguration."""
    predefined = config.get("PredefinedMetricSpecification")
    custom = config.get("CustomizedMetricSpecification")
    if (predefined is None) == (custom is None):
        yield "give either PredefinedMetricSpecification or CustomizedMetricSpecification"
    if predefined and predefined["PredefinedMetricType"] not in _PREDEFINED:
        given, legal = predefined["PredefinedMetricType"], ", ".join(_PREDEFINED)
        yield f"the metric type {given} is not for this resource; legal are {legal}"
    if custom:
        single = [name for name in ("MetricName", "Namespace", "Statistic") if name not in custom]
        if "Metrics" in custom and len(single) < 3:
            yield "CustomizedMetricSpecification has either Metrics or MetricName, Namespace and Statistic"
        if "Metrics" not in custom and single:
            yield f"CustomizedMetricSpecification needs {', '.join(single)}"
    if config["TargetValue"] <= 0:
        yield f"TargetValue must be greater than 0; it is {config['TargetValue']:g}"
    for name in ("ScaleOutCooldown", "ScaleInCooldown"):
        if config.get(name, 0) < 0:
            yield f"{name} must not be negative; it is {config[name]}"


def counts_invocations(policy: Policy) -> bool:
    """Whether a policy tracks the invocations per instance."""
    predefined = policy.config.get("PredefinedMetricSpecification", {})
    return bool(predefined.get("PredefinedMetricType") == _INVOCATIONS)


def alarms_of(policy: Policy) -> list[Params]:
    """The high and the low alarm of a target tracking policy, in words of PutMetricAlarm.

    An existing policy's alarms keep their names.
    """
    metric, period = _metric(policy)
    target = float(policy.config["TargetValue"])
    sides = (
        ("AlarmHigh", "GreaterThanThreshold", target, _HIGH_PERIODS),
        ("AlarmLow", "LessThanThreshold", target * _LOW_SHARE, _LOW_SECONDS // period),
    )
    names = [alarm["AlarmName"] for alarm in policy.alarms] or [
        f"TargetTracking-{policy.target.resource_id}-{side}-{uuid.uuid4()}" for side, *_ in sides
    ]
    return [
        {
            "AlarmName": name,
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.arn}.",
            "ActionsEnabled": True,
            "AlarmActions": [policy.arn],
            **metric,
            "EvaluationPeriods": periods,
            "Threshold": threshold,
            "ComparisonOperator": comparison,
        }
        for name, (_, comparison, threshold, periods) in zip(names, sides, strict=True)
    ]


def _metric(policy: Policy) -> tuple[Params, int]:
    """The alarm's metric, and its period in seconds."""
    endpoint, variant = policy.target.endpoint_and_variant
    predefined = policy.config.get("PredefinedMetricSpecification")
    if predefined:
        name, statistic, period = _PREDEFINED[predefined["PredefinedMetricType"]]
        dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
        return {
            "Namespace": "AWS/SageMaker",
            "MetricName": name,
            "Dimensions": dimensions,
            "Statistic": statistic,
            "Period": period,
        }, period
    custom = policy.config["CustomizedMetricSpecification"]
    if "Metrics" in custom:
        return {"Metrics": [_with_period(query) for query in custom["Metrics"]]}, 60
    return {**custom, "Dimensions": custom.get("Dimensions", []), "Period": 60}, 60


def _with_period(query: Params) -> Params:
    if "MetricStat" not in query:
        return query
    return query | {"MetricStat": query["MetricStat"] | {"Period": 60}}
