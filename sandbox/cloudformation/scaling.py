"""AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy."""

from __future__ import annotations

from functools import partial

from sandbox.cloudformation.api import Api, ResourceFailed
from sandbox.cloudformation.resource import Made, unless_gone
from sandbox.store import Params

_TARGET = ("ServiceNamespace", "ResourceId", "ScalableDimension")


class ScalableTarget:
    """A scalable target; its physical id is ``<resource id>|<dimension>|<namespace>``, as on AWS."""

    type_name = "AWS::ApplicationAutoScaling::ScalableTarget"
    replaced_by = _TARGET
    taggable = False  # its tags are plain properties of ours, CloudFormation adds none here

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """RegisterScalableTarget and its scheduled actions."""
        self._register(properties, api, tags=_tag_map(properties))
        try:
            self._schedule([], properties, api)
        except Exception:
            self.delete("", properties, api)
            raise
        return _made_target(properties)

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """RegisterScalableTarget again, which is how limits change."""
        self._register(new, api)
        self._schedule(old.get("ScheduledActions") or [], new, api)
        self._change_tags(old, new, api)
        return _made_target(new)

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """DeregisterScalableTarget, which deletes its policies and scheduled actions as well."""
        unless_gone(api, lambda: api.autoscaling("DeregisterScalableTarget", **_target(properties)))

    def _register(self, properties: Params, api: Api, tags: dict[str, str] | None = None) -> None:
        api.autoscaling(
            "RegisterScalableTarget",
            **_target(properties),
            MinCapacity=properties.get("MinCapacity"),
            MaxCapacity=properties.get("MaxCapacity"),
            RoleARN=properties.get("RoleARN"),
            SuspendedState=properties.get("SuspendedState"),
            Tags=tags or None,
        )

    def _schedule(self, old: list[Params], properties: Params, api: Api) -> None:
        actions = properties.get("ScheduledActions") or []
        kept = {item["ScheduledActionName"] for item in actions}
        for name in sorted({item["ScheduledActionName"] for item in old} - kept):
            request = {**_target(properties), "ScheduledActionName": name}
            unless_gone(api, partial(api.autoscaling, "DeleteScheduledAction", **request))
        for action in actions:
            if action not in old:
                api.autoscaling("PutScheduledAction", **_target(properties), **action)

    def _change_tags(self, old: Params, new: Params, api: Api) -> None:
        before, after = _tag_map(old), _tag_map(new)
        if before == after:
            return
        found = api.autoscaling(
            "DescribeScalableTargets",
            ServiceNamespace=new["ServiceNamespace"],
            ResourceIds=[new["ResourceId"]],
            ScalableDimension=new["ScalableDimension"],
        )
        arn = found["ScalableTargets"][0]["ScalableTargetARN"]
        if before.keys() - after.keys():
            api.autoscaling("UntagResource", ResourceARN=arn, TagKeys=sorted(before.keys() - after.keys()))
        if after:
            api.autoscaling("TagResource", ResourceARN=arn, Tags=after)


class ScalingPolicy:
    """A scaling policy; its physical id is its ARN."""

    type_name = "AWS::ApplicationAutoScaling::ScalingPolicy"
    replaced_by = (*_TARGET, "PolicyName", "ScalingTargetId")
    taggable = False

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """PutScalingPolicy."""
        request = _policy(properties)
        if self._exists(request, api):
            # PutScalingPolicy would overwrite it without a word, and the delete of either would take it away
            raise ResourceFailed(
                f"A scaling policy named {request['PolicyName']} already exists for {request['ResourceId']}."
            )
        return self._put(request, api)

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """PutScalingPolicy with the same name."""
        return self._put(_policy(new), api)

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """DeleteScalingPolicy, which deletes its alarms as well."""
        request = {
            name: value for name, value in _policy(properties).items() if name in (*_TARGET, "PolicyName")
        }
        unless_gone(api, lambda: api.autoscaling("DeleteScalingPolicy", **request))

    def _exists(self, request: Params, api: Api) -> bool:
        found = api.autoscaling(
            "DescribeScalingPolicies", **_target(request), PolicyNames=[request["PolicyName"]]
        )
        return bool(found["ScalingPolicies"])

    def _put(self, request: Params, api: Api) -> Made:
        arn = api.autoscaling("PutScalingPolicy", **request)["PolicyARN"]
        return Made(arn, {"Arn": arn})


def _target(properties: Params) -> Params:
    return {name: properties.get(name) for name in _TARGET}


def _policy(properties: Params) -> Params:
    """A request for PutScalingPolicy; ScalingTargetId stands for the three properties of the target.

    Raises:
        ResourceFailed: ScalingTargetId is not the Ref of a scalable target.
    """
    request = {name: value for name, value in properties.items() if name != "ScalingTargetId"}
    target_id = properties.get("ScalingTargetId")
    if target_id:
        parts = target_id.split("|")
        if len(parts) != 3:
            raise ResourceFailed(
                f"ScalingTargetId {target_id!r} is not what Ref gives for a scalable target: "
                "<resource id>|<scalable dimension>|<service namespace>."
            )
        resource_id, dimension, namespace = parts
        request |= {
            "ServiceNamespace": namespace,
            "ResourceId": resource_id,
            "ScalableDimension": dimension,
        }
    return request


def _tag_map(properties: Params) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in properties.get("Tags") or []}


def _made_target(properties: Params) -> Made:
    target_id = "|".join(
        str(properties[name]) for name in ("ResourceId", "ScalableDimension", "ServiceNamespace")
    )
    return Made(target_id, {"Id": target_id})
