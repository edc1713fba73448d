"""Resource types that are there as soon as they are created: models, configurations, packages, pipelines."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sandbox.cloudformation.api import Api
from sandbox.cloudformation.resource import Made, change_tags, generated_name, name_in, unless_gone
from sandbox.store import Params


@dataclass(frozen=True)
class PlainResource:
    """A SageMaker resource of which nothing but the tags can change; its physical id is its ARN.

    Args:
        kind: ``Model`` or ``EndpointConfig``, as in the names of the API's operations.
        replaced_by: Properties whose change makes a new one.
    """

    kind: str
    replaced_by: tuple[str, ...]
    taggable: bool = True

    @property
    def type_name(self) -> str:
        """``AWS::SageMaker::<kind>``."""
        return f"AWS::SageMaker::{self.kind}"

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """Create<kind>, under the given name or a generated one."""
        name = properties.get(self._name) or generated_name(stack, logical_id)
        answer = api.sagemaker(f"Create{self.kind}", **{**properties, self._name: name})
        return self._made(answer[f"{self.kind}Arn"], name)

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """AddTags and DeleteTags."""
        change_tags(physical_id, old, new, api)
        return self._made(physical_id, new.get(self._name) or name_in(physical_id))

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """Delete<kind>."""
        name = properties.get(self._name) or name_in(physical_id)
        unless_gone(api, lambda: api.sagemaker(f"Delete{self.kind}", **{self._name: name}))

    @property
    def _name(self) -> str:
        return f"{self.kind}Name"

    def _made(self, arn: str, name: str) -> Made:
        return Made(arn, {self._name: name, f"{self.kind}Arn": arn, "Id": arn})


class ModelPackageGroup:
    """AWS::SageMaker::ModelPackageGroup; its physical id is its ARN."""

    type_name = "AWS::SageMaker::ModelPackageGroup"
    replaced_by = ("ModelPackageGroupName", "ModelPackageGroupDescription")
    taggable = True

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """CreateModelPackageGroup, and PutModelPackageGroupPolicy if there is one."""
        given = {key: value for key, value in properties.items() if key != "ModelPackageGroupPolicy"}
        arn = api.sagemaker("CreateModelPackageGroup", **given)["ModelPackageGroupArn"]
        try:
            self._put_policy(properties, api)
        except Exception:
            self.delete(arn, properties, api)
            raise
        return self._made(properties, api)

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """Change tags and policy."""
        change_tags(physical_id, old, new, api)
        if old.get("ModelPackageGroupPolicy") and not new.get("ModelPackageGroupPolicy"):
            api.sagemaker("DeleteModelPackageGroupPolicy", ModelPackageGroupName=new["ModelPackageGroupName"])
        elif old.get("ModelPackageGroupPolicy") != new.get("ModelPackageGroupPolicy"):
            self._put_policy(new, api)
        return self._made(new, api)

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """DeleteModelPackageGroup."""
        unless_gone(
            api,
            lambda: api.sagemaker("DeleteModelPackageGroup", ModelPackageGroupName=name_in(physical_id)),
        )

    def _put_policy(self, properties: Params, api: Api) -> None:
        policy = properties.get("ModelPackageGroupPolicy")
        if policy:
            api.sagemaker(
                "PutModelPackageGroupPolicy",
                ModelPackageGroupName=properties["ModelPackageGroupName"],
                ResourcePolicy=_as_text(policy),
            )

    def _made(self, properties: Params, api: Api) -> Made:
        described = api.sagemaker(
            "DescribeModelPackageGroup", ModelPackageGroupName=properties["ModelPackageGroupName"]
        )
        arn = described["ModelPackageGroupArn"]
        return Made(
            arn,
            {
                "ModelPackageGroupArn": arn,
                "CreationTime": described["CreationTime"].isoformat(),
                "ModelPackageGroupStatus": described["ModelPackageGroupStatus"],
            },
        )


class ModelPackage:
    """AWS::SageMaker::ModelPackage; its physical id is its ARN."""

    type_name = "AWS::SageMaker::ModelPackage"
    replaced_by = (
        "ClientToken",
        "Domain",
        "DriftCheckBaselines",
        "InferenceSpecification",
        "MetadataProperties",
        "ModelMetrics",
        "ModelPackageDescription",
        "ModelPackageGroupName",
        "SamplePayloadUrl",
        "SecurityConfig",
        "SourceAlgorithmSpecification",
        "Task",
        "ValidationSpecification",
    )
    taggable = True
    _updated = ("ApprovalDescription", "CustomerMetadataProperties", "ModelApprovalStatus")

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """CreateModelPackage."""
        given = {name: value for name, value in properties.items() if name != "ApprovalDescription"}
        return self._made(api.sagemaker("CreateModelPackage", **given)["ModelPackageArn"], api)

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """UpdateModelPackage, and the tags."""
        changed = {name: new[name] for name in self._updated if name in new and new[name] != old.get(name)}
        before, after = (each.get("CustomerMetadataProperties") or {} for each in (old, new))
        dropped = sorted(before.keys() - after.keys())
        if dropped:
            changed["CustomerMetadataPropertiesToRemove"] = dropped
        if changed:
            api.sagemaker("UpdateModelPackage", ModelPackageArn=physical_id, **changed)
        change_tags(physical_id, old, new, api)
        return self._made(physical_id, api)

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """DeleteModelPackage."""
        unless_gone(api, lambda: api.sagemaker("DeleteModelPackage", ModelPackageName=physical_id))

    def _made(self, arn: str, api: Api) -> Made:
        described = api.sagemaker("DescribeModelPackage", ModelPackageName=arn)
        return Made(
            arn,
            {
                "ModelPackageArn": arn,
                "CreationTime": described["CreationTime"].isoformat(),
                "ModelPackageStatus": described["ModelPackageStatus"],
            },
        )


class Pipeline:
    """AWS::SageMaker::Pipeline; its physical id is its name."""

    type_name = "AWS::SageMaker::Pipeline"
    replaced_by = ("PipelineName",)
    taggable = True

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """CreatePipeline."""
        api.sagemaker("CreatePipeline", **_as_pipeline_request(properties))
        return Made(properties["PipelineName"], {})

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """UpdatePipeline, and the tags."""
        request = _as_pipeline_request(new)
        tags = request.pop("Tags", None)
        answer = api.sagemaker("UpdatePipeline", **request)
        change_tags(answer["PipelineArn"], old, {"Tags": tags}, api)
        return Made(physical_id, {})

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """DeletePipeline."""
        unless_gone(api, lambda: api.sagemaker("DeletePipeline", PipelineName=physical_id))


def _as_pipeline_request(properties: Params) -> Params:
    """The template's PipelineDefinition is a structure, the API's two parameters with other words for S3."""
    request = {name: value for name, value in properties.items() if name != "PipelineDefinition"}
    definition = properties.get("PipelineDefinition") or {}
    location = definition.get("PipelineDefinitionS3Location")
    if "PipelineDefinitionBody" in definition:
        request["PipelineDefinition"] = _as_text(definition["PipelineDefinitionBody"])
    if location:
        words = {"Bucket": "Bucket", "Key": "ObjectKey", "Version": "VersionId"}
        request["PipelineDefinitionS3Location"] = {
            api_word: location[word] for word, api_word in words.items() if location.get(word)
        }
    return request


def _as_text(document: object) -> str:
    """A JSON document that a template may give as text or as a structure."""
    return document if isinstance(document, str) else json.dumps(document)


PLAIN_RESOURCES = (
    PlainResource(
        "Model",
        (
            "Containers",
            "EnableNetworkIsolation",
            "ExecutionRoleArn",
            "InferenceExecutionConfig",
            "ModelName",
            "PrimaryContainer",
            "VpcConfig",
        ),
    ),
    PlainResource(
        "EndpointConfig",
        (
            "AsyncInferenceConfig",
            "DataCaptureConfig",
            "EnableNetworkIsolation",
            "EndpointConfigName",
            "ExecutionRoleArn",
            "ExplainerConfig",
            "KmsKeyId",
            "MetricsConfig",
            "ProductionVariants",
            "ShadowProductionVariants",
            "VpcConfig",
        ),
    ),
    ModelPackageGroup(),
    ModelPackage(),
    Pipeline(),
)
