"""Tells people what an ML pipeline wants from them: an approval, or a look at what went wrong."""

from __future__ import annotations

from constructs import Construct

from .deployment_notifications import BAD_STATUSES
from .event_messages import ENDPOINT_CHANGE, EXECUTION_CHANGE, PACKAGE_CHANGE, EventMessages
from .ml_pipeline import MlPipeline
from .storage import AlarmTopic


class PipelineNotifications(EventMessages):
    """Messages to a topic: an execution failed, a version waits for approval, a deployment ends badly.

    Args:
        pipeline: The pipeline.
        endpoint_name: The endpoint that follows the group.
        topic: Where messages go.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: MlPipeline,
        endpoint_name: str,
        topic: AlarmTopic,
    ) -> None:
        super().__init__(scope, id_, subject=pipeline.name, topic=topic)
        self.tell(
            "ExecutionFails",
            about="Executions",
            detail_type=EXECUTION_CHANGE,
            detail={
                "pipelineArn": [pipeline.pipeline_arn],
                "currentPipelineExecutionStatus": ["Failed"],
            },
            paths={"execution": "pipelineExecutionArn"},
            text=f"An execution of {pipeline.name} failed: <execution> (<time>) Its steps tell why: "
            "ListPipelineExecutionSteps, or client pipeline watch.",
        )
        self.tell(
            "WaitsForApproval",
            about="Versions",
            detail_type=PACKAGE_CHANGE,
            detail={
                "ModelPackageGroupName": [pipeline.group_name],
                "ModelApprovalStatus": ["PendingManualApproval"],
            },
            paths={"version": "ModelPackageArn"},
            text="A model version waits for approval: <version> (<time>) Look at its evaluation, then "
            "approve it, which deploys it, or reject it: UpdateModelPackage, or client pipeline approve.",
        )
        self.tell(
            "DeploymentEndsBadly",
            about="Deployments",
            detail_type=ENDPOINT_CHANGE,
            detail={"EndpointName": [endpoint_name], "EndpointStatus": BAD_STATUSES},
            paths={"endpoint": "EndpointName", "status": "EndpointStatus"},
            text="A deployment of the endpoint <endpoint> went wrong: its status is <status>. (<time>) See "
            "FailureReason in DescribeEndpoint.",
        )
        self.let_rules_keep_letters()
