"""DescribeEndpoint: an endpoint and what serves behind it, as the API shows it."""

from __future__ import annotations

from sandbox.serverless import ServerlessFleet
from sandbox.store import Endpoint, Params, Pending, Record, Variant

_REASON_LENGTH = 1024  # FailureReason


def describe_endpoint(endpoint: Endpoint, config: Record | None) -> Params:
    """The answer of DescribeEndpoint.

    Args:
        endpoint: The endpoint.
        config: The configuration that serves; None when it was deleted meanwhile.
    """
    answer: Params = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config_name,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
    }
    if endpoint.variants:
        answer["ProductionVariants"] = [_variant(variant) for variant in endpoint.variants.values()]
    if endpoint.shadow_variants:
        answer["ShadowProductionVariants"] = [
            _variant(variant) for variant in endpoint.shadow_variants.values()
        ]
    if endpoint.data_capture:
        answer["DataCaptureConfig"] = _data_capture(endpoint.data_capture)
    if endpoint.failure_reason:
        answer["FailureReason"] = endpoint.failure_reason[:_REASON_LENGTH]
    if endpoint.deployment_config:
        answer["LastDeploymentConfig"] = endpoint.deployment_config
    if endpoint.async_inference:
        answer["AsyncInferenceConfig"] = endpoint.async_inference
    if config is not None:
        for member in ("ExplainerConfig", "MetricsConfig"):
            if member in config.request:
                answer[member] = config.request[member]
    if endpoint.pending:
        answer["PendingDeploymentSummary"] = _pending(endpoint.pending)
    return answer


def _variant(variant: Variant) -> Params:
    summary: Params = {
        "VariantName": variant.name,
        "DeployedImages": variant.fleet.deployed_images,
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.desired_weight,
        **_capacity(variant),
    }
    for member in ("ManagedInstanceScaling", "RoutingConfig"):
        if member in variant.production_variant:
            summary[member] = variant.production_variant[member]
    if variant.stage is not None:
        stage = variant.stage
        summary["VariantStatus"] = [
            {"Status": stage.status, "StatusMessage": stage.message, "StartTime": stage.started_at}
        ]
    return summary


def _capacity(variant: Variant) -> Params:
    if isinstance(variant.fleet, ServerlessFleet) and variant.desired_serverless is not None:
        return {
            "CurrentServerlessConfig": variant.fleet.size.config,
            "DesiredServerlessConfig": variant.desired_serverless.config,
        }
    return {
        "CurrentInstanceCount": len(variant.fleet.in_service()),
        "DesiredInstanceCount": variant.desired_instance_count,
    }


def _pending(pending: Pending) -> Params:
    answer: Params = {
        "EndpointConfigName": pending.config_name,
        "ProductionVariants": [_pending_variant(each) for each in pending.variants.values()],
        "StartTime": pending.started_at,
    }
    if pending.shadow_variants:
        answer["ShadowProductionVariants"] = [
            _pending_variant(each) for each in pending.shadow_variants.values()
        ]
    return answer


def _pending_variant(variant: Variant) -> Params:
    summary = _variant(variant)
    if "InstanceType" in variant.production_variant:
        summary["InstanceType"] = variant.production_variant["InstanceType"]
    return summary


def _data_capture(config: Params) -> Params:
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
