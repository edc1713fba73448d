"""A variant without instances: its sizes and limits."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_sagemaker as sagemaker

from .errors import Findings, is_token
from .limits import check_integer
from .naming import NameKind, check_name

SERVERLESS_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
"""Sizes of a serverless variant (API shape ServerlessMemorySizeInMB, which would take any number between; the
developer guide, serverless endpoints, has these)."""

MAX_SERVERLESS_CONCURRENCY = 200
"""Requests that a serverless variant can answer at a time (API shape ServerlessMaxConcurrency)."""


@dataclass(frozen=True, kw_only=True)
class ServerlessVariant:
    """A production variant without instances: SageMaker starts containers for requests, and takes them away
    when there are none (API shape ProductionVariantServerlessConfig; developer guide, serverless endpoints).

    It is its endpoint's only variant, and serves a model of one x86-64 container without a GPU, a VPC or
    network isolation.

    Args:
        memory_mb: Memory of each container, 1024 to 6144 MB in steps of 1024; processors come in proportion.
        max_concurrency: Requests answered at a time, 1 to 200, one by each container; others are throttled.
        name: Metrics, alarms and scaling go by it. Default ``primary``.
        provisioned_concurrency: Containers that are kept warm, and billed, 1 to ``max_concurrency``. Default:
            none, so that a request after a pause waits for a cold start.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    memory_mb: int
    max_concurrency: int
    name: str = "primary"
    provisioned_concurrency: int | None = None

    def __post_init__(self) -> None:
        findings = Findings(f"ServerlessVariant {self.name!r}")
        check_name(findings, "name", self.name, NameKind.VARIANT)
        sizes = ", ".join(map(str, SERVERLESS_MEMORY_MB))
        findings.require(
            self.memory_mb in SERVERLESS_MEMORY_MB and not isinstance(self.memory_mb, float),
            "memory_mb",
            self.memory_mb,
            f"must be one of {sizes} (developer guide, serverless endpoints)",
            f"give {_next_size(self.memory_mb)}",
        )
        source = "API shape ServerlessMaxConcurrency"
        highest = MAX_SERVERLESS_CONCURRENCY
        known = check_integer(
            findings, "max_concurrency", self.max_concurrency, low=1, high=highest, source=source
        )
        if self.provisioned_concurrency is not None:
            if known and not is_token(self.max_concurrency):
                highest, source = (
                    self.max_concurrency,
                    "max_concurrency; API ServerlessProvisionedConcurrency",
                )
            check_integer(
                findings,
                "provisioned_concurrency",
                self.provisioned_concurrency,
                low=1,
                high=highest,
                source=source,
            )
        findings.raise_if_any()

    @property
    def weight(self) -> float:
        """Share of the traffic: all of it."""
        return 1.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nothing to know."""
        return ()

    def render(self, model_name: str) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
        """The variant as an endpoint configuration holds it.

        Args:
            model_name: The model that the variant serves, usually a reference to a model in the same stack.
        """
        config = sagemaker.CfnEndpointConfig
        return config.ProductionVariantProperty(
            variant_name=self.name,
            model_name=model_name,
            initial_variant_weight=self.weight,
            serverless_config=config.ServerlessConfigProperty(
                memory_size_in_mb=self.memory_mb,
                max_concurrency=self.max_concurrency,
                provisioned_concurrency=self.provisioned_concurrency,
            ),
        )


def _next_size(memory_mb: object) -> int:
    """The smallest size that holds what was asked for; the largest for more than that, or for no number."""
    asked = memory_mb if isinstance(memory_mb, int | float) else SERVERLESS_MEMORY_MB[-1]
    return next((size for size in SERVERLESS_MEMORY_MB if size >= asked), SERVERLESS_MEMORY_MB[-1])
