"""CloudFormation's requests: always answered, exactly once."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.store import Params
from tests.ml_pipeline_functions.clients import Objects
from tests.ml_pipeline_functions.cloudformation import Stack
from tests.ml_pipeline_functions.plane import ENDPOINT, GROUP, Deploy, Plane
from tests.sandbox_api.world import SCOPE


class Context:
    """Lambda's, with less time whenever it is asked."""

    def __init__(self, seconds: float = 600.0) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        self.seconds -= 1
        return int(self.seconds * 1000)


@pytest.fixture
def requested(deploy: Deploy, stack: Stack) -> Any:
    """Sends a request to the function that deploys; its one answer."""

    def send(kind: str, physical_id: str = "", seconds: float = 600.0) -> Params:
        deploy.functions.deploy.handler(stack.request(kind, physical_id), Context(seconds))
        return stack.answer

    return send


def test_stack_never_fails_for_what_the_registry_says(requested: Any, plane: Plane, stack: Stack) -> None:
    # GIVEN a group in which nothing is approved
    arn = plane.register()
    # WHEN the stack is made
    answer = requested("Create")
    # THEN it is, with the endpoint's name for an id
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", ENDPOINT)
    assert answer["Data"]["status"] == "NothingApproved"
    assert (answer["RequestId"], answer["LogicalResourceId"]) == ("request-1", "Resource")
    assert stack.content_types == {""}
    # AND an update deploys, and does not fail when the endpoint is busy
    plane.decide(arn, "Approved")
    assert requested("Update", "kept")["Data"]["status"] == "Creating"
    answer = requested("Update", "kept")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "kept")
    assert answer["Data"]["status"] == "Pending"


def test_removal_takes_everything(requested: Any, deploy: Deploy, plane: Plane) -> None:
    # GIVEN an endpoint with what earlier versions left
    deploy.live()
    plane.register("Approved")
    deploy()
    plane.end()
    plane.before["DeleteEndpoint"] = lambda: setattr(plane.deployments, "hold", False)
    # WHEN the stack is removed
    answer = requested("Delete", "kept")
    # THEN nothing is left, and the event of the deletion does not bring it back
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "kept")
    assert (plane.status, plane.models, plane.configs) == ("", set(), set())
    assert deploy(_deleted())["status"] == "Deleted"
    # AND it may be removed again
    assert requested("Delete", "kept")["Status"] == "SUCCESS"


def test_removal_while_the_endpoint_is_updated(requested: Any, deploy: Deploy, plane: Plane) -> None:
    # GIVEN an endpoint that is being updated
    deploy.live()
    plane.register("Approved")
    deploy()
    looks: list[str] = []

    def look() -> None:
        looks.append(plane.status)
        if len(looks) == 3:
            plane.deployments.finish()
            plane.deployments.hold = False
        plane.before["DescribeEndpoint"] = look

    plane.before["DescribeEndpoint"] = look
    # WHEN the stack is removed
    answer = requested("Delete", "kept")
    # THEN that is waited for
    assert answer["Status"] == "SUCCESS", answer
    assert looks[:3] == ["Updating"] * 3
    assert (plane.status, plane.models, plane.configs) == ("", set(), set())


def test_removal_that_takes_too_long(requested: Any, deploy: Deploy, plane: Plane) -> None:
    # GIVEN an update that goes on longer than the function may
    deploy.live()
    plane.register("Approved")
    deploy()
    # WHEN the stack is removed
    answer = requested("Delete", "kept", seconds=60)
    # THEN the answer says what to do, and nothing was removed under the endpoint
    assert answer["Status"] == "FAILED"
    assert "is Updating" in answer["Reason"]
    assert "then delete the stack again" in answer["Reason"]
    assert len(plane.configs) == 2


def test_deletion_that_takes_too_long(requested: Any, deploy: Deploy, plane: Plane) -> None:
    # GIVEN a deletion that goes on longer than the function may
    deploy.live()
    # WHEN the stack is removed
    answer = requested("Delete", "kept", seconds=60)
    # THEN configurations stay until it is gone
    assert answer["Status"] == "FAILED"
    assert "is Deleting" in answer["Reason"]
    assert len(plane.configs) == 1
    plane.end()
    assert requested("Delete", "kept")["Status"] == "SUCCESS"
    assert plane.configs == set()


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_whatever_is_raised_is_answered(
    requested: Any, plane: Plane, monkeypatch: pytest.MonkeyPatch, refuse: Any, kind: str
) -> None:
    # GIVEN a function without a variable, and one that may do nothing
    plane.register("Approved")
    monkeypatch.delenv("MODEL_PACKAGE_GROUP")
    answer = requested(kind, "kept")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", "kept")
    assert "MODEL_PACKAGE_GROUP" in answer["Reason"]
    monkeypatch.setenv("MODEL_PACKAGE_GROUP", GROUP)
    # WHEN it is called
    refuse("DescribeEndpoint", "AccessDeniedException", "not authorized. " + "한" * 3000)
    answer = requested(kind, "kept")
    # THEN there is an answer that CloudFormation takes
    assert answer["Status"] == "FAILED"
    assert "not authorized" in answer["Reason"]
    assert len(answer["Reason"].encode()) <= 1024


def test_answer_is_sent_again_until_it_is_taken(requested: Any, plane: Plane, stack: Stack) -> None:
    # GIVEN a place for answers that is out of order at first
    plane.register()
    stack.refusals = 2
    # WHEN the function answers
    # THEN there is one answer
    assert requested("Create")["Status"] == "SUCCESS"
    # AND if it is never taken, Lambda is to call again
    stack.refusals = 3
    with pytest.raises(OSError, match="503"):
        requested("Create")
    assert stack.answers == []


def _deleted() -> Params:
    detail = {"EndpointName": ENDPOINT, "EndpointStatus": "DELETED"}
    return {"detail-type": "SageMaker Endpoint State Change", "detail": detail}


class Install:
    """The function that installs, with a folder of scripts."""

    def __init__(self, functions: SimpleNamespace, stack: Stack, code: Path) -> None:
        self.functions, self.stack, self.code = functions, stack, code

    def __call__(self, kind: str, **changed: str) -> Params:
        properties = {
            "Bucket": "data",
            "CodePrefix": "code/",
            "CodeVersion": "v1",
            "ModelPackageGroup": GROUP,
            "DeleteVersions": "false",
        }
        given = {name: value for name, value in (properties | changed).items() if value}
        self.functions.install.handler(
            self.stack.request(kind, "" if kind == "Create" else "kept", **given), None
        )
        return self.stack.answer


@pytest.fixture
def install(
    functions: SimpleNamespace,
    plane: Plane,
    stack: Stack,
    objects: Objects,
    reach: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Install:
    reach(sagemaker=plane.sagemaker, s3=objects.client)
    code = tmp_path / "job_code"
    code.mkdir()
    (code / "train.py").write_text("print('train')\n")
    (code / "evaluate.py").write_text("print('evaluate')\n")
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "train.pyc").write_bytes(b"x")
    monkeypatch.setattr(functions.install, "CODE", code)
    return Install(functions, stack, code)


def test_scripts_are_uploaded_as_files_and_as_an_archive(install: Install, objects: Objects) -> None:
    # GIVEN scripts that were packaged with the function
    # WHEN the stack is made
    answer = install("Create")
    # THEN they are in the bucket, and in an archive beside it
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", GROUP)
    assert set(objects.content) == {"code/v1/evaluate.py", "code/v1/train.py", "code/v1.tar.gz"}
    packed = objects.content["code/v1.tar.gz"][1]
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == ["evaluate.py", "train.py"]
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
        assert tar.extractfile(members[1]).read() == b"print('train')\n"  # type: ignore[union-attr]
    # AND the same bytes whenever they are packed
    for path in install.code.glob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    assert install("Update")["PhysicalResourceId"] == "kept"
    again = objects.content["code/v1.tar.gz"][1]
    assert hashlib.sha256(again).digest() == hashlib.sha256(packed).digest()


@pytest.mark.parametrize("delete", ["true", "false"])
def test_versions_go_with_the_stack_if_they_may(
    install: Install, plane: Plane, objects: Objects, delete: str
) -> None:
    # GIVEN more versions than a page has, and a bucket with objects
    for _ in range(120):
        plane.register()
    objects.put("code/v1/train.py")
    # WHEN the stack is removed
    answer = install("Delete", DeleteVersions=delete)
    # THEN versions go or stay, as the stack says; the bucket is left alone
    assert answer["Status"] == "SUCCESS"
    assert len(plane.stores.of(SCOPE).model_packages) == (0 if delete == "true" else 120)
    assert set(objects.content) == {"code/v1/train.py"}


def test_removal_without_a_group(install: Install) -> None:
    # GIVEN no such group
    # WHEN the stack is removed
    # THEN there is nothing to do
    assert install("Delete", DeleteVersions="true")["Status"] == "SUCCESS"


def test_installation_that_cannot_be_done(install: Install, refuse: Any, plane: Plane) -> None:
    # GIVEN a property that is missing, versions that may not be removed, and no scripts
    assert "CodeVersion is missing" in install("Create", CodeVersion="")["Reason"]
    plane.register()
    refuse("DeleteModelPackage", "AccessDeniedException", "not authorized")
    answer = install("Delete", DeleteVersions="true")
    assert answer["Status"] == "FAILED"
    assert "DeleteModelPackage: AccessDeniedException: not authorized" in answer["Reason"]
    for path in install.code.glob("*.py"):
        path.unlink()
    # WHEN the stack is made
    # THEN the answer says what is wrong
    answer = install("Create")
    assert answer["Status"] == "FAILED"
    assert "packaged without job_code/" in answer["Reason"]
