"""Functions in a started sandbox, by the Lambda API and by stacks: answered, refused, failed."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws import LocalAws
from sandbox.functions.docker import Shim
from sandbox.functions.images import ImageStore
from sandbox.home import ACCOUNT, REGION, Home, State
from tests.sandbox_functions.function_world import DEADLINE, DOCKERFILE, SCOPE, WAITS, Context

REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/function"
BROKEN = "import no_such_module\n"


class Cloud:
    """Clients of the sandbox, and images for functions in it."""

    def __init__(self, home: Home, sandbox: State, folder: Path) -> None:
        local = LocalAws(sandbox.gateway_url)
        self.aws: Callable[[str], Any] = lambda service: local.client(service, SCOPE)
        self.functions = self.aws("lambda")
        self._shim = Shim(ImageStore(home.image_dir), sandbox.gateway_url)
        self._folder = folder
        self.aws("ecr").create_repository(repositoryName="functions")

    def image(self, name: str, code: str) -> str:
        """Build and push an image whose app.py is this code, as the CDK CLI does; its URI."""
        context = Context(self._folder / name)
        context.write({"app.py": code, "Dockerfile": DOCKERFILE})
        uri = f"{REGISTRY}/functions:{name}"
        assert self._shim.run(["build", "--tag", uri, str(context.folder)]) == 0
        assert self._shim.run(["push", uri]) == 0
        return uri

    def function(self, name: str, code: str) -> str:
        """CreateFunction, and a version of it; the version."""
        self.functions.create_function(
            FunctionName=name,
            PackageType="Image",
            Code={"ImageUri": self.image(name, code)},
            Role=ROLE,
            MemorySize=256,
            Timeout=30,
        )
        return str(self.functions.publish_version(FunctionName=name)["Version"])

    def until(self, what: str, probe: Callable[[], Any]) -> Any:
        """Ask again and again until there is something true."""
        deadline = time.monotonic() + DEADLINE
        while not (seen := probe()):
            assert time.monotonic() < deadline, f"{what}: not within {DEADLINE} s"
            time.sleep(0.05)
        return seen


@pytest.fixture(scope="module")
def cloud(function_home: Home, function_sandbox: State, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(function_home, function_sandbox, tmp_path_factory.mktemp("contexts"))


def test_a_handler_that_fails_to_import_is_told_by_every_door(cloud: Cloud) -> None:
    # GIVEN a function whose module is missing
    version = cloud.function("broken", BROKEN)

    # WHEN it is called THEN the call is answered with Lambda's error, and the end of the log
    answer = cloud.functions.invoke(FunctionName="broken", Payload=b"{}", LogType="Tail")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    log = b64decode(answer["LogResult"]).decode()
    assert "Status: error\tError Type: Runtime.ImportModuleError" in log
    told = json.loads(answer["Payload"].read())
    assert told["errorType"] == "Runtime.ImportModuleError"
    assert told["errorMessage"] == "Unable to import module 'app': No module named 'no_such_module'"

    # AND environments ahead fail with the same reason
    wanted = {"FunctionName": "broken", "Qualifier": version}
    cloud.functions.put_provisioned_concurrency_config(**wanted, ProvisionedConcurrentExecutions=1)

    def failed() -> Any:
        found = cloud.functions.get_provisioned_concurrency_config(**wanted)
        return found if found["Status"] != "IN_PROGRESS" else None

    found = cloud.until("the end of provisioning", failed)
    assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == ("FAILED", 0)
    assert "FUNCTION_ERROR_INIT_FAILURE: Runtime.ImportModuleError" in found["StatusReason"]

    # AND a stack that wants them is rolled back, and says why
    template = {
        "Resources": {
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": "broken-in-stack",
                    "PackageType": "Image",
                    "Code": {"ImageUri": f"{REGISTRY}/functions:broken"},
                    "Role": ROLE,
                },
            },
            "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {
                    "FunctionName": {"Ref": "Function"},
                    "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                    "Name": "live",
                    "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
                },
            },
        }
    }
    stacks = cloud.aws("cloudformation")
    stacks.create_stack(StackName="broken", TemplateBody=json.dumps(template))
    cloud.until(
        "the rollback",
        lambda: stacks.describe_stacks(StackName="broken")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE",
    )
    events = stacks.describe_stack_events(StackName="broken")["StackEvents"]
    (reason,) = (
        event["ResourceStatusReason"]
        for event in events
        if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Alias", "CREATE_FAILED")
    )
    assert "Provisioned Concurrency configuration failed to be applied" in reason
    assert "No module named 'no_such_module'" in reason or "Runtime.ImportModuleError" in reason


def test_calls_are_answered_throttled_and_refused_as_by_lambda(cloud: Cloud, tmp_path: Path) -> None:
    # GIVEN a function that may have one call at a time, which is under way
    version = cloud.function(
        "waits", WAITS.replace("    while", "    open(f'{event}-entered', 'w').close()\n    while")
    )
    cloud.functions.put_function_concurrency(FunctionName="waits", ReservedConcurrentExecutions=1)
    entered, gate = tmp_path / "gate-entered", tmp_path / "gate"
    order = json.dumps(str(gate)).encode()
    cloud.functions.invoke(FunctionName="waits", Payload=order, InvocationType="Event")
    cloud.until("the first call", entered.exists)

    # WHEN another comes THEN it is throttled for the function's limit, and later answered
    throttled = _refusal(cloud, FunctionName="waits", Payload=order)
    assert throttled["Error"]["Code"] == "TooManyRequestsException"
    assert throttled["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert throttled["ResponseMetadata"]["HTTPStatusCode"] == 429
    gate.touch()
    cloud.until("the next call", lambda: _answers(cloud, "waits", order))

    # AND what Lambda refuses is refused
    large = _refusal(cloud, FunctionName="waits", Payload=json.dumps("x" * 6 * 1024 * 1024).encode())
    assert large["Error"]["Code"] == "RequestTooLargeException"
    damaged = _refusal(cloud, FunctionName="waits", Payload=b"{")
    assert damaged["Error"]["Code"] == "InvalidRequestContentException"
    for qualifier, count, words in (
        ("$LATEST", 1, "unpublished function versions"),
        (version, 2, "should not be greater than the reservedConcurrentExecution"),
    ):
        with pytest.raises(ClientError, match=words):
            cloud.functions.put_provisioned_concurrency_config(
                FunctionName="waits", Qualifier=qualifier, ProvisionedConcurrentExecutions=count
            )


def _refusal(cloud: Cloud, **call: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        cloud.functions.invoke(**call)
    return dict(caught.value.response)


def _answers(cloud: Cloud, name: str, payload: bytes) -> bool:
    try:
        answer = cloud.functions.invoke(FunctionName=name, Payload=payload, LogType="Tail")
    except cloud.functions.exceptions.TooManyRequestsException:
        return False
    assert "REPORT RequestId: " in b64decode(answer["LogResult"]).decode()
    return isinstance(json.loads(answer["Payload"].read()), int)
