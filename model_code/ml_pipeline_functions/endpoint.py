"""The endpoint as it is, and what can be done to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aws import client, is_busy, is_missing, tags_of
from botocore.exceptions import ClientError
from waiting import wait_until

IN_SERVICE, FAILED, DELETING = "InService", "Failed", "Deleting"
ROLLBACK_FAILED = "UpdateRollbackFailed"

TRIED_TAG = "sagemaker-serving:tried"
"""On the endpoint: the configuration that it was last created with or updated to, whatever came of it."""

# of API shape EndpointStatus: neither update nor deletion is possible
_BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", DELETING})


@dataclass(frozen=True)
class Seen:
    """An endpoint as DescribeEndpoint shows it.

    Args:
        arn: EndpointArn.
        status: EndpointStatus.
        config: The configuration that serves.
        pending: The one that is being deployed; empty if none is.
        reason: FailureReason.
    """

    arn: str
    status: str
    config: str
    pending: str
    reason: str

    @property
    def is_busy(self) -> bool:
        """Whether it can be neither updated nor deleted."""
        return self.status in _BUSY


def look(name: str) -> Seen | None:
    """How an endpoint is; None if there is none."""
    try:
        found = client("sagemaker").describe_endpoint(EndpointName=name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return Seen(
        arn=found["EndpointArn"],
        status=found["EndpointStatus"],
        config=found.get("EndpointConfigName", ""),
        pending=found.get("PendingDeploymentSummary", {}).get("EndpointConfigName", ""),
        reason=found.get("FailureReason", ""),
    )


def tried(seen: Seen) -> str:
    """The configuration that was deployed last; empty if none was by this function."""
    return tags_of(seen.arn).get(TRIED_TAG, "")


def set_tried(seen: Seen, config: str) -> None:
    """Write down which configuration was deployed last."""
    client("sagemaker").add_tags(ResourceArn=seen.arn, Tags=[{"Key": TRIED_TAG, "Value": config}])


def delete(name: str) -> bool:
    """Begin to delete an endpoint.

    Returns:
        Whether it is on its way out or gone; False if it is busy with something else.
    """
    try:
        client("sagemaker").delete_endpoint(EndpointName=name)
    except ClientError as error:
        if is_busy(error):
            seen = look(name)
            return seen is None or seen.status == DELETING
        if not is_missing(error):
            raise
    return True


def wait_until_gone(name: str, left: Callable[[], float], longest: float) -> bool:
    """Wait until there is no endpoint.

    Args:
        name: Its name.
        left: Seconds that the call may still work.
        longest: Seconds at most.

    Returns:
        Whether it is gone.
    """
    return wait_until(lambda: look(name) is None, left, longest)


def remove(name: str, left: Callable[[], float]) -> None:
    """Delete an endpoint once it can be deleted, and wait until it is gone.

    Args:
        name: Its name.
        left: Seconds that the call may still work.

    Raises:
        TimeoutError: It takes longer than that.
    """

    def is_gone() -> bool:
        seen = look(name)
        if seen is not None and not seen.is_busy:
            delete(name)
            return look(name) is None
        return seen is None

    if wait_until(is_gone, left):
        return
    seen = look(name)
    if seen is not None:
        raise TimeoutError(
            f"The endpoint {name} is {seen.status} and cannot be deleted before that has ended. Wait until "
            f"it is InService or gone (aws sagemaker describe-endpoint --endpoint-name {name}), then delete "
            "the stack again."
        )
