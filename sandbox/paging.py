"""Lists in pages: sorted, cut, and continued by an opaque token."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from sandbox.errors import ServiceError

T = TypeVar("T")
SortKey = tuple[float | str, str]


def page(
    items: Iterable[T],
    *,
    order: str,
    key: Callable[[T], SortKey],
    limit: int,
    token: str | None,
    descending: bool = False,
    error_code: str = "ValidationException",
) -> tuple[list[T], str | None]:
    """One page of a list. Items that come or go between two pages move no others.

    Args:
        items: All items that pass the filters.
        order: What the list is and how it is sorted; a token is good for the same order only.
        key: Sort key of an item; unique.
        limit: Items per page at most.
        token: NextToken of the request.
        descending: Whether the greatest key comes first.
        error_code: Code of the error for a token that is none of ours.

    Returns:
        The page, and the token of the next one if there is more.

    Raises:
        ServiceError: The token is not one that this list gave.
    """
    order = f"{order}:{'descending' if descending else 'ascending'}"
    ordered = sorted(items, key=key, reverse=descending)
    if token is not None:
        last = _decode(token, order, error_code)
        ordered = [item for item in ordered if (key(item) < last if descending else key(item) > last)]
    if len(ordered) <= limit:
        return ordered, None
    text = json.dumps([order, *key(ordered[limit - 1])])
    return ordered[:limit], base64.urlsafe_b64encode(text.encode()).decode()


def _decode(token: str, order: str, error_code: str) -> SortKey:
    try:
        token_order, first, second = json.loads(base64.urlsafe_b64decode(token.encode()))
        by_time = isinstance(first, (int, float)) and not isinstance(first, bool)
        if token_order == order and (by_time or isinstance(first, str)) and isinstance(second, str):
            return first, second
    except (ValueError, TypeError, RecursionError):
        pass
    raise ServiceError(
        error_code,
        "The NextToken is not one that this list returned. Repeat the request with the token of the page "
        "before, the same filters and order, or without a token.",
    )
