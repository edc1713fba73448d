"""An endpoint, real-time, asynchronous or serverless, and its configuration."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct

from .async_inference import AsyncInference
from .data_capture import DataCapture
from .deployment import DeploymentPolicy
from .endpoint_checks import FitsTogether
from .endpoint_kinds import asynchronous_warnings
from .endpoint_parts import EndpointParts, ServedShadow, ServedVariant
from .errors import Findings, is_token
from .limits import suggest
from .metrics import VariantMetrics
from .model import ContainerInvocation, ServingModel
from .naming import NameKind, check_name
from .rollback import RollbackAlarm
from .scaling import VariantScaling
from .scaling_policies import AutoScaling, ScalingMetric
from .serving_permissions import serving_policy
from .storage import EncryptionKey, Retention, ServiceLogGroup
from .variants import ProductionVariant, ServerlessVariant, check_shadow, check_variants

__all__ = ["ServedShadow", "ServedVariant", "ServingEndpoint"]


class ServingEndpoint(Construct):
    """An endpoint that can be updated without downtime, and its configuration.

    The endpoint has the name that you give; its configuration never has one, so that a change replaces the
    configuration and updates the endpoint in place. The endpoint is created after its log group, after the
    permissions that its models' roles need for it, and after the alarms that can roll it back.

    Args:
        endpoint_name: 1 to 63 letters, digits and hyphens, a plain text. Clients use it; a new name is a new
            endpoint.
        variants: 1 to 10 variants with their models, or one that is serverless; keep variant names,
            deployment guardrails go by them. SageMaker refuses to turn instances into a serverless variant
            under the same endpoint name, and an asynchronous endpoint into another one: give it a new name.
        shadow: A variant that gets a copy of the requests, with its model; beside exactly one variant.
            Default: none.
        key: Encrypts the instances' storage, the logs and what is captured.
        retention: How long logs are kept, and whether they outlive the stack.
        deployment: How an update reaches the endpoint. Default: all at once, without a bake.
        rollback_alarms: What takes an update back while it bakes, up to 10: those of
            `EndpointMonitoring.rollback_alarms`, of which the endpoint makes alarms on its new fleet, and
            alarms of your own, which must not depend on the endpoint.
        data_capture: Record requests and answers. Default: no.
        async_inference: Makes the endpoint asynchronous: it takes InvokeEndpointAsync only, queues requests,
            and can do without instances while there are none. Default: no.
        retain_weights: Keep variant weights that were set at run time when the stack is updated, by variant
            name. Default: the weights are those of the variants. (Instance counts are kept whenever a variant
            scales.)

    Attributes:
        endpoint: The underlying resource.
        config: The underlying endpoint configuration.
        expected_config_name: Name of the configuration that the endpoint has after a good deployment. An
            update that was rolled back serves another one: compare it with what DescribeEndpoint tells.
        log_group: Where the containers' output goes.
        rollback_alarms: The alarms that take an update back.

    Raises:
        InvalidConfiguration: Wrong name or variants. What does not fit together (variants, deployment,
            alarms, models, scaling) is reported at synth, all at once.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        endpoint_name: str,
        variants: Sequence[ServedVariant],
        shadow: ServedShadow | None = None,
        key: EncryptionKey,
        retention: Retention,
        deployment: DeploymentPolicy | None = None,
        rollback_alarms: Sequence[RollbackAlarm | cloudwatch.IAlarm] = (),
        data_capture: DataCapture | None = None,
        async_inference: AsyncInference | None = None,
        retain_weights: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self.endpoint_name = endpoint_name
        self._parts = EndpointParts(
            endpoint_name=endpoint_name,
            production=list(variants),
            shadow=shadow,
            deployment=deployment,
            rollback_alarms=list(rollback_alarms),
            data_capture=data_capture,
            async_inference=async_inference,
        )
        self._retain_weights = retain_weights
        self._raise_if_unusable()
        self.node.add_validation(FitsTogether(self.node.path, self._parts))

        self.log_group = ServiceLogGroup(
            self, "Logs", name=f"/aws/sagemaker/Endpoints/{endpoint_name}", key=key, retention=retention
        )
        self.config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[item.variant.render(item.model.model_name) for item in variants],
            shadow_production_variants=[shadow.variant.render(shadow.model.model_name)] if shadow else None,
            kms_key_id=key.key_arn,
            data_capture_config=data_capture.render() if data_capture else None,
            async_inference_config=async_inference.render() if async_inference else None,
        )
        self.expected_config_name: str = self.config.attr_endpoint_config_name
        # after the configuration whose fleet they watch, and before the endpoint whose deployment names them
        self.rollback_alarms: list[cloudwatch.IAlarm] = [
            item.make(self, self.expected_config_name) if isinstance(item, RollbackAlarm) else item
            for item in rollback_alarms
        ]
        policies = self._grant_models(data_capture)
        if async_inference is not None:
            policies += [async_inference.grant_model(model.role) for model in self._models]
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Resource",
            endpoint_name=endpoint_name,
            endpoint_config_name=self.expected_config_name,
            deployment_config=deployment.render([alarm.alarm_name for alarm in self.rollback_alarms])
            if deployment
            else None,
        )
        self._apply_retention()
        # notifications that nobody is subscribed to yet would be lost
        channels = async_inference.channels.values() if async_inference else ()
        self.endpoint.node.add_dependency(self.log_group, *policies, *channels)
        self._warn()

    @property
    def variants(self) -> list[ProductionVariant]:
        """The production variants, in order."""
        return self._parts.variants

    @property
    def endpoint_arn(self) -> str:
        """The endpoint's ARN, known at deployment."""
        return self.endpoint.ref

    def grant_invoke(self, grantee: iam.IGrantable, *, container: str | None = None) -> iam.Grant:
        """Let someone send requests, streamed answers included.

        Args:
            grantee: A role, user or whatever has one.
            container: Of directly invoked containers, the hostname of the one that may be called (condition
                key ``sagemaker:TargetContainerHostname``). Default: all.

        Raises:
            InvalidConfiguration: The containers are not invoked directly, none has the hostname, or the
                endpoint is asynchronous.
        """
        self._require_kind(asynchronous=False)
        conditions = None
        if container is not None:
            self._require_container(container)
            # Equals and not AWS's sample's Like: a hostname has no wildcards, and none is to slip in
            conditions = {"StringEquals": {"sagemaker:TargetContainerHostname": container}}
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["sagemaker:InvokeEndpoint"],
            resource_arns=[self.endpoint_arn],
            conditions=conditions,
        )

    def grant_invoke_async(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let someone put requests into the bucket and send them, and read answers and failures.

        Reading notifications is granted on the queues: ``async_inference.success.queue``.

        Args:
            grantee: A role, user or whatever has one.

        Raises:
            InvalidConfiguration: The endpoint is not asynchronous.
        """
        made = self._require_kind(asynchronous=True)
        grant = iam.Grant.add_to_principal(
            grantee=grantee, actions=["sagemaker:InvokeEndpointAsync"], resource_arns=[self.endpoint_arn]
        )
        for statement in made.statements_for_callers() if made else ():
            grantee.grant_principal.add_to_principal_policy(statement)
        return grant

    def scale_variant(self, variant_name: str, scaling: AutoScaling) -> VariantScaling:
        """Add and remove a variant's instances, or its provisioned concurrency, by load.

        Later updates of the endpoint keep the number of instances, unless it can be zero: such an update
        starts with the variant's initial instances, or nothing would show that the new ones work.

        Before the instance type of a scaling variant changes, or the variant goes, deploy once without its
        scaling: SageMaker refuses to update a variant that is a scalable target in these ways.

        Args:
            variant_name: One of the endpoint's variants, or the shadow variant.
            scaling: Limits and policies.

        Raises:
            InvalidConfiguration: No such variant, or it scales already.
        """
        self._check_scalable(variant_name)
        (variant,) = (item.variant for item in self._parts.served if item.variant.name == variant_name)
        made = VariantScaling(
            self,
            f"Scaling-{variant_name}",
            endpoint=self.endpoint,
            endpoint_name=self.endpoint_name,
            variant_name=variant_name,
            scaling=scaling,
            serverless=isinstance(variant, ServerlessVariant),
        )
        self._parts.scalings.append(made)
        self._apply_retention()
        self._warn_of_mixed_requests(made)
        if made.serverless:
            cdk.Annotations.of(made).add_warning_v2(
                "sagemaker-serving:scaling-of-provisioned-concurrency",
                "The developer guide says that CloudFormation cannot scale provisioned concurrency, while "
                "CloudFormation's own schema of a scalable target can. Look whether the target is there "
                "(describe-scalable-targets) after the first deployment.",
            )
        return made

    def metrics(self, variant_name: str | None = None) -> VariantMetrics:
        """Metrics of a variant.

        Args:
            variant_name: One of the endpoint's variants, or the shadow variant; default the first.
        """
        name = self.variants[0].name if variant_name is None else variant_name
        self._require_variant(name)
        return VariantMetrics(self.endpoint_name, name)

    def metric_invocations(self, variant_name: str | None = None) -> cloudwatch.Metric:
        """Requests (count, 1 minute); see `metrics` for the variant."""
        return self.metrics(variant_name).invocations()

    def metric_server_error_rate(self, variant_name: str | None = None) -> cloudwatch.Metric:
        """Share of 5xx answers (0 to 1, 1 minute); see `metrics` for the variant."""
        return self.metrics(variant_name).server_error_rate()

    def metric_client_error_rate(self, variant_name: str | None = None) -> cloudwatch.Metric:
        """Share of 4xx answers (0 to 1, 1 minute); see `metrics` for the variant."""
        return self.metrics(variant_name).client_error_rate()

    def metric_model_latency(
        self, variant_name: str | None = None, *, statistic: str = "p99"
    ) -> cloudwatch.Metric:
        """Time in the container (microseconds, 1 minute); see `metrics` for the variant."""
        return self.metrics(variant_name).model_latency(statistic=statistic)

    def _raise_if_unusable(self) -> None:
        parts = self._parts
        findings = Findings(self.node.path)
        check_name(findings, "endpoint_name", self.endpoint_name, NameKind.ENDPOINT)
        check_variants(findings, parts.variants)
        if parts.shadow is not None:
            check_shadow(findings, parts.variants, parts.shadow.variant)
            parts.check_shadow_models(findings)
        if parts.deployment is not None:
            names = [
                item.name if isinstance(item, RollbackAlarm) else item.alarm_name
                for item in parts.rollback_alarms
            ]
            parts.deployment.check_alarms(findings, names, "rollback_alarms")
        if parts.async_inference is not None:
            parts.async_inference.check_region(findings, cdk.Stack.of(self).region)
        findings.raise_if_any()

    def _require_variant(self, name: str) -> None:
        names = [item.variant.name for item in self._parts.served]
        findings = Findings(self.node.path)
        findings.require(
            name in names,
            "variant_name",
            name,
            f"the endpoint's variants are {', '.join(names)}",
            suggest(name, names),
        )
        findings.raise_if_any()

    def _require_kind(self, *, asynchronous: bool) -> AsyncInference | None:
        made = self._parts.async_inference
        findings = Findings(self.node.path)
        findings.require(
            asynchronous or made is None,
            "grant_invoke",
            self.endpoint_name,
            "the endpoint is asynchronous and takes no other calls (developer guide, asynchronous inference)",
            "use grant_invoke_async",
        )
        findings.require(
            not asynchronous or made is not None,
            "grant_invoke_async",
            self.endpoint_name,
            "the endpoint is not asynchronous (developer guide, asynchronous inference)",
            "use grant_invoke, or make it with async_inference",
        )
        findings.raise_if_any()
        return made

    def _require_container(self, hostname: str) -> None:
        direct = [
            item.model
            for item in self._parts.production
            if item.model.invocation == ContainerInvocation.DIRECT
        ]
        there = list(dict.fromkeys(name for model in direct for name in model.container_hostnames))
        findings = Findings(self.node.path)
        findings.require(
            bool(direct),
            "container",
            hostname,
            "only directly invoked containers can be granted one by one, and no model of this endpoint is "
            "made with ContainerInvocation.DIRECT (developer guide, multi-container endpoints)",
            "leave it out, or invoke the containers directly",
        )
        findings.require(
            not direct or hostname in there or any(map(is_token, there)),
            "container",
            hostname,
            f"the directly invoked containers are {', '.join(there)}",
            suggest(hostname, there),
        )
        findings.raise_if_any()

    def _check_scalable(self, name: str) -> None:
        self._require_variant(name)
        findings = Findings(self.node.path)
        findings.require(
            name not in [scaling.variant_name for scaling in self._parts.scalings],
            "variant_name",
            name,
            "scales already, and a variant is one scalable target",
            "put all policies into one AutoScaling",
        )
        findings.raise_if_any()

    @property
    def _models(self) -> list[ServingModel]:
        return list(dict.fromkeys(item.model for item in self._parts.served))

    def _grant_models(self, data_capture: DataCapture | None) -> list[iam.Policy]:
        return [
            serving_policy(
                self,
                f"ServePolicy{index or ''}",
                role=model.role,
                log_group=self.log_group,
                rollback_alarms=self.rollback_alarms,
                statements=data_capture.statements if data_capture else [],
                wildcards={
                    data_capture.objects_arn: "SageMaker names the files; the folder is for them alone."
                }
                if data_capture
                else {},
            )
            for index, model in enumerate(self._models)
        ]

    def _apply_retention(self) -> None:
        # With no instances there is nothing to keep: the update would start none, and prove nothing.
        keep_counts = any(
            not made.serverless and not made.scaling.reaches_zero for made in self._parts.scalings
        )
        if not (keep_counts or self._retain_weights):
            return
        kinds = {"DesiredInstanceCount": keep_counts, "DesiredWeight": self._retain_weights}
        self.endpoint.retain_all_variant_properties = True
        self.endpoint.exclude_retained_variant_properties = [
            sagemaker.CfnEndpoint.VariantPropertyProperty(variant_property_type=kind)
            for kind, kept in kinds.items()
            if not kept
        ] or None

    def _warn(self) -> None:
        fleets = self._parts.fleets
        texts = [text for item in self._parts.served for text in item.variant.warnings]
        texts += [
            f"Variant {fleet.name}: the key does not encrypt the local disk of {fleet.instance}; "
            "the hardware does, with a key of its own."
            for fleet in fleets
            if fleet.instance.has_local_storage
        ]
        if self._parts.deployment is not None:
            texts += self._parts.deployment.warnings_against(self.variants)
        if self._parts.async_inference is not None:
            texts += asynchronous_warnings(self._parts)
        for number, text in enumerate(texts):
            cdk.Annotations.of(self).add_warning_v2(f"sagemaker-serving:endpoint-{number}", text)

    def _warn_of_mixed_requests(self, made: VariantScaling) -> None:
        (model,) = (item.model for item in self._parts.served if item.variant.name == made.variant_name)
        metrics = [policy.metric for policy in made.scaling.policies]
        if (
            model.invocation == ContainerInvocation.DIRECT
            and ScalingMetric.INVOCATIONS_PER_INSTANCE in metrics
        ):
            cdk.Annotations.of(made).add_warning_v2(
                "sagemaker-serving:scaling-of-direct-containers",
                f"Variant {made.variant_name}: InvocationsPerInstance counts the requests of all containers "
                "alike, which measures the load only if they cost about the same (developer guide, "
                "multi-container endpoints). Scale on CPU otherwise.",
            )
