"""Create, Describe, List and Delete of model package groups, and their policies."""

from __future__ import annotations

import json

from sandbox.control_plane.resources import answer_page, arn_of, invalid, list_resources, new_record
from sandbox.errors import ServiceError
from sandbox.store import Params, Record, Scope, Store, Stores

_POLICY = "_policy"  # kept beside the members of the request


class ModelPackageGroups:
    """Model package groups; model_packages.py has the versions in them."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def create(self, params: Params, scope: Scope) -> Params:
        """CreateModelPackageGroup."""
        store, name = self._stores.of(scope), params["ModelPackageGroupName"]
        arn = arn_of("model-package-group", name, scope)
        if any(record.arn == arn for record in store.model_package_groups.values()):
            raise invalid(f"Model Package Group already exists: {arn}")
        store.model_package_groups[name] = new_record(name, arn, params, store)
        return {"ModelPackageGroupArn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeModelPackageGroup, by name or ARN."""
        record = find_group(self._stores.of(scope), params["ModelPackageGroupName"], scope)
        return {**_summary(record), "CreatedBy": {}}

    def list(self, params: Params, scope: Scope) -> Params:
        """ListModelPackageGroups; oldest first, and none that other accounts share."""
        own = params.get("CrossAccountFilterOption", "SameAccount") == "SameAccount"
        groups = self._stores.of(scope).model_package_groups if own else {}
        page, token = list_resources(groups.values(), params, "groups", descending=False)
        return answer_page(
            "ModelPackageGroupSummaryList", [_summary(groups[record.name]) for record in page], token
        )

    def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteModelPackageGroup."""
        store = self._stores.of(scope)
        record = find_group(store, params["ModelPackageGroupName"], scope)
        versions = [
            package.arn
            for package in store.model_packages.values()
            if package.request.get("ModelPackageGroupName") == record.name
        ]
        if versions:
            raise ServiceError(
                "ConflictException",
                f"Model Package Group {record.arn} still has {len(versions)} model packages, such as "
                f"{versions[0]}. Delete them first.",
            )
        del store.model_package_groups[record.name]
        store.tags.pop(record.arn, None)
        return {}

    def put_policy(self, params: Params, scope: Scope) -> Params:
        """PutModelPackageGroupPolicy: kept, and like all policies not enforced."""
        record = find_group(self._stores.of(scope), params["ModelPackageGroupName"], scope)
        try:
            policy = json.loads(params["ResourcePolicy"])
        except (ValueError, RecursionError) as error:
            raise invalid(f"The resource policy is not valid JSON: {error}") from error
        if not isinstance(policy, dict) or "Statement" not in policy:
            raise invalid("The resource policy must be an object with a Statement.")
        record.request[_POLICY] = params["ResourcePolicy"]
        return {"ModelPackageGroupArn": record.arn}

    def get_policy(self, params: Params, scope: Scope) -> Params:
        """GetModelPackageGroupPolicy."""
        record = find_group(self._stores.of(scope), params["ModelPackageGroupName"], scope)
        if _POLICY not in record.request:
            raise invalid(f"Cannot find resource policy for: {record.arn}")
        return {"ResourcePolicy": record.request[_POLICY]}

    def delete_policy(self, params: Params, scope: Scope) -> Params:
        """DeleteModelPackageGroupPolicy."""
        record = find_group(self._stores.of(scope), params["ModelPackageGroupName"], scope)
        record.request.pop(_POLICY, None)
        return {}


def find_group(store: Store, name_or_arn: str, scope: Scope) -> Record:
    """A model package group by its name or ARN.

    Raises:
        ServiceError: There is none.
    """
    name = name_or_arn.rpartition("/")[2]
    arn = arn_of("model-package-group", name, scope)
    for record in store.model_package_groups.values():
        if record.arn == arn:
            return record
    raise invalid(f"ModelPackageGroup {arn} does not exist.")


def _summary(record: Record) -> Params:
    return {
        **{name: value for name, value in record.request.items() if not name.startswith("_")},
        "ModelPackageGroupArn": record.arn,
        "CreationTime": record.created_at,
        "ModelPackageGroupStatus": "Completed",
    }
