"""CreateModelPackage, DescribeModelPackage, ListModelPackages, UpdateModelPackage, DeleteModelPackage."""

from __future__ import annotations

from sandbox.control_plane.registry import find_group
from sandbox.control_plane.resources import Operation, answer_page, invalid, list_resources, new_record, now
from sandbox.errors import ServiceError
from sandbox.events import EventPublisher
from sandbox.store import Params, Record, Scope, Store, Stores

STATE_CHANGE = "SageMaker Model Package State Change"

_DEFAULT_APPROVAL = "PendingManualApproval"
_MOST_METADATA = 50  # CustomerMetadataMap


class ModelPackages:
    """Versions of model package groups, and packages without a group.

    Args:
        stores: Where the records are.
        events: Tells EventBridge of each change.
    """

    def __init__(self, stores: Stores, events: EventPublisher) -> None:
        self._stores = stores
        self._events = events

    @property
    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "ListModelPackages": self.list,
            "UpdateModelPackage": self.update,
            "DeleteModelPackage": self.delete,
        }

    def create(self, params: Params, scope: Scope) -> Params:
        """CreateModelPackage: the next version of a group, or a package of its own."""
        store = self._stores.of(scope)
        token = params.pop("ClientToken", None)
        if ("ModelPackageName" in params) == ("ModelPackageGroupName" in params):
            raise invalid("Give ModelPackageName or ModelPackageGroupName, exactly one of them.")
        if "InferenceSpecification" not in params and "SourceAlgorithmSpecification" not in params:
            raise invalid("CreateModelPackage needs InferenceSpecification or SourceAlgorithmSpecification.")
        if "ModelPackageGroupName" in params:
            for record in store.model_packages.values():
                if token is not None and record.request.get("_token") == token:
                    return {"ModelPackageArn": record.arn}
            name, arn = self._next_version(params, store, scope)
        else:
            name = params["ModelPackageName"]
            arn = scope.arn(f"model-package/{name.lower()}")
            if arn in store.model_packages:
                raise ServiceError("ConflictException", f"Model Package already exists: {arn}")
        record = new_record(name, arn, params | {"_token": token}, store)
        store.model_packages[arn] = record
        self._publish(record, scope)
        return {"ModelPackageArn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeModelPackage, by name or ARN."""
        record = find_package(self._stores.of(scope), params["ModelPackageName"], scope)
        statuses = [{"Name": record.name, "Status": "Completed"}]
        return {
            **_members(record),
            "ModelPackageName": record.name,
            "ModelPackageArn": record.arn,
            "CreationTime": record.created_at,
            "LastModifiedTime": record.modified_at,
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": statuses, "ImageScanStatuses": []},
            "CertifyForMarketplace": record.request.get("CertifyForMarketplace", False),
            "CreatedBy": {},
        }

    def list(self, params: Params, scope: Scope) -> Params:
        """ListModelPackages: versions of a group, or packages without one."""
        store = self._stores.of(scope)
        kind, group = params.get("ModelPackageType", "Unversioned"), None
        if "ModelPackageGroupName" in params:
            group = find_group(store, params["ModelPackageGroupName"], scope).name
        approval = params.get("ModelApprovalStatus")
        found = [
            record
            for record in store.model_packages.values()
            if (
                record.request.get("ModelPackageGroupName") == group
                if group
                else kind == "Both" or (kind == "Versioned") == ("ModelPackageGroupName" in record.request)
            )
            and (approval is None or record.request.get("ModelApprovalStatus") == approval)
        ]
        page, token = list_resources(found, params, f"packages:{group}:{approval}:{kind}")
        summaries = [_summary(store.model_packages[each.arn]) for each in page]
        return answer_page("ModelPackageSummaryList", summaries, token)

    def update(self, params: Params, scope: Scope) -> Params:
        """UpdateModelPackage: approval, metadata, inference specifications."""
        record = find_package(self._stores.of(scope), params.pop("ModelPackageArn"), scope)
        params.pop("ClientToken", None)
        if "ModelApprovalStatus" in params and "ModelPackageGroupName" not in record.request:
            raise invalid("ModelApprovalStatus is for versions of a model package group.")
        metadata = dict(record.request.get("CustomerMetadataProperties", {}))
        metadata |= params.pop("CustomerMetadataProperties", {})
        for key in params.pop("CustomerMetadataPropertiesToRemove", []):
            metadata.pop(key, None)
        if len(metadata) > _MOST_METADATA:
            raise invalid(
                f"The model package would have {len(metadata)} customer metadata properties; "
                f"at most {_MOST_METADATA} are allowed."
            )
        more = params.pop("AdditionalInferenceSpecificationsToAdd", [])
        if more:
            name = "AdditionalInferenceSpecifications"
            params[name] = [*record.request.get(name, []), *more]
        before = record.request.get("ModelApprovalStatus")
        record.request |= params
        if metadata or "CustomerMetadataProperties" in record.request:
            record.request["CustomerMetadataProperties"] = metadata
        record.modified_at = now()
        if record.request.get("ModelApprovalStatus") != before:
            self._publish(record, scope)
        return {"ModelPackageArn": record.arn}

    def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteModelPackage; models that were made of it go on, as on AWS."""
        store = self._stores.of(scope)
        record = find_package(store, params["ModelPackageName"], scope)
        del store.model_packages[record.arn]
        store.tags.pop(record.arn, None)
        return {}

    def _next_version(self, params: Params, store: Store, scope: Scope) -> tuple[str, str]:
        group = find_group(store, params["ModelPackageGroupName"], scope)
        # numbers are not given twice, also when the last version was deleted
        version = group.request["_versions"] = group.request.get("_versions", 0) + 1
        params |= {
            "ModelPackageGroupName": group.name,
            "ModelPackageVersion": version,
            "ModelApprovalStatus": params.get("ModelApprovalStatus", _DEFAULT_APPROVAL),
        }
        return group.name, scope.arn(f"model-package/{group.name.lower()}/{version}")

    def _publish(self, record: Record, scope: Scope) -> None:
        detail: Params = {
            **_summary(record),
            **{
                name: record.request[name]
                for name in ("CustomerMetadataProperties", "InferenceSpecification", "MetadataProperties")
                if name in record.request
            },
            "CreationTime": round(record.created_at.timestamp() * 1000),
            "LastModifiedTime": round(record.modified_at.timestamp() * 1000),
            "Tags": {},
        }
        self._events.publish_change(scope, STATE_CHANGE, record.arn, detail)


def find_package(store: Store, name_or_arn: str, scope: Scope) -> Record:
    """A model package by its ARN, or by its name when it is in no group.

    Raises:
        ServiceError: There is none.
    """
    head, slash, rest = name_or_arn.partition("/")
    arn = f"{head}/{rest.lower()}" if slash else scope.arn(f"model-package/{name_or_arn.lower()}")
    if arn not in store.model_packages:
        raise invalid(f"ModelPackage {arn} does not exist.")
    return store.model_packages[arn]


def _members(record: Record) -> Params:
    return {
        name: value for name, value in record.request.items() if not name.startswith("_") and name != "Tags"
    }


def _summary(record: Record) -> Params:
    members = (
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageDescription",
        "ModelApprovalStatus",
        "ModelLifeCycle",
        "ModelPackageRegistrationType",
    )
    return {
        **{name: record.request[name] for name in members if name in record.request},
        "ModelPackageName": record.name,
        "ModelPackageArn": record.arn,
        "CreationTime": record.created_at,
        "ModelPackageStatus": "Completed",
    }
