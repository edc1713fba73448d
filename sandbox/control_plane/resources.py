"""What all kinds of resources share: times, names that are taken or missing, lists, tags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from sandbox.errors import ServiceError
from sandbox.paging import SortKey, page
from sandbox.store import Params, Record, Scope, Store

Operation = Callable[[Params, Scope], Params | Awaitable[Params]]
"""An operation of the API: takes a validated request, gives the answer."""

_DEFAULT_PAGE = 10  # MaxResults of ListEndpoints "defaults to 10"; the other lists behave alike
_MAX_TAGS = 50  # TagList


class Listed(Protocol):
    """What a list needs to know of a resource."""

    name: str
    arn: str
    created_at: datetime
    modified_at: datetime


def now() -> datetime:
    """The present time, UTC."""
    return datetime.now(UTC)


def arn_of(kind: str, name: str, scope: Scope) -> str:
    """ARN of a resource; SageMaker writes the name in lower case there."""
    return scope.arn(f"{kind}/{name.lower()}")


def invalid(message: str) -> ServiceError:
    """The error that SageMaker gives for nearly every mistake."""
    return ServiceError("ValidationException", message)


def not_found(what: str, arn: str) -> ServiceError:
    """The error for a model, endpoint configuration or endpoint that is not there."""
    return invalid(f'Could not find {what} "{arn}".')


def refuse_taken(what: str, arn: str, records: Iterable[Listed]) -> None:
    """Refuse a name that is in use; ARNs are in lower case, so names that differ in case collide.

    Raises:
        ServiceError: The name is taken.
    """
    if any(record.arn == arn for record in records):
        raise invalid(f'Cannot create already existing {what} "{arn}".')


def new_record(name: str, arn: str, params: Params, store: Store) -> Record:
    """A record of a request, whose tags go where tags are kept.

    Raises:
        ServiceError: The tags break a rule.
    """
    set_tags(store, arn, params.pop("Tags", []))
    created = now()
    return Record(name, arn, params, created, created)


def set_tags(store: Store, arn: str, tags: list[Params]) -> None:
    """Add or overwrite tags.

    Raises:
        ServiceError: A key comes twice, or the resource would have too many tags.
    """
    keys = [tag["Key"] for tag in tags]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise invalid(f"Duplicate tag keys found: {', '.join(repeated)}. Give each key once.")
    merged = store.tags.get(arn, {}) | {tag["Key"]: tag["Value"] for tag in tags}
    if len(merged) > _MAX_TAGS:
        raise invalid(f"The resource {arn} would have {len(merged)} tags; at most {_MAX_TAGS} are allowed.")
    if merged:
        store.tags[arn] = merged


def list_resources(
    records: Iterable[Listed],
    params: Params,
    kind: str,
    *,
    descending: bool = True,
    status: dict[str, str] | None = None,
) -> tuple[list[Listed], str | None]:
    """Filter, sort and cut a list as SageMaker's List operations do.

    Args:
        records: All resources of the kind.
        params: The request: NameContains, CreationTimeAfter (inclusive), CreationTimeBefore,
            LastModifiedTimeAfter, LastModifiedTimeBefore, StatusEquals, SortBy (CreationTime), SortOrder,
            MaxResults (10), NextToken.
        kind: The kind of resource, for the token.
        descending: The operation's default order.
        status: Status by ARN, for kinds that have one.

    Raises:
        ServiceError: The token is not one of ours.
    """
    sort_by = params.get("SortBy", "CreationTime")
    order = params.get("SortOrder", "Descending" if descending else "Ascending")

    def key(record: Listed) -> SortKey:
        if sort_by == "Name":
            return record.name, record.arn
        if sort_by == "Status" and status is not None:
            return status[record.arn], record.arn
        return record.created_at.timestamp(), record.arn

    return page(
        [record for record in records if _passes(record, params, status)],
        order=f"{kind}:{sort_by}",
        key=key,
        limit=params.get("MaxResults", _DEFAULT_PAGE),
        token=params.get("NextToken"),
        descending=order == "Descending",
    )


def _passes(record: Listed, params: Params, status: dict[str, str] | None) -> bool:
    created, modified = record.created_at, record.modified_at
    return (
        params.get("NameContains", "").lower() in record.name.lower()
        and ("CreationTimeAfter" not in params or created >= params["CreationTimeAfter"])
        and ("CreationTimeBefore" not in params or created < params["CreationTimeBefore"])
        and ("LastModifiedTimeAfter" not in params or modified > params["LastModifiedTimeAfter"])
        and ("LastModifiedTimeBefore" not in params or modified < params["LastModifiedTimeBefore"])
        and (status is None or params.get("StatusEquals", status[record.arn]) == status[record.arn])
    )


def answer_page(member: str, summaries: list[Params], token: str | None) -> Params:
    """The answer of a List operation."""
    return {member: summaries} | ({"NextToken": token} if token else {})
