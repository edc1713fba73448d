"""CloudWatch's alarm evaluation (docs/decisions/0007-alarms.md)."""

from sandbox.alarms.evaluator import AlarmEvaluator
from sandbox.alarms.source import AlarmSource, Point

__all__ = ["AlarmEvaluator", "AlarmSource", "Point"]
