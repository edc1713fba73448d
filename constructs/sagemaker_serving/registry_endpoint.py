"""An endpoint that serves what the model registry says, and the function that sees to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from constructs import Construct

from .acknowledgements import acknowledge_wildcards
from .deployment import DeploymentPolicy
from .errors import Findings
from .event_calls import call_on_events
from .event_messages import ENDPOINT_CHANGE, PACKAGE_CHANGE, SOURCE
from .images import PULL_ACTIONS, BoundImage, ContainerImage
from .instances import Architecture
from .model import acknowledge_inline
from .naming import NameKind, check_name, stable_name
from .registry_permissions import NO_RESOURCE, list_versions, sagemaker_arn, versions_arn
from .rollback import RollbackAlarm
from .serving_permissions import serving_policy
from .storage import DeadLetterQueue, EncryptionKey, Retention, ServiceLogGroup
from .variants import InstanceVariant
from .zip_function import ZipFunction

ENDED = ("IN_SERVICE", "FAILED", "DELETED", "UPDATE_ROLLBACK_FAILED")
"""Statuses of an endpoint that is busy no more, as events write them."""

MAX_ENDPOINT_NAME = 50
"""Characters of the endpoint's name: a hyphen and twelve digits follow it in names of 63."""

_TIMEOUT = cdk.Duration.minutes(10)  # that of a Lambda step of SageMaker Pipelines


class RegistryEndpoint(Construct):
    """An endpoint that serves the newest approved version of a model package group (docs/decisions/0012).

    CloudFormation does not own the endpoint: a function makes, updates and removes it. It is called by an
    execution of the pipeline, when a version is approved or rejected, when the endpoint is done with what it
    was doing, when the settings here change, and when the stack is removed. Calling it needs no arguments.

    Args:
        endpoint_name: 1 to 50 letters, digits and hyphens, a plain text: names of models and configurations
            are made of it. A new name leaves the endpoint with the old one where it is.
        model_package_group_name: The group, a plain text.
        variant: What the endpoint runs on.
        deployment: How a new version reaches it.
        rollback_alarms: What takes an update back, up to 10, of `EndpointMonitoring`. They watch the whole
            endpoint here, old fleet and new.
        image: What the versions are registered with; the endpoint's role may pull it.
        bucket: Where their artifacts are.
        folder: Folder of the bucket that they are in.
        network_isolation: Cut the containers off from every network. Not for versions that install packages
            when they start.
        code: The folder of the function's code, with ``deploy.py``.
        key: Encrypts volumes, logs and environment.
        retention: How long logs are kept.
        tags: On model, configuration and endpoint.

    Attributes:
        function: The function, named ``<endpoint_name>-deploy``.
        role: Execution role of the models.
        log_group: Where the containers' output goes.
        resource: The custom resource that applies changed settings, and removes the endpoint with the stack.
        rollback_alarms: The alarms that take an update back.
        dead_letters: Events that the function failed on.

    Raises:
        InvalidConfiguration: A name that is not legal, or a deployment that does not fit the variant.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        endpoint_name: str,
        model_package_group_name: str,
        variant: InstanceVariant,
        deployment: DeploymentPolicy,
        rollback_alarms: Sequence[RollbackAlarm],
        image: ContainerImage,
        bucket: s3.IBucket,
        folder: str,
        network_isolation: bool,
        code: Path,
        key: EncryptionKey,
        retention: Retention,
        tags: Mapping[str, str],
    ) -> None:
        super().__init__(scope, id_)
        self.endpoint_name = endpoint_name
        self._group_name = model_package_group_name
        _check(self.node.path, endpoint_name, variant, deployment, rollback_alarms)

        self.log_group = ServiceLogGroup(
            self, "Logs", name=f"/aws/sagemaker/Endpoints/{endpoint_name}", key=key, retention=retention
        )
        self.rollback_alarms: list[cloudwatch.IAlarm] = [item.make(self) for item in rollback_alarms]
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description=f"Execution role of the models of {endpoint_name}",
        )
        bound = image.bind(self, architecture=variant.instance.architecture or Architecture.X86_64)
        loading = self._loading_policy(bound, bucket.arn_for_objects(f"{folder}/*"), key)
        serving = serving_policy(
            self,
            "ServePolicy",
            role=self.role,
            log_group=self.log_group,
            rollback_alarms=self.rollback_alarms,
        )
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key, has_owner=True)
        environment = {
            "ENDPOINT_NAME": endpoint_name,
            "MODEL_PACKAGE_GROUP": model_package_group_name,
            "MODEL": self._text(
                {"ExecutionRoleArn": self.role.role_arn, "EnableNetworkIsolation": network_isolation}
            ),
            "ENDPOINT_CONFIG": self._text(
                {"ProductionVariants": [self._variant(variant)], "KmsKeyId": key.key_arn}
            ),
            "DEPLOYMENT_CONFIG": self._text(
                self._api(deployment.render([alarm.alarm_name for alarm in self.rollback_alarms]))
            ),
            "TAGS": self._text([{"Key": name, "Value": value} for name, value in tags.items()]),
        }
        self.function = self._function(environment, code=code, key=key, retention=retention)
        self.rules = [
            self._rule("VersionChanges", PACKAGE_CHANGE, {"ModelPackageGroupName": [self._group_name]}),
            self._rule(
                "EndpointIsDone",
                ENDPOINT_CHANGE,
                {"EndpointName": [endpoint_name], "EndpointStatus": list(ENDED)},
            ),
        ]
        self.dead_letters.keep_events_of(self.rules)
        key.allow_rules()
        self.resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type="Custom::RegistryEndpoint",
            service_token=self.function.function.function_arn,
            # what the function is told by its environment: a change of it is a reason to look
            properties=environment,
        )
        # all that the endpoint needs, before there can be one, and until it is gone
        self.resource.node.add_dependency(self.log_group, loading, serving)
        # and when the stack is removed, nothing calls the function any more that could make the endpoint anew
        for rule in self.rules:
            rule.node.add_dependency(self.resource)

    def _variant(self, variant: InstanceVariant) -> dict[str, Any]:
        described: dict[str, Any] = self._api(variant.render("the function fills it in"))
        del described["ModelName"]
        return described

    def _api(self, properties: Any) -> Any:
        """Properties of CloudFormation as the API writes them; the two differ in the first letter only."""
        return _capitalised(cdk.Stack.of(self).resolve(properties))

    def _text(self, value: Any) -> str:
        return cdk.Stack.of(self).to_json_string(value)

    def _loading_policy(self, image: BoundImage, artifacts: str, key: kms.IKey) -> iam.Policy:
        statements = [
            iam.PolicyStatement(sid="LoadModel", actions=["s3:GetObject"], resources=[artifacts]),
            iam.PolicyStatement(sid="DecryptModel", actions=["kms:Decrypt"], resources=[key.key_arn]),
        ]
        wildcards = {artifacts: "Each training job has a folder of its own below this one."}
        if image.repository_arn:
            statements += [
                iam.PolicyStatement(
                    sid="PullImage", actions=list(PULL_ACTIONS), resources=[image.repository_arn]
                ),
                iam.PolicyStatement(sid="LogInToEcr", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
            ]
            wildcards["*"] = (
                "ecr:GetAuthorizationToken knows no resource to narrow it to "
                "(Service Authorization Reference)."
            )
        policy = iam.Policy(self, "LoadPolicy", roles=[self.role], statements=statements)
        acknowledge_wildcards(policy, wildcards)
        acknowledge_inline(policy)
        return policy

    def _function(
        self, environment: Mapping[str, str], *, code: Path, key: EncryptionKey, retention: Retention
    ) -> ZipFunction:
        endpoint = sagemaker_arn(f"endpoint/{self.endpoint_name}")
        # the function names them after the endpoint and a digest
        models, configs = (
            sagemaker_arn(f"{kind}/{self.endpoint_name}-*") for kind in ("model", "endpoint-config")
        )
        versions = versions_arn(self._group_name)
        statements = [
            list_versions(),
            iam.PolicyStatement(
                sid="LookAtVersions", actions=["sagemaker:DescribeModelPackage"], resources=[versions]
            ),
            iam.PolicyStatement(
                sid="MakeAndRemoveModels",
                actions=["sagemaker:CreateModel", "sagemaker:DeleteModel"],
                resources=[models],
            ),
            iam.PolicyStatement(
                sid="MakeModelsOfVersions", actions=["sagemaker:CreateModel"], resources=[versions]
            ),
            iam.PolicyStatement(
                sid="MakeAndRemoveConfigurations",
                actions=["sagemaker:CreateEndpointConfig", "sagemaker:DeleteEndpointConfig"],
                resources=[configs],
            ),
            iam.PolicyStatement(
                sid="MakeAndRemoveTheEndpoint",
                actions=[f"sagemaker:{verb}Endpoint" for verb in ("Create", "Update", "Describe", "Delete")],
                resources=[endpoint, configs],
            ),
            iam.PolicyStatement(
                sid="TagThem",
                actions=["sagemaker:AddTags", "sagemaker:ListTags"],
                resources=[endpoint, configs, models],
            ),
            iam.PolicyStatement(
                sid="ListWhatIsLeft",
                actions=["sagemaker:ListEndpointConfigs", "sagemaker:ListModels"],
                resources=["*"],
            ),
            iam.PolicyStatement(
                sid="PassRoleOfModels",
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
            iam.PolicyStatement(sid="SeeKey", actions=["kms:DescribeKey"], resources=[key.key_arn]),
            iam.PolicyStatement(
                sid="EncryptVolumes",
                actions=["kms:CreateGrant"],
                resources=[key.key_arn],
                conditions={"Bool": {"kms:GrantIsForAWSResource": True}},
            ),
        ]
        digests = "Their names end in a digest of what they hold; the stem is this endpoint's."
        return ZipFunction(
            self,
            "Function",
            function_name=stable_name(self.endpoint_name, "deploy"),
            code=code,
            handler="deploy.handler",
            environment=environment,
            statements=statements,
            wildcards={
                models: digests,
                configs: digests,
                versions: "SageMaker numbers the versions of this one group.",
                "*": NO_RESOURCE,
            },
            memory_mb=256,
            timeout=_TIMEOUT,
            key=key,
            retention=retention,
            dead_letters=self.dead_letters,
        )

    def _rule(self, id_: str, detail_type: str, detail: Mapping[str, Sequence[str]]) -> events.CfnRule:
        return call_on_events(
            self,
            id_,
            description=f"Has {self.endpoint_name} follow the registry: {id_}",
            pattern={"source": [SOURCE], "detail-type": [detail_type], "detail": dict(detail)},
            function=self.function,
            dead_letters=self.dead_letters,
        )


def _check(
    where: str,
    endpoint_name: str,
    variant: InstanceVariant,
    deployment: DeploymentPolicy,
    rollback_alarms: Sequence[RollbackAlarm],
) -> None:
    findings = Findings(where)
    if check_name(findings, "endpoint_name", endpoint_name, NameKind.ENDPOINT):
        findings.require(
            len(endpoint_name) <= MAX_ENDPOINT_NAME,
            "endpoint_name",
            endpoint_name,
            f"has {len(endpoint_name)} characters; names of models and configurations are made of it, and "
            "must have room for a digest in their 63 (API shapes ModelName, EndpointConfigName)",
            f"use at most {MAX_ENDPOINT_NAME}",
        )
    deployment.check_against(findings, [variant])
    deployment.check_alarms(findings, [alarm.name for alarm in rollback_alarms], "rollback_alarms")
    findings.raise_if_any()


def _capitalised(value: Any) -> Any:
    if isinstance(value, dict):
        # a reference of CloudFormation is no property, and has to survive as one in a text
        if any(name == "Ref" or name.startswith("Fn::") for name in value):
            return cdk.Token.as_string(value)
        return {name[:1].upper() + name[1:]: _capitalised(item) for name, item in value.items()}
    return [_capitalised(item) for item in value] if isinstance(value, list) else value
