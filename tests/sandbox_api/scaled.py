"""An endpoint under a scaling policy, and alarms that a test lets fire."""

from __future__ import annotations

import time
from typing import Any

from sandbox.store import Params, Scope
from tests.sandbox_api.scaling import WHICH
from tests.sandbox_api.world import SCOPE, World


class Scaled:
    """An endpoint with 2 instances under a policy, 1 to 10 instances."""

    def __init__(self, world: World, autoscaling: Any, sagemaker: Any, until: Any) -> None:
        self.world, self.autoscaling, self.sagemaker, self.until = world, autoscaling, sagemaker, until
        self.arn = ""
        self.alarms: list[str] = []
        self.name = "p"

    def track(self, name: str = "p", **config: Any) -> Scaled:
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        return self._put(
            name,
            "TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 100.0,
                "PredefinedMetricSpecification": metric,
                **config,
            },
        )

    def step(self, **config: Any) -> Scaled:
        alarm = {
            "AlarmName": "mine",
            "Namespace": "AWS/SageMaker",
            "MetricName": "InvocationsPerInstance",
            "Dimensions": [],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 100.0,
        }
        self.world.cloudwatch.alarms["mine"] = alarm
        return self._put("p", "StepScaling", StepScalingPolicyConfiguration=config)

    def _put(self, name: str, kind: str, **config: Any) -> Scaled:
        made = self.autoscaling.put_scaling_policy(**WHICH, PolicyName=name, PolicyType=kind, **config)
        self.arn, self.alarms = made["PolicyARN"], [alarm["AlarmName"] for alarm in made["Alarms"]]
        self.name = name
        return self

    def traffic(self, per_minute: float) -> None:
        """Twenty minutes of it, per instance."""
        now = time.time()
        self.world.cloudwatch.published = [
            (now - age, "InvocationsPerInstance", per_minute / 6, 1.0) for age in range(0, 1200, 10)
        ]

    def fire(self, alarm: str, state: str = "ALARM", scope: Scope = SCOPE) -> None:
        self.world.run(self.world.autoscaling.alarm_fired(self.arn, alarm, state, scope))

    def high(self) -> None:
        self.fire(self.alarms[0])

    def low(self) -> None:
        self.fire(self.alarms[1])

    @property
    def count(self) -> int:
        answer = self.sagemaker.describe_endpoint(EndpointName="e")
        count: int = answer["ProductionVariants"][0]["DesiredInstanceCount"]
        return count

    def activities(self, **more: Any) -> list[Params]:
        found = self.autoscaling.describe_scaling_activities(ServiceNamespace="sagemaker", **more)
        activities: list[Params] = found["ScalingActivities"]
        return activities

    def settled(self) -> Params:
        """The newest activity, once it has ended."""
        self.until(lambda: "EndTime" in self.activities(IncludeNotScaledActivities=True)[0])
        return self.activities(IncludeNotScaledActivities=True)[0]
