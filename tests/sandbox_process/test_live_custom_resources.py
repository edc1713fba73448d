"""Custom resources of stacks: what their function is asked, and what becomes of its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_process.live import Live, Queue

# keeps each request in a queue, and answers as the properties say
CODE = """
import json, os, urllib.request
import boto3

def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
    properties = event["ResourceProperties"]
    if properties.get("Silent") == "true":
        raise RuntimeError("no answer")
    failed = event["RequestType"] in properties.get("FailsAt", [])
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {
        "Status": "FAILED" if failed else "SUCCESS",
        "Reason": "the disk is full",
        "PhysicalResourceId": "thing-" + properties["Name"],
        "NoEcho": True,
        "Data": {"Number": 42, "Yes": True, "Text": properties["Name"].upper()},
    }
    if event["RequestType"] == "Create":
        answer["Data"]["Long"] = "x" * int(properties.get("Length", 0))
    request = urllib.request.Request(
        event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT", headers={"content-type": ""}
    )
    urllib.request.urlopen(request)
"""
SETTLED = ("_COMPLETE", "_FAILED")


class Stack:
    """A stack with a custom resource, its function, and the policy that this needs."""

    def __init__(self, live: Live, name: str) -> None:
        self._live, self.name = live, name
        self._cloudformation = live.aws("cloudformation")
        sqs = live.aws("sqs")
        self._url = sqs.create_queue(QueueName=f"requests-of-{name}")["QueueUrl"]
        self.queue = Queue(sqs, self._url)
        self.id = ""

    def template(self, properties: Params) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
        statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
        function = {
            "Runtime": "python3.11",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": CODE},
            "Timeout": 30,
            "Environment": {"Variables": {"QUEUE": self._url}},
        }
        resources: Params = {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [trust | {"Action": "sts:AssumeRole"}],
                    }
                },
            },
            "Policy": {
                "Type": "AWS::IAM::Policy",
                "Properties": {
                    "PolicyName": "send",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
                    "Roles": [{"Ref": "Role"}],
                },
            },
            "Function": {"Type": "AWS::Lambda::Function", "DependsOn": ["Policy"], "Properties": function},
            "Thing": {
                "Type": "Custom::Thing",
                "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}, **properties},
            },
        }
        got = {name: {"Fn::GetAtt": ["Thing", name]} for name in ("Number", "Yes", "Text")}
        outputs = {name: {"Value": value} for name, value in got.items()} | {
            "Id": {"Value": {"Ref": "Thing"}}
        }
        return json.dumps({"Resources": resources, "Outputs": outputs})

    def create(self, properties: Params, **options: Any) -> Params:
        return self._changed(self._cloudformation.create_stack, properties, options)

    def update(self, properties: Params, **options: Any) -> Params:
        return self._changed(self._cloudformation.update_stack, properties, options)

    def update_as_the_cdk_does(self, properties: Params) -> Params:
        """By a change set: also of a stack that was not rolled back."""
        make, execute = self._cloudformation.create_change_set, self._cloudformation.execute_change_set
        change = make(
            StackName=self.name,
            ChangeSetName="change",
            ChangeSetType="UPDATE",
            TemplateBody=self.template(properties),
            Capabilities=["CAPABILITY_IAM"],
        )["Id"]
        self._cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=change, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        execute(ChangeSetName=change)
        return self._settled()

    def delete(self) -> Params:
        self._cloudformation.delete_stack(StackName=self.name)
        return self._settled()

    def _changed(self, change: Any, properties: Params, options: Params) -> Params:
        answer = change(
            StackName=self.name,
            TemplateBody=self.template(properties),
            Capabilities=["CAPABILITY_IAM"],
            **options,
        )
        self.id = answer["StackId"]
        return self._settled()

    def _settled(self) -> Params:
        def probe() -> Params | None:
            found: Params = self._cloudformation.describe_stacks(StackName=self.id)["Stacks"][0]
            return found if found["StackStatus"].endswith(SETTLED) else None

        settled: Params = self._live.until(self.name, probe)
        return settled

    def requests(self) -> list[Params]:
        """What the function was asked since it was looked last."""
        known = len(self.queue.events)
        return self.queue.read()[known:]

    def reason(self, logical_id: str, status: str) -> str:
        events = self._cloudformation.describe_stack_events(StackName=self.id)["StackEvents"]
        found = [
            event.get("ResourceStatusReason", "")
            for event in events
            if (event["LogicalResourceId"], event["ResourceStatus"]) == (logical_id, status)
        ]
        return str(found[0])

    def deleted(self) -> list[str]:
        """Resources in the order in which they were deleted."""
        events = self._cloudformation.describe_stack_events(StackName=self.id)["StackEvents"]
        done = [event for event in reversed(events) if event["ResourceStatus"] == "DELETE_COMPLETE"]
        return [event["LogicalResourceId"] for event in done if event["LogicalResourceId"] != self.name]


def outputs(stack: Params) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def kinds(requests: list[Params]) -> list[tuple[str, str]]:
    return [(request["RequestType"], request.get("PhysicalResourceId", "")) for request in requests]


def test_a_custom_resource_is_made_changed_replaced_taken_back_and_removed(live: Live) -> None:
    # GIVEN a stack with a custom resource
    stack = Stack(live, "Things")
    properties: Params = {"Name": "a", "Count": 3, "Share": 0.5, "On": True, "Deep": [{"N": 1}]}

    # WHEN it is created
    created = stack.create(properties)

    # THEN its function is asked with strings, and its data are attributes
    assert created["StackStatus"] == "CREATE_COMPLETE"
    assert outputs(created) == {"Number": "42", "Yes": "true", "Text": "A", "Id": "thing-a"}
    (request,) = stack.requests()
    assert request["RequestType"] == "Create"
    assert request["ResourceType"] == "Custom::Thing"
    assert request["LogicalResourceId"] == "Thing"
    assert request["StackId"] == created["StackId"]
    given = request["ResourceProperties"]
    assert given.pop("ServiceToken") == request["ServiceToken"]
    assert given == {"Name": "a", "Count": "3", "Share": "0.5", "On": "true", "Deep": [{"N": "1"}]}

    # AND WHEN a property changes, and then one that makes another thing
    changed = stack.update(properties | {"Count": 4})
    updates = stack.requests()
    replaced = stack.update(properties | {"Count": 4, "Name": "b"})

    # THEN it is told of both, and the old thing is removed at the end
    assert changed["StackStatus"] == "UPDATE_COMPLETE"
    assert kinds(updates) == [("Update", "thing-a")]
    assert updates[0]["ResourceProperties"]["Count"] == "4"
    assert updates[0]["OldResourceProperties"]["Count"] == "3"
    assert outputs(replaced)["Id"] == "thing-b"
    assert outputs(replaced)["Text"] == "B"
    assert kinds(stack.requests()) == [("Update", "thing-a"), ("Delete", "thing-a")]

    # AND WHEN an update fails
    failed = stack.update(properties | {"Count": 5, "Name": "b", "FailsAt": ["Update"]})

    # THEN the stack says why, and the function is asked to go back
    assert failed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Message returned: the disk is full (RequestId: " in stack.reason("Thing", "UPDATE_FAILED")
    there, back = stack.requests()
    assert (there["ResourceProperties"]["Count"], back["ResourceProperties"]["Count"]) == ("5", "4")
    assert back["OldResourceProperties"]["FailsAt"] == ["Update"]

    # AND WHEN the stack is removed
    removed = stack.delete()

    # THEN the function was asked while it and its policy were there
    assert removed["StackStatus"] == "DELETE_COMPLETE"
    assert kinds(stack.requests()) == [("Delete", "thing-b")]
    assert stack.deleted()[-4:] == ["Thing", "Function", "Policy", "Role"]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"FailsAt": ["Create"]}, "Received response status [FAILED] from custom resource."),
        ({"Length": 5000}, "Response object is too long"),
    ],
)
def test_what_could_not_be_made_is_removed_before_its_function(
    live: Live, properties: Params, reason: str
) -> None:
    # GIVEN a custom resource that cannot be made
    stack = Stack(live, f"Fails{len(reason)}")

    # WHEN its stack is created
    created = stack.create({"Name": "x"} | properties)

    # THEN its function is asked to remove what there is, before it goes itself
    assert created["StackStatus"] == "ROLLBACK_COMPLETE"
    assert reason in stack.reason("Thing", "CREATE_FAILED")
    assert kinds(stack.requests()) == [("Create", ""), ("Delete", "thing-x")]
    assert stack.deleted() == ["Thing", "Function", "Policy", "Role"]


def test_a_stack_that_is_left_as_it_failed_makes_the_resource_anew(live: Live) -> None:
    # GIVEN a stack that was not rolled back
    stack = Stack(live, "Left")
    left = stack.create({"Name": "x", "FailsAt": ["Create"]}, DisableRollback=True)
    assert left["StackStatus"] == "CREATE_FAILED"

    # WHEN it is updated
    repaired = stack.update_as_the_cdk_does({"Name": "y"})

    # THEN the resource is created, and the one that failed removed
    assert repaired["StackStatus"] == "UPDATE_COMPLETE"
    assert kinds(stack.requests()) == [("Create", ""), ("Create", ""), ("Delete", "thing-x")]


def test_a_function_that_does_not_answer_is_not_waited_for_longer_than_it_may_take(live: Live) -> None:
    # GIVEN a function that raises before it answers, and a second to do so
    stack = Stack(live, "Silent")

    # WHEN its stack is created
    created = stack.create({"Name": "x", "Silent": True, "ServiceTimeout": 1})

    # THEN that is the reason, also of what cannot be removed
    assert created["StackStatus"] == "ROLLBACK_FAILED"
    for status in ("CREATE_FAILED", "DELETE_FAILED"):
        assert "did not receive a response" in stack.reason("Thing", status)
    # AND a time that is none is refused
    bad = Stack(live, "Timeless")
    assert bad.create({"Name": "x", "ServiceTimeout": 3601})["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "from 1 to 3600 seconds" in bad.reason("Thing", "CREATE_FAILED")
    assert bad.requests() == []
