"""What the emulated SageMaker knows: plain records, kept per account and Region.

Read and written only on the engine's thread (engine.py), so that no record needs a lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sandbox.fleet import Fleet
    from sandbox.pipelines.records import Execution
    from sandbox.serverless import ServerlessSize
    from sandbox.traffic import Routes

Params = dict[str, Any]


class Scope(NamedTuple):
    """Where a resource lives."""

    account: str
    region: str

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """ARN of a resource such as ``endpoint/name``; SageMaker's ARNs carry names in lower case."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclass
class Record:
    """A model, an endpoint configuration, a model package group or a pipeline.

    Args:
        name: Its name as given.
        arn: Its ARN.
        request: The validated request that created it (updates are merged in).
        created_at: Creation time, UTC.
        modified_at: Last modification time, UTC.
    """

    name: str
    arn: str
    request: Params
    created_at: datetime
    modified_at: datetime


@dataclass
class Job:
    """A processing or training job.

    Args:
        kind: ``ProcessingJob`` or ``TrainingJob``, as in the names of the API's members.
        name: Its name as given.
        arn: Its ARN.
        scope: Account and Region.
        request: The validated request, without its tags.
        created_at: Creation time, UTC.
        modified_at: When its status changed last, UTC.
        status: ``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``.
        transitions: SecondaryStatusTransitions of a training job; the last one is its SecondaryStatus.
        failure_reason: Why it is Failed.
        exit_message: What a processing container left in ``/opt/ml/output/message``.
        started_at: When its container started, UTC.
        ended_at: When it came to its end, UTC.
        metrics: FinalMetricDataList of a training job.
        artifacts: S3 URI of the model of a training job.
    """

    kind: str
    name: str
    arn: str
    scope: Scope
    request: Params
    created_at: datetime
    modified_at: datetime
    status: str = "InProgress"
    transitions: list[Params] = field(default_factory=list)
    failure_reason: str | None = None
    exit_message: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    metrics: list[Params] = field(default_factory=list)
    artifacts: str = ""


class Stage(NamedTuple):
    """What is being done to a variant at the moment (API_ProductionVariantStatus).

    Args:
        status: ``Creating``, ``Updating``, ``Deleting``, ``ActivatingTraffic`` or ``Baking``.
        message: The same for people.
        started_at: Since when, UTC.
    """

    status: str
    message: str
    started_at: datetime


@dataclass
class Variant:
    """A production or shadow variant of an endpoint as it serves now.

    Args:
        name: VariantName.
        weight: Current share relative to the other variants; of a shadow variant, relative to the
            production variant.
        desired_weight: Weight after the running update.
        desired_instance_count: Instances wanted; `fleet` holds those that serve.
        fleet: The instances.
        production_variant: The ProductionVariant of the configuration that it came from.
        desired_serverless: Of a serverless variant the size wanted; `fleet` has that of now. Its
            `desired_instance_count` is the provisioned concurrency.
        stage: Its ``VariantStatus``; None while nothing is done to it.
    """

    name: str
    weight: float
    desired_weight: float
    desired_instance_count: int
    fleet: Fleet
    production_variant: Params
    desired_serverless: ServerlessSize | None = None
    stage: Stage | None = None


@dataclass
class Pending:
    """What DescribeEndpoint shows as PendingDeploymentSummary while an update runs.

    Args:
        config_name: The configuration being deployed.
        started_at: When the update started, UTC.
        variants: The green variants, by name.
        shadow_variants: The green shadow variants, by name.
        green_shares: Share of each variant's traffic that its green twin receives, 0 to 1, by name.
    """

    config_name: str
    started_at: datetime
    variants: dict[str, Variant] = field(default_factory=dict)
    shadow_variants: dict[str, Variant] = field(default_factory=dict)
    green_shares: dict[str, float] = field(default_factory=dict)


@dataclass
class Endpoint:
    """An endpoint and what serves behind it.

    Args:
        name: EndpointName as given (matched without regard to case for uniqueness).
        arn: EndpointArn.
        scope: Account and Region.
        config_name: The configuration that serves.
        created_at: Creation time, UTC.
        modified_at: Last modification time, UTC.
        status: One of the API's EndpointStatus values.
        failure_reason: Why it is Failed, or why the last update was rolled back.
        variants: What serves, by variant name.
        shadow_variants: What gets copies of requests only, by variant name.
        pending: The running update, if any.
        deployment_config: The last DeploymentConfig given, or None.
        data_capture: The DataCaptureConfig of the serving configuration, or None.
        async_inference: The AsyncInferenceConfig of the serving configuration; None for a real-time endpoint.
        routes: Where its invocations go; None while it does not serve. Set by deployments only.
    """

    name: str
    arn: str
    scope: Scope
    config_name: str
    created_at: datetime
    modified_at: datetime
    status: str = "Creating"
    failure_reason: str | None = None
    variants: dict[str, Variant] = field(default_factory=dict)
    shadow_variants: dict[str, Variant] = field(default_factory=dict)
    pending: Pending | None = None
    deployment_config: Params | None = None
    data_capture: Params | None = None
    async_inference: Params | None = None
    routes: Routes | None = field(default=None, repr=False, compare=False)

    @property
    def all_variants(self) -> dict[str, Variant]:
        """Production and shadow variants, by name; no name comes twice in a configuration."""
        return self.variants | self.shadow_variants


@dataclass
class TransformJob:
    """A batch transform job.

    Args:
        name: TransformJobName as given.
        arn: TransformJobArn.
        scope: Account and Region.
        request: The validated request, without its tags.
        created_at: Creation time, UTC.
        modified_at: Last modification time, UTC.
        status: ``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``.
        failure_reason: Why it is Failed.
        started_at: When its instances began to work, UTC.
        ended_at: When it came to its end, UTC.
    """

    name: str
    arn: str
    scope: Scope
    request: Params
    created_at: datetime
    modified_at: datetime
    status: str = "InProgress"
    failure_reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass
class Store:
    """All records of one account and Region; names of endpoints and jobs are keyed in lower case.

    Model packages and executions of pipelines are keyed by ARN.
    """

    models: dict[str, Record] = field(default_factory=dict)
    model_packages: dict[str, Record] = field(default_factory=dict)
    processing_jobs: dict[str, Job] = field(default_factory=dict)
    training_jobs: dict[str, Job] = field(default_factory=dict)
    pipeline_executions: dict[str, Execution] = field(default_factory=dict)
    endpoint_configs: dict[str, Record] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    model_package_groups: dict[str, Record] = field(default_factory=dict)
    pipelines: dict[str, Record] = field(default_factory=dict)
    transform_jobs: dict[str, TransformJob] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)


class Stores:
    """The stores of all accounts and Regions that were ever asked for."""

    def __init__(self) -> None:
        self._stores: dict[Scope, Store] = {}

    def of(self, scope: Scope) -> Store:
        """The store of an account and Region, made on first use."""
        return self._stores.setdefault(scope, Store())

    def endpoints(self) -> list[Endpoint]:
        """Every endpoint of every account and Region."""
        return [endpoint for store in self._stores.values() for endpoint in store.endpoints.values()]
