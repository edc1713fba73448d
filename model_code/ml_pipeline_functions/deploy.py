"""Deploy: has the endpoint serve the newest approved version, whoever calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import belongings
import endpoint
from belongings import YOUNG
from custom_resource import answer
from reconcile import Call, Outcome, Status, reconcile
from report import log
from target import Settings
from waiting import Context, seconds_left

PACKAGE_CHANGE = "SageMaker Model Package State Change"
ENDPOINT_CHANGE = "SageMaker Endpoint State Change"

_DECISIONS = frozenset({"Approved", "Rejected"})


def handler(event: dict[str, Any], context: Context) -> dict[str, str]:
    """Look at the registry and at the endpoint.

    Args:
        event: ``{}`` from a person; ``{"model_package_arn": ...}`` from an execution; an event of a model
            package or of the endpoint; or a request of CloudFormation.
        context: Tells how much time is left.

    Returns:
        ``endpoint_name``, ``status`` (see `Status`), ``model_package_arn`` of the wanted version or empty,
        and ``message``. For CloudFormation: what it was answered.

    Raises:
        DeployError: AWS refused.
        ValueError: The event, a variable or a version is not fit.
    """

    def left() -> float:
        return seconds_left(context)

    if "RequestType" in event:
        name = os.environ.get("ENDPOINT_NAME", "endpoint")  # whatever is missing, there has to be an answer
        return answer(event, name, lambda: _requested(event, left))
    return deployed(event, left)


def deployed(event: Mapping[str, Any], left: Callable[[], float], young: timedelta = YOUNG) -> dict[str, str]:
    """The same for all but CloudFormation's requests.

    Args:
        event: See `handler`.
        left: Seconds that the call may still work.
        young: See `belongings.prune`.
    """
    settings = Settings.read()
    call = _call(event, settings, left)
    if call is None:
        nothing = Outcome(status=Status.IGNORED, message="The event is not about this group or endpoint.")
        return _told(settings, str(event.get("detail-type", "")), nothing)
    try:
        outcome = reconcile(settings, call, young)
    except Exception as error:
        log(trigger=call.trigger, wanted=call.version, live="", status="Error", message=str(error))
        raise
    return _told(settings, call.trigger, outcome)


def _call(event: Mapping[str, Any], settings: Settings, left: Callable[[], float]) -> Call | None:
    kind = event.get("detail-type")
    if kind == PACKAGE_CHANGE:
        detail = event["detail"]
        if detail.get("ModelPackageGroupName") != settings.group:
            return None
        decided = detail.get("ModelApprovalStatus") in _DECISIONS
        return Call(trigger=kind, explicit=decided, version=detail["ModelPackageArn"], left=left)
    if kind == ENDPOINT_CHANGE:
        # names of endpoints that differ in case are the same
        if str(event["detail"].get("EndpointName")).lower() != settings.endpoint_name.lower():
            return None
        return Call(trigger=f"{kind}: {event['detail'].get('EndpointStatus')}", explicit=False, left=left)
    if not event:
        return Call(trigger="a person", explicit=True, left=left)
    arn = event.get("model_package_arn")
    if not isinstance(arn, str) or not arn:
        raise ValueError(
            f"The event has {', '.join(sorted(event))}. Give {{}} to have the endpoint follow the registry, "
            f'{{"model_package_arn": "<ARN>"}}, or an event "{PACKAGE_CHANGE}" or "{ENDPOINT_CHANGE}".'
        )
    return Call(trigger="an execution", explicit=True, version=arn, left=left)


def _requested(event: Mapping[str, Any], left: Callable[[], float]) -> dict[str, str]:
    settings, trigger = Settings.read(), f"CloudFormation {event['RequestType']}"
    if event["RequestType"] != "Delete":
        call = Call(trigger=trigger, explicit=True, left=left)
        return _told(settings, trigger, reconcile(settings, call))
    endpoint.remove(settings.endpoint_name, left)
    belongings.remove_all(settings)
    gone = Outcome(status=Status.DELETED, message="The endpoint and all that was made for it are removed.")
    return _told(settings, trigger, gone)


def _told(settings: Settings, trigger: str, outcome: Outcome) -> dict[str, str]:
    log(
        trigger=trigger,
        wanted=outcome.wanted,
        live=outcome.live,
        status=outcome.status,
        message=outcome.message,
    )
    return {
        "endpoint_name": settings.endpoint_name,
        "status": str(outcome.status),
        "model_package_arn": outcome.wanted,
        "message": outcome.message,
    }
