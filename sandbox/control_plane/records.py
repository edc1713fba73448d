"""What models and endpoint configurations share: made, described, listed and deleted, but never changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.control_plane.resources import (
    answer_page,
    arn_of,
    list_resources,
    new_record,
    not_found,
    refuse_taken,
)
from sandbox.store import Params, Record, Scope, Store, Stores


@dataclass(frozen=True)
class Kind:
    """How the API speaks of a kind of resource.

    Args:
        word: In messages, for example ``endpoint configuration``.
        arn: In ARNs, for example ``endpoint-config``.
        member: Prefix of its members, for example ``EndpointConfig`` of EndpointConfigName.
        records: Its records in a store, by name.
    """

    word: str
    arn: str
    member: str
    records: Callable[[Store], dict[str, Record]]

    def find(self, store: Store, name: str, scope: Scope) -> Record:
        """A resource by its name.

        Raises:
            ServiceError: There is none.
        """
        records = self.records(store)
        if name not in records:
            raise not_found(self.word, arn_of(self.arn, name, scope))
        return records[name]


class Records(ABC):
    """The operations on one kind of resource.

    Args:
        kind: The kind.
        stores: Where the records are.
    """

    def __init__(self, kind: Kind, stores: Stores) -> None:
        self._kind = kind
        self._stores = stores

    def create(self, params: Params, scope: Scope) -> Params:
        """The Create operation."""
        store, name = self._stores.of(scope), params[f"{self._kind.member}Name"]
        self.check(params, store, scope)
        records, arn = self._kind.records(store), arn_of(self._kind.arn, name, scope)
        refuse_taken(self._kind.word, arn, records.values())
        records[name] = new_record(name, arn, params, store)
        return {f"{self._kind.member}Arn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """The Describe operation."""
        record = self._find(params, scope)
        return self.shown(record.request) | self._arn_and_time(record)

    def list(self, params: Params, scope: Scope) -> Params:
        """The List operation."""
        plural = f"{self._kind.member}s"
        records = self._kind.records(self._stores.of(scope))
        page, token = list_resources(records.values(), params, plural)
        summaries = [
            {f"{self._kind.member}Name": record.name, **self._arn_and_time(records[record.name])}
            for record in page
        ]
        return answer_page(plural, summaries, token)

    def delete(self, params: Params, scope: Scope) -> Params:
        """The Delete operation; endpoints that use the resource go on, as on AWS."""
        store, record = self._stores.of(scope), self._find(params, scope)
        del self._kind.records(store)[record.name]
        store.tags.pop(record.arn, None)
        return {}

    @abstractmethod
    def check(self, params: Params, store: Store, scope: Scope) -> None:
        """Check a request to create one.

        Raises:
            ServiceError: ValidationException with every finding.
        """

    @abstractmethod
    def shown(self, request: Params) -> Params:
        """What Describe shows of the request that created one."""

    def _find(self, params: Params, scope: Scope) -> Record:
        return self._kind.find(self._stores.of(scope), params[f"{self._kind.member}Name"], scope)

    def _arn_and_time(self, record: Record) -> Params:
        return {f"{self._kind.member}Arn": record.arn, "CreationTime": record.created_at}
