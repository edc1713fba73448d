"""Rules of CreateEndpointConfig beyond the shapes (sagemaker-rules 1.3, 3.1, 4, 8)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sandbox.control_plane.model_rules import named_containers
from sandbox.store import Params, Scope
from sandbox.validation import raise_findings

_SERVERLESS_MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)  # DG: serverless endpoints
_METRIC_FREQUENCIES = (10, 30, 60, 120, 180, 240, 300)  # MetricsConfig.MetricPublishFrequencyInSeconds
_LOCAL_STORAGE = re.compile(r"ml\.(\w+d|g4dn|g5|p4de?)\.")  # these take no EBS volume of a chosen size
_NOT_SERVERLESS = (
    "VolumeSizeInGB",
    "ModelDataDownloadTimeoutInSeconds",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "InferenceAmiVersion",
    "RoutingConfig",
    "ManagedInstanceScaling",
    "CoreDumpConfig",
    "EnableSSMAccess",
)


def check_config(config: Params, models: Mapping[str, Params], scope: Scope) -> None:
    """Check a request of CreateEndpointConfig.

    Args:
        config: The request.
        models: The requests that made the models which it names, by name.
        scope: Account and Region that it is for.

    Raises:
        ServiceError: ValidationException with every finding.
    """
    findings = [*_variants_together(config)]
    for member, where in (
        ("ProductionVariants", "production"),
        ("ShadowProductionVariants", "shadowProduction"),
    ):
        for number, variant in enumerate(config.get(member, []), start=1):
            model = models.get(variant.get("ModelName", ""))
            place = f"{where}Variants.{number}.member"
            findings += [f"{place}: {finding}" for finding in _variant(variant, model, config)]
    findings += [
        *_shadow(config, models),
        *_async(config, models, scope),
        *_serverless_endpoint(config),
        *_metrics(config),
    ]
    raise_findings(findings)


def is_serverless(config: Params) -> bool:
    """Whether any variant of a configuration is serverless."""
    return any("ServerlessConfig" in variant for variant in config["ProductionVariants"])


def _variants_together(config: Params) -> Iterator[str]:
    production = config["ProductionVariants"]
    names = [variant["VariantName"] for variant in production + config.get("ShadowProductionVariants", [])]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        yield f"VariantName must be unique in the configuration; repeated: {', '.join(repeated)}"
    if production and not sum(variant.get("InitialVariantWeight", 1.0) for variant in production):
        yield "the InitialVariantWeight of at least one of the ProductionVariants must be greater than 0"


def _variant(variant: Params, model: Params | None, config: Params) -> Iterator[str]:
    kinds = [
        kind
        for kind, members in {
            "InstanceType with InitialInstanceCount": ("InstanceType", "InitialInstanceCount"),
            "InstancePools": ("InstancePools",),
            "ServerlessConfig": ("ServerlessConfig",),
        }.items()
        if any(member in variant for member in members)
    ]
    if len(kinds) != 1:
        given = f"; given are {' and '.join(kinds)}" if kinds else ""
        yield (
            "a variant needs exactly one of InstanceType with InitialInstanceCount, InstancePools, "
            f"or ServerlessConfig{given}"
        )
    elif "InstanceType" in kinds[0]:
        missing = {"InstanceType", "InitialInstanceCount"} - variant.keys()
        if missing:
            yield f"an instance based variant needs {missing.pop()} too"
    if model is None:
        if "ExecutionRoleArn" not in config:
            yield (
                "a variant without ModelName hosts inference components, for which the configuration needs "
                "ExecutionRoleArn"
            )
    elif "ExecutionRoleArn" not in model:
        yield f"the model {variant['ModelName']!r} has no ExecutionRoleArn, which hosting needs"
    yield from _instances(variant)
    yield from _scaling_and_routing(variant)
    if "ServerlessConfig" in variant:
        yield from _serverless(variant, model)


def _instances(variant: Params) -> Iterator[str]:
    instance_type = variant.get("InstanceType", "")
    if "AcceleratorType" in variant:
        yield "AcceleratorType is no longer supported: Elastic Inference is no longer available"
    if "VolumeSizeInGB" in variant and _LOCAL_STORAGE.match(instance_type):
        yield f"VolumeSizeInGB is not allowed for {instance_type}, which has local storage"
    ami = variant.get("InferenceAmiVersion", "")
    neuron = instance_type.startswith(("ml.inf", "ml.trn"))
    gpu = instance_type.startswith(("ml.p", "ml.g"))
    if instance_type and (("gpu" in ami and not gpu) or ("neuron" in ami and not neuron)):
        yield f"InferenceAmiVersion {ami} does not fit the instance type {instance_type}"


def _scaling_and_routing(variant: Params) -> Iterator[str]:
    scaling = variant.get("ManagedInstanceScaling")
    if scaling:
        if "ModelName" in variant:
            yield "ManagedInstanceScaling is only supported for inference component endpoints"
        low, high = scaling.get("MinInstanceCount", 0), scaling.get("MaxInstanceCount")
        if high is not None and low > high:
            yield f"ManagedInstanceScaling.MinInstanceCount {low} is greater than MaxInstanceCount {high}"
    routing = variant.get("RoutingConfig", {})
    if ("PrefixAwareRoutingConfig" in routing) != (routing.get("RoutingStrategy") == "PREFIX_AWARE"):
        yield "RoutingConfig.PrefixAwareRoutingConfig and the RoutingStrategy PREFIX_AWARE need each other"


def _serverless(variant: Params, model: Params | None) -> Iterator[str]:
    serverless = variant["ServerlessConfig"]
    memory, limit = serverless["MemorySizeInMB"], serverless["MaxConcurrency"]
    provisioned = serverless.get("ProvisionedConcurrency", 0)
    if memory not in _SERVERLESS_MEMORY:
        yield f"MemorySizeInMB must be one of {', '.join(map(str, _SERVERLESS_MEMORY))}, not {memory}"
    if provisioned > limit:
        yield f"ProvisionedConcurrency {provisioned} is greater than MaxConcurrency {limit}"
    for member in _NOT_SERVERLESS:
        if member in variant:
            yield f"{member} is not supported for serverless variants"
    if model is None:
        return
    containers = [container for _, container in named_containers(model)]
    unsupported = {
        "VpcConfig": "VpcConfig" in model,
        "EnableNetworkIsolation": model.get("EnableNetworkIsolation", False),
        "more than one container": len(containers) > 1,
        "Mode MultiModel": any(container.get("Mode") == "MultiModel" for container in containers),
        "ModelDataSource": any("ModelDataSource" in container for container in containers),
        "a private Docker registry": any(
            "RepositoryAuthConfig" in c.get("ImageConfig", {}) for c in containers
        ),
    }
    for what, is_used in unsupported.items():
        if is_used:
            yield f"the model {variant['ModelName']!r} uses {what}, which serverless variants do not support"


def _serverless_endpoint(config: Params) -> Iterator[str]:
    if not is_serverless(config):
        return
    if len(config["ProductionVariants"]) > 1:
        yield "a serverless endpoint has one production variant"
    if config.get("DataCaptureConfig", {}).get("EnableCapture", True) and "DataCaptureConfig" in config:
        yield "DataCaptureConfig is not supported for serverless endpoints"
    for member in ("VpcConfig", "EnableNetworkIsolation", "AsyncInferenceConfig", "ExplainerConfig"):
        if config.get(member):
            yield f"{member} is not supported for serverless endpoints"


def _shadow(config: Params, models: Mapping[str, Params]) -> Iterator[str]:
    shadows, production = config.get("ShadowProductionVariants", []), config["ProductionVariants"]
    if not shadows:
        return
    if len(shadows) != 1 or len(production) != 1:
        yield "a shadow test has exactly one production variant and one shadow variant"
    variants = production + shadows
    containers = [
        [container for _, container in named_containers(models[variant["ModelName"]])]
        for variant in variants
        if variant.get("ModelName") in models
    ]
    excluded = {
        "ServerlessConfig": any("ServerlessConfig" in variant for variant in variants),
        "AsyncInferenceConfig": "AsyncInferenceConfig" in config,
        "models with several containers": any(len(group) > 1 for group in containers),
        "multi-model containers": any(c.get("Mode") == "MultiModel" for group in containers for c in group),
        "ml.inf1 instances": any(v.get("InstanceType", "").startswith("ml.inf1.") for v in variants),
    }
    for what, is_used in excluded.items():
        if is_used:
            yield f"shadow variants do not support {what}"


def _async(config: Params, models: Mapping[str, Params], scope: Scope) -> Iterator[str]:
    if "AsyncInferenceConfig" not in config:
        return
    if any(v.get("InstanceType", "").startswith("ml.inf1.") for v in config["ProductionVariants"]):
        yield "AsyncInferenceConfig is not supported on ml.inf1 instances"
    for name, model in models.items():
        if (model.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct":
            yield (
                f"the model {name!r} has containers in Direct mode, of which InvokeEndpointAsync names none"
            )
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    if "S3OutputPath" not in output:
        yield "AsyncInferenceConfig.OutputConfig needs S3OutputPath"
    notifications = output.get("NotificationConfig", {})
    topics = {"SUCCESS_NOTIFICATION_TOPIC": "SuccessTopic", "ERROR_NOTIFICATION_TOPIC": "ErrorTopic"}
    for name in notifications.get("IncludeInferenceResponseIn", []):
        if topics[name] not in notifications:
            yield f"IncludeInferenceResponseIn names {name}, so NotificationConfig needs {topics[name]}"
    for member in topics.values():
        region = notifications.get(member, f":::{scope.region}").split(":")[3]
        if region != scope.region:
            yield f"{member} is in {region}; it must be in the endpoint's Region, {scope.region}"


def _metrics(config: Params) -> Iterator[str]:
    frequency = config.get("MetricsConfig", {}).get("MetricPublishFrequencyInSeconds")
    if frequency is not None and frequency not in _METRIC_FREQUENCIES:
        legal = ", ".join(map(str, _METRIC_FREQUENCIES))
        yield f"MetricsConfig.MetricPublishFrequencyInSeconds must be one of {legal}, not {frequency}"
