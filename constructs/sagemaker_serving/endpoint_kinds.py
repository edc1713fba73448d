"""What asynchronous and serverless endpoints cannot have, of what real-time endpoints can."""

from __future__ import annotations

from .endpoint_parts import EndpointParts, ServedVariant
from .errors import Findings
from .images import FrameworkImage, Processor
from .instances import Architecture
from .model import ContainerInvocation
from .variants import InstanceVariant, ServerlessVariant

# What the model servers in AWS's images take, in bytes, without a word: about 6.5 MB.
_REQUEST_SIZES = {
    "pytorch": ("TS_MAX_REQUEST_SIZE", "TS_MAX_RESPONSE_SIZE", "TS_DEFAULT_RESPONSE_TIMEOUT"),
    "huggingface": ("MMS_MAX_REQUEST_SIZE", "MMS_MAX_RESPONSE_SIZE", "MMS_DEFAULT_RESPONSE_TIMEOUT"),
}


def check_asynchronous(findings: Findings, parts: EndpointParts) -> None:
    """Note a finding for everything that an asynchronous endpoint cannot have.

    Args:
        findings: Where to note them.
        parts: What the endpoint is made of.
    """
    findings.require(
        parts.shadow is None,
        "shadow",
        parts.shadow and parts.shadow.variant.name,
        "asynchronous endpoints take no part in shadow tests (developer guide, shadow tests exclusions)",
        "remove the shadow variant, or async_inference",
    )
    findings.require(
        len(parts.production) == 1,
        "variants",
        f"{len(parts.production)} variants",
        "an asynchronous endpoint has one production variant: its queue knows no other (AWS CDK RFC 431, "
        "asynchronous endpoint configurations)",
        "keep one variant, or remove async_inference",
    )
    for item in parts.production:
        where = f"variant {item.variant.name!r}"
        if not isinstance(item.variant, InstanceVariant):
            findings.require(
                False,
                where,
                type(item.variant).__name__,
                "an asynchronous endpoint runs on instances; serverless is another type of endpoint "
                "(developer guide, inference options)",
                "give an InstanceVariant, or remove async_inference",
            )
            continue
        instance = item.variant.instance
        findings.require(
            instance.family != "inf1",
            f"{where}.instance_type",
            instance.name,
            "Inf1 instances cannot serve asynchronous endpoints (developer guide, asynchronous inference)",
            "choose an instance type of another family, for example ml.inf2",
        )
        findings.require(
            item.model.invocation != ContainerInvocation.DIRECT,
            f"{where}.model",
            "ContainerInvocation.DIRECT",
            "an asynchronous request cannot name a container (API InvokeEndpointAsync has no "
            "TargetContainerHostname)",
            "serve one container, or several in series",
        )


def check_serverless(findings: Findings, parts: EndpointParts) -> None:
    """Note a finding for everything that a serverless variant cannot have (developer guide, serverless
    endpoints, feature exclusions).

    Args:
        findings: Where to note them.
        parts: What the endpoint is made of.
    """
    serverless = [item for item in parts.production if isinstance(item.variant, ServerlessVariant)]
    for item in serverless:
        _check_serverless_model(findings, item)
    if serverless:
        findings.require(
            parts.data_capture is None,
            "data_capture",
            parts.data_capture and parts.data_capture.prefix,
            f"serverless endpoints record no requests {_EXCLUDED}",
            "remove it, or give an InstanceVariant",
        )


_EXCLUDED = "(developer guide, serverless endpoints, feature exclusions)"


def _check_serverless_model(findings: Findings, item: ServedVariant) -> None:
    model, where = item.model, f"variant {item.variant.name!r}.model"
    instances = "give an InstanceVariant"
    findings.require(
        model.vpc is None,
        f"{where}.vpc",
        model.vpc and list(model.vpc.subnet_ids),
        f"a serverless variant cannot be attached to a VPC {_EXCLUDED}",
        f"make the model without vpc, or {instances}",
    )
    findings.require(
        not model.network_isolation,
        f"{where}.network_isolation",
        model.network_isolation,
        f"a serverless variant cannot be cut off from the network {_EXCLUDED}",
        f"make the model without network_isolation, or {instances}",
    )
    findings.require(
        model.container_count == 1,
        f"{where}.containers",
        f"{model.container_count} containers",
        f"a serverless variant serves one container {_EXCLUDED}",
        f"serve one container, or {instances}",
    )
    findings.require(
        model.architecture is Architecture.X86_64,
        f"{where}.architecture",
        str(model.architecture),
        "serverless containers run on x86_64; images for Graviton are for Graviton instances",
        f"make the model for {Architecture.X86_64}, or {instances}",
    )
    for index, container in enumerate(model.containers):
        image = container.image
        findings.require(
            not isinstance(image, FrameworkImage) or image.processor != Processor.GPU,
            f"{where}.containers[{index}].image",
            getattr(image, "tag", type(image).__name__),
            f"a serverless variant has no GPU {_EXCLUDED}",
            f"use the image for {Processor.CPU}, or {instances}",
        )


def asynchronous_warnings(parts: EndpointParts) -> list[str]:
    """What is allowed on an asynchronous endpoint but should be known.

    Args:
        parts: What the endpoint is made of.
    """
    texts = []
    for item in parts.production:
        for container in item.model.containers:
            image = container.image
            if not isinstance(image, FrameworkImage) or image.framework not in _REQUEST_SIZES:
                continue
            missing = [
                name for name in _REQUEST_SIZES[image.framework] if name not in container.all_environment
            ]
            if missing:
                texts.append(
                    f"Variant {item.variant.name}: the model server in AWS's {image.framework} image takes "
                    "about 6.5 MB and a minute or two for a request by itself; asynchronous requests may "
                    f"have 1 GB and an hour. Set {', '.join(missing)} in the container's environment."
                )
    return texts
