"""Application Auto Scaling for SageMaker variants: targets, policies, and what they do when alarms fire."""

from sandbox.autoscaling.api import ApplicationAutoScaling

__all__ = ["ApplicationAutoScaling"]
