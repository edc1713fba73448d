"""What starts a batch workflow by itself: a schedule, or an object that arrives."""

from __future__ import annotations

import json

from aws_cdk import aws_events as events

from constructs import Construct

from .batch_storage import Folder
from .errors import Findings, is_token
from .schedules import Schedule, start_by_schedule, starter_role
from .storage import DeadLetterQueue, EncryptionKey
from .transform_workflow import TransformWorkflow


class ScheduleTrigger(Construct):
    """Starts a workflow by the clock, over one prefix of its input bucket: what is new there is scored.

    Args:
        workflow: What starts.
        schedule: When.
        prefix: Below ``input/``, ends in ``/``; empty for all of it. Default all.
        key: Encrypts the dead letters.

    Attributes:
        dead_letters: Starts that failed for a day.
        schedule: The underlying resource.

    Raises:
        InvalidConfiguration: A prefix that is none.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow: TransformWorkflow,
        schedule: Schedule,
        prefix: str = "",
        key: EncryptionKey,
    ) -> None:
        super().__init__(scope, id_)
        check_prefix(findings := Findings(self.node.path), prefix)
        findings.raise_if_any()
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key)
        self.schedule = start_by_schedule(
            self,
            schedule,
            what=workflow.workflow_name,
            arn=workflow.state_machine_arn,
            permission=workflow.start_statement(),
            text=json.dumps(
                {
                    "input": f"{workflow.storage.uri(Folder.INPUT)}{prefix}",
                    "force": False,
                    "trigger": "schedule",
                }
            ),
            dead_letters=self.dead_letters,
            key=key,
        )
        self.schedule.node.add_dependency(workflow.state_machine)


class ObjectTrigger(Construct):
    """Starts a workflow when a manifest (``*.manifest``) or a marker (``_SUCCESS``) arrives below ``input/``.

    S3 may tell of one object twice; the second execution finds everything claimed and ends.

    Args:
        workflow: What starts.
        prefix: Below ``input/``, ends in ``/``; empty for all of it. Default all.
        key: Encrypts the dead letters.

    Attributes:
        dead_letters: Starts that failed for a day.
        rule: The underlying resource.

    Raises:
        InvalidConfiguration: A prefix that is none.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow: TransformWorkflow,
        prefix: str = "",
        key: EncryptionKey,
    ) -> None:
        super().__init__(scope, id_)
        check_prefix(findings := Findings(self.node.path), prefix)
        findings.raise_if_any()
        workflow.storage.input.send_events()
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key)
        role = starter_role(
            self, "events.amazonaws.com", workflow.workflow_name, [workflow.start_statement()]
        )
        folder = f"{Folder.INPUT}/{prefix}"
        self.rule = events.CfnRule(
            self,
            "Rule",
            description=f"Starts {workflow.workflow_name}",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [workflow.storage.input.bucket_name]},
                    "object": {
                        "key": [{"wildcard": f"{folder}*.manifest"}, {"wildcard": f"{folder}*_SUCCESS"}]
                    },
                },
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Workflow",
                    arn=workflow.state_machine_arn,
                    role_arn=role.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=self.dead_letters.queue_arn
                    ),
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
                    ),
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={"bucket": "$.detail.bucket.name", "key": "$.detail.object.key"},
                        input_template='{"input": "s3://<bucket>/<key>", "trigger": "object"}',
                    ),
                )
            ],
        )
        self.rule.node.add_dependency(self.node.find_child("Policy"), workflow.state_machine)
        self.dead_letters.keep_events_of([self.rule])
        key.allow_rules()


def check_prefix(findings: Findings, prefix: str, field: str = "prefix") -> None:
    """Note a finding unless a prefix names a folder below ``input/``, or all of it.

    Args:
        findings: Where to note it.
        prefix: The prefix.
        field: The argument that holds it.
    """
    findings.require(
        lambda: not prefix or (prefix.endswith("/") and not prefix.startswith("/") and "*" not in prefix),
        field,
        prefix,
        f"is a folder below {Folder.INPUT}/: it ends in / and does not begin with it",
        f"write {prefix.strip('/*') if not is_token(prefix) else ''}/",
    )
