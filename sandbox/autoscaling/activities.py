"""DescribeScalingActivities."""

from __future__ import annotations

from sandbox.autoscaling.records import DIMENSION, NAMESPACE, Activity, Registry, check_resource, page_size
from sandbox.paging import page
from sandbox.store import Params, Scope


class Activities:
    """What scaling did, and on request what it would not do."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeScalingActivities, newest first."""
        check_resource(params)
        resource, with_not_scaled = params.get("ResourceId"), params.get("IncludeNotScaledActivities", False)
        activities, token = page(
            [
                activity
                for activity in self._registry.activities(scope)
                if resource in (None, activity.resource_id)
                and (with_not_scaled or not activity.not_scaled_reasons)
            ],
            order="activities",
            key=lambda activity: (activity.started_at.timestamp(), activity.id),
            limit=page_size(params),
            token=params.get("NextToken"),
            descending=True,
            error_code="InvalidNextTokenException",
        )
        return {"ScalingActivities": [_describe(activity) for activity in activities]} | (
            {"NextToken": token} if token else {}
        )


def _describe(activity: Activity) -> Params:
    optional = {
        "EndTime": activity.ended_at,
        "StatusMessage": activity.message,
        "NotScaledReasons": activity.not_scaled_reasons,
    }
    return {
        "ActivityId": activity.id,
        "ServiceNamespace": NAMESPACE,
        "ResourceId": activity.resource_id,
        "ScalableDimension": DIMENSION,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.started_at,
        "StatusCode": activity.status,
    } | {name: value for name, value in optional.items() if value}
