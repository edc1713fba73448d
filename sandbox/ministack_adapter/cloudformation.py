"""ministack's CloudFormation and Step Functions: what is added to them, and what is repaired."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from sandbox.cloudformation import RESOURCES, Api, Made, Resource
from sandbox.ministack_adapter.cloudwatch import repair_alarms_of_templates
from sandbox.ministack_adapter.executions import publish_executions
from sandbox.ministack_adapter.hooks import current_scope, module
from sandbox.ministack_adapter.maps import repair_maps
from sandbox.ministack_adapter.schedules import repair_schedules_of_templates
from sandbox.ministack_adapter.tables import quicken_batch_writes, repair_tables
from sandbox.store import Params, Scope

# errors of SageMaker's operations in its service model
_MODELLED_ERRORS = {"ConflictException", "ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound"}

Call = Callable[[str, str, Params, Scope], Params]
"""Calls an operation of a service from a worker thread: service, operation, parameters, scope."""


def extend(call: Call) -> None:
    """Teach CloudFormation and Step Functions the services that ministack has not.

    Args:
        call: Calls those services.
    """
    provisioners = module("services.cloudformation.provisioners")
    for resource in RESOURCES:
        _add_resource(provisioners, resource, call)
    run_on_worker_threads({resource.type_name for resource in RESOURCES})
    _order_events(module("services.cloudformation.stacks"))
    repair_alarms_of_templates(provisioners)
    _repair_bucket_tags(provisioners)
    repair_tables(provisioners)
    quicken_batch_writes(module("services.dynamodb"))
    repair_schedules_of_templates(provisioners)
    _add_to_step_functions()


def _add_resource(provisioners: ModuleType, resource: Resource, call: Call) -> None:
    def api() -> Api:
        return Api(call, current_scope())

    def create(logical_id: str, props: Params, stack_name: str) -> Made:
        return resource.create(logical_id, props, stack_name, api())

    def update(physical_id: str, old_props: Params, new_props: Params, stack_name: str) -> Made:
        return resource.update(physical_id, old_props, new_props, api())

    def delete(physical_id: str, props: Params) -> None:
        resource.delete(physical_id, props, api())

    provisioners._RESOURCE_HANDLERS[resource.type_name] = {
        "create": create,
        "update": update,
        "delete": delete,
    }
    provisioners._REPLACING_PROPERTIES[resource.type_name] = resource.replaced_by
    if resource.taggable:
        provisioners._STACK_TAG_PROPERTY[resource.type_name] = ("Tags", "list")


def _repair_bucket_tags(provisioners: ModuleType) -> None:
    """ministack drops the Tags of AWS::S3::Bucket.

    CDK's auto-delete function asks for the tag aws-cdk:auto-delete-objects before it empties a bucket, got
    NoSuchTagSet, and the stack could not be destroyed.
    """
    bucket_tags = module("services.s3")._bucket_tags
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]

    def tagged(make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def with_tags(*arguments: Any) -> Any:
            name, attributes = make(*arguments)
            tags = arguments[-2].get("Tags") or []  # (..., properties, stack name)
            bucket_tags[name] = {tag["Key"]: str(tag.get("Value", "")) for tag in tags}
            return name, attributes

        return with_tags

    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"] = handlers | {
        "create": tagged(handlers["create"]),
        "update": tagged(handlers["update"]),
    }
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")


def run_on_worker_threads(types: set[str]) -> None:
    """Endpoints take seconds; on the gateway's loop they would block every other service."""
    stacks = module("services.cloudformation.stacks")
    blocking = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda resource_type: resource_type in types or blocking(resource_type)


def _order_events(stacks: ModuleType) -> None:
    """Give no two stack events the same millisecond: the CDK CLI sorts by it, and shows ties backwards."""
    lock = threading.Lock()
    last = datetime.now(UTC)

    def now_iso() -> str:
        nonlocal last
        with lock:
            last = max(datetime.now(UTC), last + timedelta(milliseconds=1))
            return f"{last:%Y-%m-%dT%H:%M:%S}.{last.microsecond // 1000:03d}Z"

    stacks.now_iso = now_iso  # type: ignore[attr-defined]


def _sagemaker_error(code: str) -> str:
    """An error as Step Functions names it: as the class in the SDK for Java, which for errors that are not
    modelled is the service's own."""
    if code in _MODELLED_ERRORS:
        return f"SageMaker.{code.removesuffix('Exception')}Exception"
    return "SageMaker.SageMakerException"


def _add_to_step_functions() -> None:
    stepfunctions = module("services.stepfunctions")
    repair_maps(stepfunctions)
    publish_executions(stepfunctions)
    stepfunctions._AWS_SDK_ERROR_PREFIX["applicationautoscaling"] = "ApplicationAutoScaling"
    named = stepfunctions._prefix_sdk_error
    stepfunctions._prefix_sdk_error = lambda service, code: (
        _sagemaker_error(code) if service == "sagemaker" else named(service, code)
    )
    services = stepfunctions._AWS_SDK_SERVICE_MAP
    services["sagemaker"] = {"target_prefix": "SageMaker", "protocol": "json"}
    services["applicationautoscaling"] = {
        "target_prefix": "AnyScaleFrontendService",
        "protocol": "json",
        "service_key": "application-autoscaling",
    }
