"""Results of earlier executions that a step takes over (developer guide, "Caching pipeline steps")."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.clock import Clock
from sandbox.pipelines.records import SUCCEEDED, Execution, StepRun
from sandbox.store import Params

CACHED_TYPES = {"Processing", "Training", "Transform"}
"""Types that the sandbox runs and that can be taken over."""

_DURATION = re.compile(
    r"P?(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE
)


def duration(text: Any) -> timedelta:
    """An ExpireAfter: ISO 8601 such as ``P30D`` or ``PT1H``; also ``30d`` and ``T16m`` as the guide has them.

    Months are 30 days, years 365.

    Raises:
        ValueError: It is no duration.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no ISO 8601 duration such as P30D or PT1H")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(
        weeks=weeks,
        days=days + 30 * months + 365 * years,
        hours=hours,
        minutes=minutes,
        seconds=seconds,
    )


def find(
    executions: Iterable[Execution], pipeline_arn: str, step: StepRun, config: Params, clock: Clock
) -> tuple[Execution, StepRun] | None:
    """The latest successful run of a step with the same arguments, in the same pipeline.

    Args:
        executions: All executions.
        pipeline_arn: The pipeline.
        step: The step to run, with its arguments.
        config: Its CacheConfig.
        clock: ExpireAfter is AWS time.
    """
    if not config.get("Enabled") or step.type not in CACHED_TYPES:
        return None
    since = None
    if "ExpireAfter" in config:
        seconds = clock.real(duration(config["ExpireAfter"]).total_seconds())
        since = datetime.now(UTC) - timedelta(seconds=seconds)
    wanted = _key(step)
    found = [
        (execution, run)
        for execution in executions
        if execution.pipeline_arn == pipeline_arn
        for run in execution.steps.values()
        if run is not step
        and run.status == SUCCEEDED
        and run.cached_from is None
        and run.ended_at is not None
        and (since is None or run.ended_at >= since)
        and _key(run) == wanted
    ]
    return max(found, key=lambda pair: pair[1].ended_at or pair[0].created_at, default=None)


def _key(step: StepRun) -> str:
    return json.dumps([step.name, step.type, step.arguments], sort_keys=True, default=str)
