"""A real-time endpoint and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct, IValidation

from .acknowledgements import acknowledge_wildcards
from .alarms import RollbackAlarm
from .data_capture import DataCapture
from .deployment import DeploymentPolicy
from .errors import Findings
from .limits import suggest
from .metrics import INSTANCE_NAMESPACE, INVOCATION_NAMESPACE, VariantMetrics
from .model import ServingModel, acknowledge_inline
from .naming import NameKind, check_name
from .scaling import VariantScaling
from .scaling_policies import AutoScaling
from .storage import EncryptionKey, Retention
from .variants import InstanceVariant, check_variants


@dataclass(frozen=True, kw_only=True)
class ServedVariant:
    """A variant together with the model that it serves.

    Args:
        model: The model.
        variant: How much of the traffic it gets, and on what machines.
    """

    model: ServingModel
    variant: InstanceVariant


class ServingEndpoint(Construct):
    """An endpoint that can be updated without downtime, and its configuration.

    The endpoint has the name that you give; its configuration never has one, so that a change replaces the
    configuration and updates the endpoint in place. The endpoint is created after its log group, after the
    permissions that its models' roles need for it, and after the alarms that can roll it back.

    Args:
        endpoint_name: 1 to 63 letters, digits and hyphens, a plain text. Clients use it; a new name is a new
            endpoint.
        variants: 1 to 10 variants with their models; keep variant names, deployment guardrails go by them.
        key: Encrypts the instances' storage, the logs and what is captured.
        retention: How long logs are kept, and whether they outlive the stack.
        deployment: How an update reaches the endpoint. Default: all at once, without a bake.
        rollback_alarms: Alarms that take an update back while it bakes, up to 10; from
            `EndpointMonitoring.rollback_alarms`.
        data_capture: Record requests and answers. Default: no.
        retain_weights: Keep variant weights that were set at run time when the stack is updated. Default: the
            weights are those of the variants. (Instance counts are kept whenever a variant scales.)

    Attributes:
        endpoint: The underlying resource.
        config: The underlying endpoint configuration.
        expected_config_name: Name of the configuration that the endpoint has after a good deployment. An
            update that was rolled back serves another one: compare it with what DescribeEndpoint tells.
        log_group: Where the containers' output goes.

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
        key: EncryptionKey,
        retention: Retention,
        deployment: DeploymentPolicy | None = None,
        rollback_alarms: Sequence[RollbackAlarm] = (),
        data_capture: DataCapture | None = None,
        retain_weights: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self.endpoint_name = endpoint_name
        self._served = list(variants)
        self._deployment = deployment
        self._rollback_alarms = list(rollback_alarms)
        self._retain_weights = retain_weights
        self._scalings: list[VariantScaling] = []
        self._raise_if_unusable()
        self.node.add_validation(_FitsTogether(self))

        self.log_group = self._make_log_group(key, retention)
        policies = self._grant_models(data_capture)
        self.config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[served.variant.render(served.model.model_name) for served in self._served],
            kms_key_id=key.key_arn,
            data_capture_config=data_capture.render() if data_capture else None,
        )
        self.expected_config_name: str = self.config.attr_endpoint_config_name
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Resource",
            endpoint_name=endpoint_name,
            endpoint_config_name=self.expected_config_name,
            deployment_config=deployment.render([item.alarm.alarm_name for item in self._rollback_alarms])
            if deployment
            else None,
        )
        self._apply_retention()
        # the alarms come first as well: the deployment refers to them
        self.endpoint.node.add_dependency(self.log_group, *policies)
        self._warn()

    @property
    def variants(self) -> list[InstanceVariant]:
        """The variants, in order."""
        return [served.variant for served in self._served]

    @property
    def endpoint_arn(self) -> str:
        """The endpoint's ARN, known at deployment."""
        return self.endpoint.ref

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let someone send requests, streamed answers included.

        Args:
            grantee: A role, user or whatever has one.
        """
        return iam.Grant.add_to_principal(
            grantee=grantee, actions=["sagemaker:InvokeEndpoint"], resource_arns=[self.endpoint_arn]
        )

    def scale_variant(self, variant_name: str, scaling: AutoScaling) -> VariantScaling:
        """Add and remove a variant's instances by load; later updates of the endpoint keep their number.

        Before the instance type of a scaling variant changes, or the variant goes, deploy once without its
        scaling: SageMaker refuses to update a variant that is a scalable target in these ways.

        Args:
            variant_name: One of the endpoint's variants.
            scaling: Limits and policies.

        Raises:
            InvalidConfiguration: No such variant, or it scales already.
        """
        self._check_scalable(variant_name)
        made = VariantScaling(
            self,
            f"Scaling-{variant_name}",
            endpoint=self.endpoint,
            endpoint_name=self.endpoint_name,
            variant_name=variant_name,
            scaling=scaling,
        )
        self._scalings.append(made)
        self._apply_retention()
        return made

    def metrics(self, variant_name: str | None = None) -> VariantMetrics:
        """Metrics of a variant.

        Args:
            variant_name: One of the endpoint's variants; default the first.
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
        findings = Findings(self.node.path)
        check_name(findings, "endpoint_name", self.endpoint_name, NameKind.ENDPOINT)
        check_variants(findings, self.variants)
        findings.raise_if_any()

    def _require_variant(self, name: str) -> None:
        names = [variant.name for variant in self.variants]
        findings = Findings(self.node.path)
        findings.require(
            name in names,
            "variant_name",
            name,
            f"the endpoint's variants are {', '.join(names)}",
            suggest(name, names),
        )
        findings.raise_if_any()

    def _check_scalable(self, name: str) -> None:
        self._require_variant(name)
        findings = Findings(self.node.path)
        findings.require(
            name not in [scaling.variant_name for scaling in self._scalings],
            "variant_name",
            name,
            "scales already, and a variant is one scalable target",
            "put all policies into one AutoScaling",
        )
        findings.raise_if_any()

    def _make_log_group(self, key: EncryptionKey, retention: Retention) -> logs.CfnLogGroup:
        # Made here, before SageMaker would: its own would keep logs for ever, in plain.
        name = f"/aws/sagemaker/Endpoints/{self.endpoint_name}"
        self._log_group_arn = (
            f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:log-group:{name}"
        )
        key.allow_service(
            f"LogsOf{''.join(filter(str.isalnum, self.endpoint_name))}",
            f"logs.{cdk.Aws.REGION}.amazonaws.com",
            actions=["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "Describe*"],
            conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": self._log_group_arn}},
        )
        group = logs.CfnLogGroup(
            self, "Logs", log_group_name=name, retention_in_days=retention.log_days, kms_key_id=key.key_arn
        )
        group.apply_removal_policy(retention.removal_policy)
        return group

    def _grant_models(self, data_capture: DataCapture | None) -> list[iam.Policy]:
        streams = f"{self._log_group_arn}:log-stream:*"
        alarms = [item.alarm.alarm_arn for item in self._rollback_alarms]
        policies = []
        for index, model in enumerate(dict.fromkeys(served.model for served in self._served)):
            statements = [
                iam.PolicyStatement(
                    sid="WriteLogs",
                    actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    resources=[self._log_group_arn, streams],
                ),
                iam.PolicyStatement(
                    sid="PublishMetrics",
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={
                        "StringEquals": {"cloudwatch:namespace": [INVOCATION_NAMESPACE, INSTANCE_NAMESPACE]}
                    },
                ),
                *(data_capture.statements if data_capture else []),
            ]
            if alarms:
                statements.append(
                    iam.PolicyStatement(
                        sid="WatchRollbackAlarms", actions=["cloudwatch:DescribeAlarms"], resources=alarms
                    )
                )
            policy = iam.Policy(self, f"ServePolicy{index or ''}", roles=[model.role], statements=statements)
            wildcards = {
                "*": "cloudwatch:PutMetricData knows no resource; the condition on the namespace narrows it.",
                streams: "SageMaker names the log streams; the group is this endpoint's own.",
            }
            if data_capture:
                wildcards[data_capture.objects_arn] = (
                    "SageMaker names the files; the folder is for them alone."
                )
            acknowledge_wildcards(policy, wildcards)
            acknowledge_inline(policy)
            policies.append(policy)
        return policies

    def _apply_retention(self) -> None:
        keep_counts = bool(self._scalings)
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
        texts = [text for variant in self.variants for text in variant.warnings]
        texts += [
            f"Variant {variant.name}: the key does not encrypt the local disk of {variant.instance}; "
            "the hardware does, with a key of its own."
            for variant in self.variants
            if variant.instance.has_local_storage
        ]
        if self._deployment is not None:
            texts += self._deployment.warnings_against(self.variants)
        for number, text in enumerate(texts):
            cdk.Annotations.of(self).add_warning_v2(f"sagemaker-serving:endpoint-{number}", text)


@jsii.implements(IValidation)
class _FitsTogether:
    """What can only be told when everything is there; all findings come in one error at synth."""

    def __init__(self, endpoint: ServingEndpoint) -> None:
        self._endpoint = endpoint

    def validate(self) -> list[str]:
        findings = Findings(self._endpoint.node.path)
        self._check_architectures(findings)
        self._check_deployment(findings)
        self._check_scaling(findings)
        return [str(finding) for finding in findings.found]

    def _check_architectures(self, findings: Findings) -> None:
        for served in self._endpoint._served:
            architecture = served.variant.instance.architecture
            findings.require(
                architecture in {None, served.model.architecture},
                f"variant {served.variant.name!r}.instance_type",
                served.variant.instance.name,
                f"is {architecture}, and the model's images are for {served.model.architecture}",
                f"choose an instance type that is {served.model.architecture}, "
                f"or make the model with the architecture {architecture}",
            )

    def _check_deployment(self, findings: Findings) -> None:
        endpoint = self._endpoint
        names = {variant.name for variant in endpoint.variants}
        if endpoint._deployment is not None:
            endpoint._deployment.check_against(findings, endpoint.variants)
        bake = _bake_seconds(endpoint._deployment)
        for index, item in enumerate(endpoint._rollback_alarms):
            where = f"rollback_alarms[{index}]"
            findings.require(
                item.endpoint_name == endpoint.endpoint_name,
                f"{where}.endpoint_name",
                item.endpoint_name,
                f"the alarm does not watch {endpoint.endpoint_name}, so it never sees this deployment",
                "give the alarms of this endpoint's EndpointMonitoring",
            )
            findings.require(
                item.variant_name in names,
                f"{where}.variant_name",
                item.variant_name,
                f"SageMaker publishes metrics for the variants {', '.join(sorted(names))} only, "
                "so the alarm never sees data",
                "give the alarms of this endpoint's EndpointMonitoring",
            )
            findings.require(
                bake is None or item.window_seconds <= bake,
                f"{where}.window_seconds",
                item.window_seconds,
                f"the alarm needs this long to be raised, and the deployment bakes for {bake} s",
                f"let the deployment wait {item.window_seconds} s or longer, or shorten the alarm's window",
            )

    def _check_scaling(self, findings: Findings) -> None:
        variants = {variant.name: variant for variant in self._endpoint.variants}
        for scaling in self._endpoint._scalings:
            scaling.scaling.check_against(findings, variants[scaling.variant_name])


def _bake_seconds(deployment: DeploymentPolicy | None) -> int | None:
    """How long alarms can turn an update back; None when it is not known before deployment."""
    if deployment is None:
        return 0
    return None if deployment.wait.is_unresolved() else int(deployment.wait.to_seconds())
