"""AddTags, ListTags and DeleteTags, for every resource that the sandbox keeps."""

from __future__ import annotations

from sandbox.control_plane.resources import answer_page, invalid, set_tags
from sandbox.paging import page
from sandbox.store import Params, Scope, Store, Stores


class Tags:
    """Tags by ARN."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def add(self, params: Params, scope: Scope) -> Params:
        """AddTags: new values win over old ones."""
        store, arn = self._resource(params, scope)
        set_tags(store, arn, params["Tags"])
        return {"Tags": _as_list(store, arn)}

    def list(self, params: Params, scope: Scope) -> Params:
        """ListTags, 50 to a page."""
        store, arn = self._resource(params, scope)
        tags, token = page(
            _as_list(store, arn),
            order=f"tags:{arn}",
            key=lambda tag: (tag["Key"], ""),
            limit=params.get("MaxResults", 50),
            token=params.get("NextToken"),
        )
        return answer_page("Tags", tags, token)

    def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteTags; keys that are not there do no harm."""
        store, arn = self._resource(params, scope)
        for key in params["TagKeys"]:
            store.tags.get(arn, {}).pop(key, None)
        return {}

    def _resource(self, params: Params, scope: Scope) -> tuple[Store, str]:
        store, given = self._stores.of(scope), params["ResourceArn"]
        head, _, name = given.partition("/")
        arn = f"{head}/{name.lower()}"
        kinds = (
            store.models,
            store.model_packages,
            store.processing_jobs,
            store.training_jobs,
            store.endpoint_configs,
            store.endpoints,
            store.model_package_groups,
            store.pipelines,
            store.transform_jobs,
        )
        if not any(record.arn == arn for records in kinds for record in records.values()):
            raise invalid(
                f'Could not find resource "{given}" in account {scope.account}, Region {scope.region}.'
            )
        return store, arn


def _as_list(store: Store, arn: str) -> list[Params]:
    return [{"Key": key, "Value": value} for key, value in sorted(store.tags.get(arn, {}).items())]
