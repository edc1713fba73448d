"""Calls that AWS refuses, endpoints that failed, and calls that come at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.ml_pipeline_functions.plane import ENDPOINT, Deploy, Plane, endpoint_event

Refuse = Callable[[str, str, str], None]


@pytest.fixture
def failed(deploy: Deploy, plane: Plane) -> str:
    """The version of an endpoint whose creation failed."""
    arn = plane.register("Approved")
    deploy()
    assert deploy(plane.end(well=False))["status"] == "Failed"
    return arn


@pytest.mark.parametrize("operation", ["CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"])
@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "AccessDeniedException"])
def test_refused_call_leaves_nothing(
    deploy: Deploy, plane: Plane, refuse: Refuse, operation: str, code: str
) -> None:
    # GIVEN an operation that AWS refuses
    if operation == "UpdateEndpoint":
        deploy.live()
    before = plane.models, plane.configs
    arn = plane.register("Approved")
    refuse(operation, code, "no more ml.m5.large for you")
    # WHEN a version is deployed
    # THEN the call says what AWS said, and what it made is removed
    with pytest.raises(
        deploy.functions.reconcile.DeployError,
        match=rf"{arn} cannot be deployed. {operation}: {code}: no more",
    ):
        deploy()
    assert (plane.models, plane.configs) == before
    # AND it works once AWS lets it
    plane.refusals.clear()
    assert deploy()["status"] in ("Creating", "Updating")


def test_refused_call_leaves_what_was_there_before(deploy: Deploy, plane: Plane, refuse: Refuse) -> None:
    # GIVEN a version that was taken back, whose configuration is kept
    deploy.live()
    plane.register("Approved")
    deploy()
    deploy(plane.end(well=False))
    before = plane.models, plane.configs
    # WHEN it is tried again, and refused
    refuse("UpdateEndpoint", "ThrottlingException", "Rate exceeded")
    with pytest.raises(deploy.functions.reconcile.DeployError, match="Rate exceeded"):
        deploy()
    # THEN that is still there
    assert (plane.models, plane.configs) == before


def test_look_that_is_refused(deploy: Deploy, plane: Plane, refuse: Refuse) -> None:
    # GIVEN a function that may not look
    plane.register("Approved")
    refuse("DescribeEndpoint", "AccessDeniedException", "not authorized")
    # WHEN it is called
    # THEN it says what it may not
    with pytest.raises(deploy.functions.reconcile.DeployError, match="DescribeEndpoint: AccessDenied"):
        deploy()


def test_note_that_cannot_be_made_does_not_fail_the_update(
    deploy: Deploy, plane: Plane, refuse: Refuse, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN tags that cannot be set
    deploy.live()
    plane.register("Approved")
    refuse("AddTags", "ThrottlingException", "Rate exceeded")
    # WHEN a version is deployed
    # THEN it is on its way, and the log has it
    assert deploy()["status"] == "Updating"
    assert "Rate exceeded" in capsys.readouterr().out


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_two_calls_at_the_same_moment_create_one(deploy: Deploy, plane: Plane, operation: str) -> None:
    # GIVEN a call that comes between another one's look and its work
    plane.register("Approved")
    between: list[Any] = []
    plane.before[operation] = lambda: between.append(deploy()["status"])
    # WHEN both want the same
    last = deploy()["status"]
    # THEN one creates, the other finds it busy, and nothing is made twice or removed under it
    assert between == ["Creating"]
    assert last == "Pending"
    assert len(plane.configs) == len(plane.models) == 1
    assert deploy(plane.end())["status"] == "Unchanged"


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "UpdateEndpoint"])
def test_update_that_somebody_else_began(deploy: Deploy, plane: Plane, operation: str) -> None:
    # GIVEN a version that is approved, and another call that updates to it first
    deploy.live()
    plane.register("Approved")
    plane.before[operation] = lambda: deploy()
    # WHEN the first call goes on
    # THEN it leaves to the other what both want
    assert deploy()["status"] == "Pending"
    assert len(plane.configs) == len(plane.models) == 2
    assert deploy(plane.end())["status"] == "Unchanged"


def test_update_to_another_version_that_began_first(deploy: Deploy, plane: Plane) -> None:
    # GIVEN a newer version that is approved and deployed while a call for an older one works
    deploy.live()
    plane.register("Approved")
    newer = plane.register()

    def overtake() -> None:
        assert deploy(plane.decide(newer, "Approved"))["status"] == "Updating"

    plane.before["UpdateEndpoint"] = overtake
    # WHEN the older one's call goes on
    # THEN it takes back what it made, and only that
    assert deploy()["status"] == "Pending"
    assert len(plane.configs) == len(plane.models) == 2
    assert deploy(plane.end())["status"] == "Unchanged"
    assert plane.served == "3"


def test_nothing_is_pruned_under_an_update_that_began_meanwhile(deploy: Deploy, plane: Plane) -> None:
    # GIVEN an older version's configuration that is about to be pruned
    first = deploy.live()
    second = plane.register("Approved")
    deploy()
    plane.end()

    def go_back() -> None:
        plane.decide(second, "Rejected")
        assert deploy()["status"] == "Updating"

    plane.before["ListEndpointConfigs"] = go_back
    # WHEN somebody goes back to it at that moment
    assert deploy(young=timedelta(0))["status"] == "Unchanged"
    # THEN it is not removed
    assert len(plane.configs) == len(plane.models) == 2
    answer = deploy(plane.end())
    assert (answer["status"], answer["model_package_arn"]) == ("Unchanged", first)


def test_configuration_that_is_seen_a_little_later(deploy: Deploy, plane: Plane, refuse: Refuse) -> None:
    # GIVEN an endpoint configuration that CreateEndpoint does not see at first
    plane.register("Approved")
    refuse("CreateEndpoint", "ValidationException", 'Could not find endpoint configuration "x".')
    plane.before["CreateEndpoint"] = lambda: setattr(
        plane, "before", {"CreateEndpoint": plane.refusals.clear}
    )
    # WHEN a version is deployed
    # THEN the call waits for it and does not make it anew
    assert deploy()["status"] == "Creating"
    assert plane.sagemaker_calls.count("CreateEndpointConfig") == 1
    assert plane.sagemaker_calls.count("CreateEndpoint") == 2


def test_failed_endpoint_is_replaced_by_an_explicit_call_only(
    deploy: Deploy, plane: Plane, failed: str
) -> None:
    # GIVEN an endpoint whose creation failed: its event leaves it as it is, with the reason
    answer = deploy(endpoint_event("FAILED"))
    assert answer["status"] == "Failed"
    assert "No instance could be had" in answer["message"]
    # WHEN a person calls, and the deletion does not take long
    plane.before["DeleteEndpoint"] = lambda: setattr(plane.deployments, "hold", False)
    plane.before["CreateEndpoint"] = lambda: setattr(plane.deployments, "hold", True)
    # THEN it is created anew
    assert deploy()["status"] == "Creating"
    assert deploy(plane.end())["status"] == "Unchanged"
    assert deploy()["model_package_arn"] == failed


def test_failed_endpoint_whose_deletion_takes_long(deploy: Deploy, plane: Plane, failed: str) -> None:
    # GIVEN an endpoint whose deletion goes on when the call has to end
    answer = deploy({"model_package_arn": failed})
    assert answer["status"] == "Pending"
    assert plane.status == "Deleting"
    assert deploy(endpoint_event("DELETING"))["status"] == "Pending"
    # WHEN the event tells that it is gone
    # THEN it is created anew
    assert deploy(plane.end())["status"] == "Creating"
    assert deploy(plane.end())["status"] == "Unchanged"
    # BUT one that a person deletes stays deleted
    deploy.functions.endpoint.delete(ENDPOINT)
    assert deploy(plane.end())["status"] == "Deleted"
    assert plane.status == ""


def test_version_approved_while_another_one_failed(deploy: Deploy, plane: Plane) -> None:
    # GIVEN a version that was approved while the endpoint was being created with another one
    plane.register("Approved")
    deploy()
    second = plane.register("Approved")
    assert deploy({"model_package_arn": second})["status"] == "Pending"
    # WHEN that creation fails
    answer = deploy(plane.end(well=False))
    # THEN the event replaces it: this version was asked for, and has not been tried
    assert answer["status"] == "Pending"
    assert deploy(plane.end())["model_package_arn"] == second
    # AND not again when it fails too
    assert deploy(plane.end(well=False))["status"] == "Failed"


def test_version_approved_while_the_endpoint_is_deleted(deploy: Deploy, plane: Plane) -> None:
    # GIVEN an endpoint that a person deletes
    deploy.live()
    deploy.functions.endpoint.delete(ENDPOINT)
    # WHEN a version is approved meanwhile
    second = plane.register("Approved")
    assert deploy({"model_package_arn": second})["status"] == "Pending"
    # THEN the endpoint is made with it
    assert deploy(plane.end())["status"] == "Creating"
    deploy(plane.end())
    assert plane.served == "2"


def test_rollback_that_failed(deploy: Deploy, plane: Plane, refuse: Refuse) -> None:
    # GIVEN an endpoint that serves with a mix
    deploy.live()
    second = plane.register("Approved")
    deploy()
    plane.end(well=False)
    plane.endpoint(ENDPOINT).status = "UpdateRollbackFailed"
    # WHEN its event comes, it is left
    assert deploy(endpoint_event("UPDATE_ROLLBACK_FAILED"))["status"] == "Failed"
    # THEN a person updates it again, and is told what to do if that is refused
    refuse("UpdateEndpoint", "ValidationException", "Cannot update endpoint")
    with pytest.raises(
        deploy.functions.reconcile.DeployError, match=r"refused as well.* Delete the endpoint"
    ):
        deploy()
    plane.refusals.clear()
    assert deploy()["status"] == "Updating"
    answer = deploy(plane.end())
    assert (answer["status"], answer["model_package_arn"]) == ("Unchanged", second)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MODEL", "{", "MODEL is no JSON"),
        ("TAGS", "{}", "TAGS is {}, and must be a JSON list"),
        ("ENDPOINT_CONFIG", "{}", "has 0 ProductionVariants"),
    ],
)
def test_settings_that_are_not_fit(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    # GIVEN a variable that is not fit
    monkeypatch.setenv(variable, value)
    # WHEN the function is called
    # THEN it says which
    with pytest.raises(ValueError, match=told):
        deploy()


def test_long_names_are_cut(deploy: Deploy, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an endpoint's name as long as it may be
    monkeypatch.setenv("ENDPOINT_NAME", "reviews-" * 7 + "endpoi1")
    plane.register("Approved")
    # WHEN a version is deployed
    deploy()
    # THEN the names of what is made are no longer than they may be
    (name,) = plane.configs
    assert len(name) <= 63
    assert name.startswith("reviews-reviews-reviews-reviews-reviews-reviews-")
