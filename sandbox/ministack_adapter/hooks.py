"""Names of ministack that are used here, and the check that they are what this package takes them for."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from sandbox.errors import SandboxError
from sandbox.store import Scope

EXPECTED_VERSION = "1.5.33"


class IncompatibleMinistack(SandboxError):
    """The installed ministack is not one that this module can extend."""


@dataclass(frozen=True)
class Hook:
    """A name of ministack that is used here.

    Args:
        module: Module below ``ministack``.
        name: Its attribute.
        shape: A type that it must be an instance of, or the names of a function's parameters.
    """

    module: str
    name: str
    shape: type | tuple[str, ...]

    def finding(self) -> str | None:
        """What is wrong with it, None if nothing is."""
        path = f"ministack.{self.module}"
        try:
            value = getattr(importlib.import_module(path), self.name)
        except (ImportError, AttributeError) as error:
            return f"{path}.{self.name}: {error}"
        if isinstance(self.shape, type):
            found = type(value).__name__
            return None if isinstance(value, self.shape) else f"{path}.{self.name} is a {found}"
        if not callable(value):
            return f"{path}.{self.name} is not a function"
        parameters = tuple(inspect.signature(value).parameters)[: len(self.shape)]
        if parameters != self.shape:
            return f"{path}.{self.name} takes ({', '.join(parameters)}), not ({', '.join(self.shape)})"
        return None


_MADE = {
    "_lambda_create": ("logical_id", "props", "stack_name"),
    "_lambda_update": ("physical_id", "old_props", "new_props", "stack_name"),
    "_lambda_delete": ("physical_id", "props"),
    "_lambda_alias_create": ("logical_id", "props", "stack_name"),
    "_lambda_alias_update": ("physical_id", "old_props", "new_props", "stack_name"),
    "_lambda_alias_delete": ("physical_id", "props"),
    "_apigw_v2_api_create": ("logical_id", "props", "stack_name"),
}
_LAMBDA: dict[str, type | tuple[str, ...]] = {
    "_functions": object,
    "_function_urls": object,
    "_execute_function": ("func", "event"),
    "_execution_record_for_config": ("func", "config"),
    "_get_func_record_for_ref": ("function_ref",),
    "invoke_async_with_retry": ("func", "event"),
    "_emit_lambda_metrics": ("function_name", "duration_ms", "error", "throttle"),
    "_emit_lambda_logs": ("func", "request_id", "log_text", "error", "duration_ms", "log_source"),
    "_function_config_scope_mismatch": ("config",),
    "_throttle_response": ("reason_code", "msg"),
    "_create_function": ("data",),
    "_update_code": ("name", "data"),
    "_delete_function": ("name", "query_params", "path_qualifier"),
    "_update_alias": ("func_name", "alias_name", "data"),
    "_delete_alias": ("func_name", "alias_name"),
    "_put_provisioned_concurrency": ("func_name", "qualifier", "data"),
    "_get_provisioned_concurrency": ("func_name", "qualifier"),
    "_delete_provisioned_concurrency": ("func_name", "qualifier"),
    "_effective_func_record_for_qualifier": ("func", "qualifier"),
    "_qualifier_from_path_or_query": ("path_qualifier", "query_params"),
    "_create_function_url_config": ("func_name", "data", "qualifier"),
    "_function_url_id": ("function_url",),
    "_url_config_key": ("func_name", "qualifier"),
    "_func_arn": ("name",),
    "resolve_function_url": ("url_id",),
}
_PUT = ("params", "cbor_data", "is_cbor", "is_json")

GATEWAY_HOOKS = (
    Hook("app", "app", ("scope", "receive", "send")),
    Hook("app", "SERVICE_HANDLERS", dict),
    Hook("app", "_S3_VHOST_EXCLUDE_RE", re.Pattern),
    Hook("app", "_parse_execute_api_url", ("host", "path")),
    Hook("app", "_parse_lambda_url", ("host", "path")),
    Hook("app", "_handle_lambda_url_request", ("host", "path", "method", "headers", "body")),
    Hook("app", "_handle_execute_api_request", ("host", "path", "method", "headers", "body")),
    Hook("app", "_resolve_stage_and_path", ("api_id", "tentative_stage", "execute_path")),
    Hook("app", "_execute_api_authorization_type", ("api_id", "stage", "method", "execute_path")),
    Hook(
        "app", "call_service_handler_sync", ("handler", "method", "path", "headers", "body", "query_params")
    ),
    Hook("core.router", "SERVICE_PATTERNS", dict),
    Hook("core.responses", "get_account_id", ()),
    Hook("core.responses", "get_region", ()),
    Hook("core.responses", "request_scope", ("account_id", "region")),
    Hook("core.responses", "error_response_json", ("code", "message", "status")),
    Hook("services.scheduler", "_tick_schedules", ()),
    Hook("services.scheduler", "_SCHEDULE_TICK_INTERVAL", int),
    Hook("services.scheduler", "_to_epoch", ("value",)),
    Hook("services.cloudwatch", "_alarms", object),
    Hook("services.cloudwatch", "_metrics", object),
    Hook("services.cloudwatch", "_dims_key", ("dims",)),
    Hook("services.cloudwatch", "_point_stats", ("pt",)),
    Hook("services.cloudwatch", "_evaluate_alarm", ("alarm",)),
    Hook("services.cloudwatch", "_evaluate_all_alarms", ()),
    Hook("services.cloudwatch", "_evict_old_metrics", ()),
    Hook("services.cloudwatch", "record_metric", ("namespace", "metric_name", "value", "unit", "dimensions")),
    Hook("services.cloudwatch", "_put_metric_alarm", _PUT),
    Hook("services.cloudwatch", "_set_alarm_state", _PUT),
)

# of modules that are imported after the start
LATE_HOOKS = (
    Hook("services.eventbridge", "_put_events", ("data", "allow_aws_source")),
    Hook("services.cloudformation.stacks", "_runs_on_worker_thread", ("resource_type",)),
    Hook("services.cloudformation.stacks", "now_iso", ()),
    Hook(
        "services.cloudformation.stacks",
        "_roll_back_operation",
        ("stack_name", "stack_id", "stack", "operation"),
    ),
    Hook("services.cloudformation.handlers", "_roll_back_operation", ("stack_name", "stack_id")),
    Hook("services.cloudformation", "_stacks", object),
    Hook(
        "services.cloudformation.custom_resource",
        "invoke_custom_resource",
        ("request_type", "logical_id", "props", "stack_name", "stack_id", "resource_type"),
    ),
    Hook("services.cloudformation.custom_resource", "register_token", ("token",)),
    Hook("services.cloudformation.custom_resource", "_pending", dict),
    Hook("services.cloudformation.custom_resource", "_response_url", ("token",)),
    Hook("services.cloudformation.custom_resource", "_normalise_resource_properties", ("value",)),
    Hook("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", dict),
    Hook("services.cloudformation.provisioners", "_REPLACING_PROPERTIES", dict),
    Hook("services.cloudformation.provisioners", "_STACK_TAG_PROPERTY", dict),
    Hook("services.cloudformation.provisioners", "_cw_metric_alarm_record", ("name", "props")),
    Hook("services.cloudformation.provisioners", "_s3_create", ("logical_id", "props", "stack_name")),
    Hook(
        "services.cloudformation.provisioners",
        "_s3_update",
        ("physical_id", "old_props", "new_props", "stack_name"),
    ),
    Hook("services.s3", "_bucket_tags", object),
    Hook("services.stepfunctions", "_AWS_SDK_SERVICE_MAP", dict),
    Hook("services.stepfunctions", "_AWS_SDK_ERROR_PREFIX", dict),
    Hook("services.stepfunctions", "_SFN_WAIT_SCALE", float),
    Hook("services.stepfunctions", "_prefix_sdk_error", ("service_name", "error_code")),
    Hook("services.stepfunctions", "_start_execution", ("data",)),
    Hook(
        "services.stepfunctions",
        "_run_distributed_map",
        ("state_def", "raw_input", "effective", "iterator", "execution", "ctx"),
    ),
    Hook("services.stepfunctions", "_ExecutionError", type),
    Hook("services.stepfunctions", "_emit_execution_status_event", ("execution",)),
    Hook("services.stepfunctions", "_map_runs", object),
    Hook("services.stepfunctions", "_executions", object),
    Hook("services.stepfunctions", "_resolve_params_obj", ("template", "data", "ctx")),
    Hook("services.stepfunctions", "_apply_result_selector", ("state_def", "data")),
    Hook("services.stepfunctions", "_apply_result_path", ("state_def", "original", "result")),
    Hook("services.stepfunctions", "_apply_output_path", ("state_def", "data", "ctx")),
    Hook("services.stepfunctions", "_invoke_aws_sdk_integration", ("resource", "input_data")),
    Hook("services.scheduler", "_schedules", object),
    Hook("services.eventbridge", "_invoke_target", ("target", "event", "rule", "view")),
    Hook("services.eventbridge", "_dispatch_to_lambda", ("arn", "payload")),
    Hook("services.eventbridge", "_pattern_event_view", ("event",)),
    Hook("services.eventbridge", "_dispatch_to_sqs", ("spec", "payload", "sqs_parameters")),
    Hook("services.eventbridge", "_parse_rate_seconds", ("expr",)),
    Hook("services.eventbridge", "_parse_cron_fields", ("expr",)),
    Hook("services.eventbridge", "_cron_next_fire", ("fields", "after_dt")),
    Hook("core.arn", "parse_arn", object),
    Hook("services.dynamodb", "_tables", object),
    Hook("services.dynamodb", "_sse_description_from_spec", ("spec",)),
    Hook("services.dynamodb", "_update_ttl", ("data",)),
    Hook("services.dynamodb", "_batch_write_item", ("data",)),
    Hook("services.dynamodb", "_validate_item", ("item", "pk_name", "sk_name", "size_msg")),
    Hook("services.dynamodb", "_accumulate_write_capacity", ("cap", "table", "old_item", "new_item")),
    Hook("services.dynamodb", "_update_continuous_backups", ("data",)),
    *(Hook("services.cloudformation.provisioners", name, parameters) for name, parameters in _MADE.items()),
    *(Hook("services.lambda_svc", name, shape) for name, shape in _LAMBDA.items()),
    Hook("services.ecr", "_images", object),
    Hook("services.ecr", "_repositories", object),
    Hook("services.ecr", "_find_image", ("repo_name", "image_id")),
    Hook("services.ecr", "_describe_images", ("data",)),
    Hook("services.ecr", "_registry_id", ()),
    Hook("services.apigateway", "_apis", object),
    Hook("services.apigateway", "_create_api", ("data",)),
    Hook("services.apigateway", "find_api_scope", ("api_id",)),
)


def check(hooks: Iterable[Hook] = (*GATEWAY_HOOKS, *LATE_HOOKS)) -> None:
    """Check that names of ministack are what this module takes them for.

    Raises:
        IncompatibleMinistack: Some are not; all of them are listed.
    """
    findings = [finding for hook in hooks if (finding := hook.finding())]
    if findings:
        raise IncompatibleMinistack(
            f"ministack {version('ministack')} is installed, the sandbox is made for {EXPECTED_VERSION}; "
            "these names are missing or different:\n  "
            + "\n  ".join(findings)
            + f"\nInstall the pinned version: python -m pip install ministack=={EXPECTED_VERSION}"
        )


def module(name: str) -> Any:
    """A module below ``ministack``."""
    return importlib.import_module(f"ministack.{name}")


def current_scope() -> Scope:
    """Account and Region of the request, or of the stack, that is being worked on."""
    responses = module("core.responses")
    return Scope(responses.get_account_id(), responses.get_region())
