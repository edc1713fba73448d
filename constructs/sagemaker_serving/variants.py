"""Variants: what serves a share of an endpoint's traffic, or a copy of it, and on what machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_sagemaker as sagemaker

from .errors import Findings, InvalidConfiguration, is_token
from .instances import Accelerator, InstanceType
from .limits import adopt, check_choice, check_integer, check_number, check_seconds, seconds_or_none
from .naming import NameKind, check_name
from .serverless import ServerlessVariant

__all__ = [
    "MAX_VARIANTS",
    "InferenceAmiVersion",
    "InstanceFleet",
    "InstanceVariant",
    "PrefixAwareRouting",
    "ProductionVariant",
    "RoutingStrategy",
    "ServerlessVariant",
    "ShadowVariant",
    "check_shadow",
    "check_variants",
]

MAX_VARIANTS = 10
"""Production variants in one endpoint configuration (API shape ProductionVariantList)."""


class RoutingStrategy(StrEnum):
    """How SageMaker picks the instance for a request (API shape RoutingStrategy).

    ``KV_AWARE`` exists in newer APIs but not in CloudFormation, so it is not offered.
    """

    RANDOM = "RANDOM"
    LEAST_OUTSTANDING_REQUESTS = "LEAST_OUTSTANDING_REQUESTS"
    PREFIX_AWARE = "PREFIX_AWARE"


class InferenceAmiVersion(StrEnum):
    """The machine image below the container (API shape ProductionVariantInferenceAmiVersion)."""

    GPU_CUDA_12_2 = "al2-ami-sagemaker-inference-gpu-2"
    GPU_CUDA_12_2_NO_COMPAT = "al2-ami-sagemaker-inference-gpu-2-1"
    GPU_CUDA_12_4 = "al2-ami-sagemaker-inference-gpu-3-1"
    GPU_CUDA_13_0 = "al2023-ami-sagemaker-inference-gpu-4-1"
    NEURON_2 = "al2-ami-sagemaker-inference-neuron-2"

    @property
    def accelerator(self) -> Accelerator:
        """The accelerator whose driver the machine image holds."""
        return Accelerator.NEURON if "neuron" in self.value else Accelerator.GPU


@dataclass(frozen=True, kw_only=True)
class PrefixAwareRouting:
    """Sends requests that begin alike to the same instance (API shape PrefixAwareRoutingConfig).

    Args:
        prefix_length: Bytes of the request that count as its prefix, 1024 to 65536.
        concurrency_threshold: Requests in flight on an instance from which on others are used, 1 to 1024.

    Raises:
        InvalidConfiguration: A value is out of range.
    """

    prefix_length: int
    concurrency_threshold: int

    def __post_init__(self) -> None:
        findings = Findings("PrefixAwareRouting")
        source = "API shape PrefixAwareRoutingConfig"
        check_integer(findings, "prefix_length", self.prefix_length, low=1024, high=65536, source=source)
        check_integer(
            findings, "concurrency_threshold", self.concurrency_threshold, low=1, high=1024, source=source
        )
        findings.raise_if_any()


@dataclass(frozen=True, kw_only=True)
class InstanceFleet:
    """What `InstanceVariant` and `ShadowVariant` share: instances of one type that serve a model (API shape
    ProductionVariant).

    Args:
        instance_type: For example ``ml.c7g.large``.
        name: Stable: metrics, alarms, scaling and deployment guardrails go by it.
        initial_instance_count: Instances at the start, 1 or more. Default 1.
        weight: See the two variants. Default 1.0.
        volume_size_gb: Size of the attached volume, 1 to 512 GB (gp2). Not for instance families with a disk
            of their own. Default: what SageMaker gives.
        model_data_download_timeout: 60 to 3600 s. Default: SageMaker's.
        container_startup_timeout: How long the container may take until it answers ``/ping``, 60 to 3600 s.
            Default: SageMaker's.
        routing_strategy: Default: SageMaker's, which is random.
        prefix_aware_routing: Needed with, and allowed only with, `RoutingStrategy.PREFIX_AWARE`.
        inference_ami_version: Only for instances with the accelerator whose driver it holds.
        enable_ssm_access: Opens the container to AWS Systems Manager sessions. Default off.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    instance_type: InstanceType | str
    name: str
    initial_instance_count: int = 1
    weight: float = 1.0
    volume_size_gb: int | None = None
    model_data_download_timeout: cdk.Duration | None = None
    container_startup_timeout: cdk.Duration | None = None
    routing_strategy: RoutingStrategy | None = None
    prefix_aware_routing: PrefixAwareRouting | None = None
    inference_ami_version: InferenceAmiVersion | None = None
    enable_ssm_access: bool = False

    def __post_init__(self) -> None:
        findings = Findings(f"{type(self).__name__} {self.name!r}")
        check_name(findings, "name", self.name, NameKind.VARIANT)
        check_integer(
            findings,
            "initial_instance_count",
            self.initial_instance_count,
            low=1,
            source="API shape InitialTaskCount: an endpoint cannot start without instances",
        )
        self._check_weight(findings)
        for field in ("model_data_download_timeout", "container_startup_timeout"):
            check_seconds(
                findings, field, getattr(self, field), low=60, high=3600, source="API shape ProductionVariant"
            )
        self._check_routing(findings)
        instance = self._resolve_instance(findings)
        self._check_volume(findings, instance)
        self._check_ami(findings, instance)
        self._check_kind(findings, instance)
        findings.raise_if_any()

    @property
    def instance(self) -> InstanceType:
        """The instance type, parsed."""
        if isinstance(self.instance_type, InstanceType):
            return self.instance_type
        return InstanceType(self.instance_type)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        found = [f"Variant {self.name}: {warning}" for warning in self.instance.warnings]
        if self.volume_size_gb is not None and self.instance.supports_volume_size is None:
            found.append(
                f"Variant {self.name}: {self.instance} has a local disk; SageMaker may refuse "
                "volume_size_gb. Leave it out."
            )
        return tuple(found)

    def render(self, model_name: str) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
        """The variant as an endpoint configuration holds it.

        Args:
            model_name: The model that the variant serves, usually a reference to a model in the same stack.
        """
        config = sagemaker.CfnEndpointConfig
        routing = None
        if self.routing_strategy is not None:
            prefix = self.prefix_aware_routing
            routing = config.RoutingConfigProperty(
                routing_strategy=self.routing_strategy,
                prefix_aware_routing_config=config.PrefixAwareRoutingConfigProperty(
                    prefix_length=prefix.prefix_length, concurrency_threshold=prefix.concurrency_threshold
                )
                if prefix
                else None,
            )
        return config.ProductionVariantProperty(
            variant_name=self.name,
            model_name=model_name,
            instance_type=self.instance.name,
            initial_instance_count=self.initial_instance_count,
            initial_variant_weight=self.weight,
            volume_size_in_gb=self.volume_size_gb,
            model_data_download_timeout_in_seconds=seconds_or_none(self.model_data_download_timeout),
            container_startup_health_check_timeout_in_seconds=seconds_or_none(self.container_startup_timeout),
            routing_config=routing,
            inference_ami_version=self.inference_ami_version,
            enable_ssm_access=self.enable_ssm_access or None,
        )

    def _check_weight(self, findings: Findings) -> None:
        check_number(findings, "weight", self.weight, low=0, source="API shape VariantWeight")

    def _check_kind(self, findings: Findings, instance: InstanceType | None) -> None:
        """Check what only this kind of variant asks for."""

    def _resolve_instance(self, findings: Findings) -> InstanceType | None:
        try:
            return self.instance
        except InvalidConfiguration as error:
            adopt(findings, error, "instance_type")
            return None

    def _check_routing(self, findings: Findings) -> None:
        strategy = check_choice(
            findings,
            "routing_strategy",
            self.routing_strategy,
            RoutingStrategy,
            source="API shape RoutingStrategy, as far as CloudFormation has it",
        )
        wants_prefix = strategy is RoutingStrategy.PREFIX_AWARE
        if self.prefix_aware_routing is not None and not is_token(self.routing_strategy):
            findings.require(
                wants_prefix,
                "prefix_aware_routing",
                self.prefix_aware_routing,
                "is allowed only with routing_strategy PREFIX_AWARE (API ProductionVariantRoutingConfig)",
                "remove it, or set routing_strategy=RoutingStrategy.PREFIX_AWARE",
            )
        elif wants_prefix:
            findings.require(
                False,
                "prefix_aware_routing",
                None,
                "routing_strategy PREFIX_AWARE needs it (API shape ProductionVariantRoutingConfig)",
                "give PrefixAwareRouting(prefix_length=..., concurrency_threshold=...)",
            )

    def _check_volume(self, findings: Findings, instance: InstanceType | None) -> None:
        if self.volume_size_gb is None:
            return
        check_integer(
            findings,
            "volume_size_gb",
            self.volume_size_gb,
            low=1,
            high=512,
            source="API shape ProductionVariantVolumeSizeInGB",
        )
        findings.require(
            instance is None or instance.supports_volume_size is not False,
            "volume_size_gb",
            self.volume_size_gb,
            f"{instance} stores on its own local disk and takes no volume size",
            "remove it, or choose an instance family without a local disk",
        )

    def _check_ami(self, findings: Findings, instance: InstanceType | None) -> None:
        version = check_choice(
            findings,
            "inference_ami_version",
            self.inference_ami_version,
            InferenceAmiVersion,
            source="API shape ProductionVariantInferenceAmiVersion",
        )
        if not isinstance(version, InferenceAmiVersion) or instance is None or instance.accelerator is None:
            return
        findings.require(
            version.accelerator is instance.accelerator,
            "inference_ami_version",
            version.value,
            f"is for {version.accelerator.name} instances, and {instance} has {_has(instance.accelerator)}",
            "remove it, or choose an instance type with that accelerator",
        )


@dataclass(frozen=True, kw_only=True)
class InstanceVariant(InstanceFleet):
    """A production variant that runs on instances of one type (API shape ProductionVariant).

    Args:
        instance_type: For example ``ml.c7g.large``.
        name: Stable: metrics, alarms, scaling and deployment guardrails go by it. Default ``primary``.
        weight: Share of the traffic relative to the other variants' weights; 0 for none but what is sent to
            the variant by name. Default 1.0.

    All others, and the errors: see `InstanceFleet`.
    """

    name: str = "primary"


@dataclass(frozen=True, kw_only=True)
class ShadowVariant(InstanceFleet):
    """A variant that gets a copy of the production variant's requests and whose answers no caller sees (API
    member ShadowProductionVariants; developer guide, shadow variants).

    It needs exactly one production variant beside it, and models of one container each on both sides.

    Args:
        instance_type: For example ``ml.c7g.large``; not Inf1.
        name: Its metrics appear under it. Default ``shadow``.
        weight: Sampling share relative to the production variant's weight: equal weights copy every request,
            half the weight copies half of them. Above 0, at most the production variant's. Default 1.0.

    All others, and the errors: see `InstanceFleet`.
    """

    name: str = "shadow"

    def _check_weight(self, findings: Findings) -> None:
        check_number(
            findings, "weight", self.weight, above=0, source="API VariantWeight; 0 would copy no request"
        )

    def _check_kind(self, findings: Findings, instance: InstanceType | None) -> None:
        if instance is not None:
            _refuse_inf1(findings, "instance_type", instance)


ProductionVariant = InstanceVariant | ServerlessVariant
"""What an endpoint's requests go to; the variants of one endpoint are all of one kind."""


def check_shadow(
    findings: Findings, variants: Sequence[ProductionVariant], shadow: ShadowVariant, field: str = "shadow"
) -> None:
    """Note a finding for every rule that a shadow variant breaks together with the production variants.

    Args:
        findings: Where to note them.
        variants: All production variants of the endpoint.
        shadow: The shadow variant.
        field: The argument that holds it.
    """
    if not findings.require(
        isinstance(shadow, ShadowVariant), field, shadow, "is no ShadowVariant", "give a ShadowVariant"
    ):
        return
    findings.require(
        len(variants) == 1,
        field,
        f"{shadow.name!r} beside {len(variants)} production variants",
        "a shadow variant needs exactly one production variant (API member ShadowProductionVariants)",
        "keep one production variant, or remove the shadow variant",
    )
    for index, variant in enumerate(variants):
        findings.require(
            isinstance(variant, InstanceVariant),
            field,
            f"{shadow.name!r} beside variants[{index}], a {type(variant).__name__}",
            "shadow variants copy from instances only (developer guide, shadow tests exclusions)",
            "give an InstanceVariant, or remove the shadow variant",
        )
        findings.require(
            is_token(variant.name) or variant.name != shadow.name,
            f"{field}.name",
            shadow.name,
            "a production variant has the same name, and names are unique within an endpoint configuration",
            "rename the shadow variant",
        )
        findings.require(
            is_token(variant.weight) or shadow.weight <= variant.weight,
            f"{field}.weight",
            shadow.weight,
            f"more than all requests cannot be copied: the production variant's weight is {variant.weight}",
            f"give a number above 0, up to {variant.weight}",
        )
        if isinstance(variant, InstanceVariant):
            _refuse_inf1(findings, f"variant {variant.name!r}.instance_type", variant.instance)


def _refuse_inf1(findings: Findings, field: str, instance: InstanceType) -> None:
    findings.require(
        instance.family != "inf1",
        field,
        instance.name,
        "Inf1 instances take no part in shadow tests (developer guide, shadow tests exclusions)",
        "choose an instance type of another family",
    )


def check_variants(
    findings: Findings, variants: Sequence[ProductionVariant], field: str = "variants"
) -> None:
    """Note a finding for every rule that the variants of one endpoint break together.

    Args:
        findings: Where to note them.
        variants: All production variants of the endpoint.
        field: The argument that holds them.
    """
    findings.require(
        1 <= len(variants) <= MAX_VARIANTS,
        field,
        f"{len(variants)} variants",
        f"an endpoint has 1 to {MAX_VARIANTS} production variants (API shape ProductionVariantList)",
        "add one" if not variants else f"keep at most {MAX_VARIANTS}",
    )
    known = [variant for variant in variants if isinstance(variant, InstanceVariant | ServerlessVariant)]
    for index, variant in enumerate(variants):
        findings.require(
            isinstance(variant, InstanceVariant | ServerlessVariant),
            f"{field}[{index}]",
            variant,
            "a production variant is an InstanceVariant or a ServerlessVariant",
            "give one of them",
        )
    serverless = [variant.name for variant in known if isinstance(variant, ServerlessVariant)]
    findings.require(
        not serverless or len(known) == 1,
        field,
        f"serverless variant {serverless[0]!r} and {len(known) - 1} more" if serverless else field,
        "a serverless endpoint has one production variant (developer guide, serverless endpoints)",
        "keep the serverless variant alone, or give instance variants only",
    )
    _check_unique(findings, known, field)
    weights = [variant.weight for variant in known]
    findings.require(
        not weights or any(is_token(weight) or weight > 0 for weight in weights),
        field,
        f"weights {weights}",
        "at least one variant needs a weight above 0, or the traffic goes nowhere",
        "give one variant a weight, for example 1",
    )


def _check_unique(findings: Findings, variants: Sequence[ProductionVariant], field: str) -> None:
    seen: dict[str, int] = {}
    for index, variant in enumerate(variants):
        first = seen.setdefault(variant.name, index)
        findings.require(
            first == index,
            f"{field}[{index}].name",
            variant.name,
            f"{field}[{first}] has the same name, and names are unique within an endpoint configuration",
            "rename one of them",
        )


def _has(accelerator: Accelerator) -> str:
    return "none" if accelerator is Accelerator.NONE else accelerator.name
