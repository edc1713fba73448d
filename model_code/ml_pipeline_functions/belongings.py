"""Models and endpoint configurations of the endpoint: made, marked, and removed when nobody needs them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from aws import client, is_missing, is_taken, pages, tags_of, told
from botocore.exceptions import BotoCoreError, ClientError
from report import log
from target import Settings, Target

VERSION_TAG = "sagemaker-serving:model-package-arn"
WAITING_TAG = "sagemaker-serving:waiting"
"""On a configuration: whether it is to be deployed as soon as an endpoint that is being deleted is gone."""

YOUNG = timedelta(minutes=15)
"""What is younger may belong to a call that is still running: no function runs longer."""


class Made:
    """What one call makes for a target, so that it can be taken back.

    Args:
        target: The target.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.model = self.config = False

    def ensure(self) -> None:
        """Have model and configuration; what is there with this name is what we would make."""
        sagemaker = client("sagemaker")
        self.model = _made(sagemaker.create_model, self._target.model_request)
        tags = {VERSION_TAG: self._target.version.arn}
        self.config = _made(sagemaker.create_endpoint_config, self._target.config_request(tags))

    def take_back(self) -> None:
        """Remove what this call made, and nothing else. Never raises: an error is on its way already."""
        if self.config:
            quietly("take back", lambda: _delete_config(self._target.name))
        if self.model:
            quietly("take back", lambda: _delete_model(self._target.name))


def set_waiting(target: Target, waits: bool) -> None:
    """Write down whether a configuration waits, see `WAITING_TAG`."""
    tags = [{"Key": WAITING_TAG, "Value": str(waits).lower()}]
    client("sagemaker").add_tags(ResourceArn=_config_arn(target), Tags=tags)


def is_waiting(target: Target) -> bool:
    """Whether there is a configuration that waits."""
    try:
        return tags_of(_config_arn(target)).get(WAITING_TAG) == "true"
    except ClientError as error:
        if is_missing(error):
            return False
        raise


def prune(
    settings: Settings,
    keep: Collection[str],
    *,
    young: timedelta = YOUNG,
    is_idle: Callable[[], bool] = lambda: True,
) -> None:
    """Remove what earlier versions left. A failure is logged, never raised.

    Args:
        settings: Of the endpoint.
        keep: Names of what serves and of what is wanted.
        young: What is younger is kept.
        is_idle: Whether the endpoint is still as it was; asked when there is something to remove.
    """
    before = datetime.now(UTC) - young
    quietly("prune", lambda: _remove_own(settings, keep, before, is_idle))


def remove_all(settings: Settings) -> None:
    """Remove every model and configuration of the endpoint."""
    _remove_own(settings, (), None, lambda: True)


def _remove_own(
    settings: Settings, keep: Collection[str], before: datetime | None, is_idle: Callable[[], bool]
) -> None:
    for operation, plural, member, delete in (
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", _delete_config),
        ("list_models", "Models", "ModelName", _delete_model),
    ):
        listed = pages(
            "sagemaker",
            operation,
            plural,
            NameContains=f"{settings.prefix}-",
            PaginationConfig={"PageSize": 100},
        )
        # all pages first: a list that shrinks while it is read may leave some out
        left = [
            found[member]
            for found in listed
            if settings.is_own(found[member])
            and found[member] not in keep
            and (before is None or found["CreationTime"] <= before)
        ]
        if left and not is_idle():
            return
        for name in left:
            delete(name)


def _made(create: Any, request: dict[str, Any]) -> bool:
    """Create something; False if it is there already."""
    try:
        create(**request)
    except ClientError as error:
        if is_taken(error):
            return False
        raise
    return True


def _delete_config(name: str) -> None:
    _unless_gone(client("sagemaker").delete_endpoint_config, EndpointConfigName=name)


def _delete_model(name: str) -> None:
    _unless_gone(client("sagemaker").delete_model, ModelName=name)


def _unless_gone(delete: Any, **request: str) -> None:
    try:
        delete(**request)
    except ClientError as error:
        if not is_missing(error):
            raise


def quietly(what: str, work: Callable[[], None]) -> None:
    """Do what no call should fail for; a failure is logged.

    Args:
        what: For the log.
        work: What to do.
    """
    try:
        work()
    except (ClientError, BotoCoreError) as error:
        message = told(error) if isinstance(error, ClientError) else str(error)
        log(trigger=what, status="Error", message=message)


def _config_arn(target: Target) -> str:
    head = target.version.arn.partition(":model-package/")[0]
    return f"{head}:endpoint-config/{target.name.lower()}"
