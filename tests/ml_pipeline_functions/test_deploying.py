"""The endpoint follows the registry."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.ml_pipeline_functions.plane import (
    DEPLOYMENT,
    ENDPOINT,
    GROUP,
    Deploy,
    Plane,
    endpoint_event,
    package_event,
)

NOW = timedelta(0)


def test_first_approved_version_creates_the_endpoint(
    deploy: Deploy, plane: Plane, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN an execution that registers a version which waits for approval
    arn = plane.register()
    assert deploy({"model_package_arn": arn})["status"] == "NotApproved"
    assert plane.status == ""
    capsys.readouterr()
    # WHEN somebody approves it
    answer = deploy(plane.decide(arn, "Approved"))
    # THEN the endpoint is created with it, tagged, and the call is told in one line
    assert answer["status"] == "Creating"
    assert answer["model_package_arn"] == arn
    assert plane.status == "Creating"
    (config,) = plane.configs
    assert plane.models == {config}
    assert config.startswith("reviews-")
    assert plane.tags(config) == {
        "pattern": "ml-pipeline",
        "sagemaker-serving:model-package-arn": arn,
    }
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["trigger"], told["wanted"], told["live"], told["status"]) == (
        "SageMaker Model Package State Change",
        arn,
        "",
        "Creating",
    )
    # AND the event of its end finds nothing to do
    assert deploy(plane.end())["status"] == "Unchanged"


def test_second_approved_version_is_deployed_as_the_settings_say(deploy: Deploy, plane: Plane) -> None:
    # GIVEN a version in service
    first = deploy.live()
    # WHEN an execution registers an approved one
    second = plane.register("Approved")
    assert deploy({"model_package_arn": second})["status"] == "Updating"
    # THEN the endpoint is updated with the deployment configuration, and only once
    assert plane.deployments.calls[-1][1][1] == DEPLOYMENT
    assert deploy({"model_package_arn": second})["status"] == "Pending"
    assert deploy(plane.end())["status"] == "Unchanged"
    assert plane.served == "2"
    # AND the older one changes nothing, though it is approved as well
    answer = deploy(package_event(first, "Approved"))
    assert (answer["status"], answer["model_package_arn"]) == ("Superseded", second)
    # AND to go back the live one is rejected
    assert deploy(plane.decide(second, "Rejected"))["status"] == "Updating"
    deploy(plane.end())
    assert plane.served == "1"


def test_version_approved_while_the_endpoint_is_busy_follows_by_the_event_of_its_end(
    deploy: Deploy, plane: Plane
) -> None:
    # GIVEN an endpoint that is being created
    plane.register("Approved")
    deploy()
    # WHEN another version is approved, and rejected again, and a third one approved meanwhile
    second = plane.register()
    assert deploy(plane.decide(second, "Approved"))["status"] == "Pending"
    assert deploy(plane.decide(second, "Rejected"))["status"] == "Pending"
    third = plane.register("Approved")
    assert deploy({"model_package_arn": third})["status"] == "Pending"
    # THEN nothing was made for them yet, and the end brings the third
    assert len(plane.configs) == len(plane.models) == 1
    answer = deploy(plane.end())
    assert (answer["status"], answer["model_package_arn"]) == ("Updating", third)
    assert deploy(plane.end())["status"] == "Unchanged"
    # AND events that come late do nothing
    assert deploy(package_event(second, "Approved"))["status"] == "NotApproved"
    assert plane.served == "3"


def test_version_that_was_taken_back_is_tried_again_by_a_person_only(deploy: Deploy, plane: Plane) -> None:
    # GIVEN a version that alarms took back
    deploy.live()
    second = plane.register("Approved")
    deploy({"model_package_arn": second})
    answer = deploy(plane.end(well=False))
    assert answer["status"] == "RolledBack"
    assert "No instance could be had" in answer["message"]
    # WHEN events of the endpoint come, they leave it
    assert deploy(endpoint_event("IN_SERVICE"))["status"] == "RolledBack"
    # THEN a person tries it again
    assert deploy()["status"] == "Updating"
    assert deploy(plane.end(well=False))["status"] == "RolledBack"
    # AND a rejection ends it, with nothing left
    assert deploy(plane.decide(second, "Rejected"), young=NOW)["status"] == "NotApproved"
    assert plane.served == "1"
    assert len(plane.configs) == len(plane.models) == 1


def test_decision_about_another_version_does_not_try_again_what_was_taken_back(
    deploy: Deploy, plane: Plane
) -> None:
    # GIVEN a version that alarms took back, and a newer one that waits
    deploy.live()
    second = plane.register("Approved")
    deploy({"model_package_arn": second})
    deploy(plane.end(well=False))
    third = plane.register("PendingManualApproval")
    # WHEN the execution that registered the newer one calls, and when somebody rejects that one
    for answer in (deploy({"model_package_arn": third}), deploy(plane.decide(third, "Rejected"))):
        # THEN the one that was taken back is left alone
        assert answer["status"] == "RolledBack"
    # AND WHEN it is approved once more THEN it is tried again
    assert deploy(plane.decide(second, "Approved"))["status"] == "Updating"


def test_going_back_works_also_when_the_rejection_came_during_the_update(
    deploy: Deploy, plane: Plane
) -> None:
    # GIVEN a rejection while the version is being deployed, whose predecessor's configuration is still there
    deploy.live()
    second = plane.register("Approved")
    deploy()
    assert deploy(plane.decide(second, "Rejected"))["status"] == "Pending"
    # WHEN the update ends well
    answer = deploy(plane.end())
    # THEN the predecessor is deployed again, by the event
    assert answer["status"] == "Updating"
    deploy(plane.end())
    assert plane.served == "1"
    # AND is not tried for ever if that is taken back
    third = plane.register("Approved")
    deploy()
    deploy(plane.decide(third, "Rejected"))
    assert deploy(plane.end())["status"] == "Updating"
    assert deploy(plane.end(well=False))["status"] == "RolledBack"
    assert plane.served == "3"


def test_versions_that_are_alike_are_served_alike(
    deploy: Deploy, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a version in service
    deploy.live(data="same")
    # WHEN one with the same image, artifact and environment is approved
    plane.register("Approved", data="same")
    # THEN nothing changes
    assert deploy()["status"] == "Unchanged"
    # BUT other settings are another configuration
    monkeypatch.setenv(
        "ENDPOINT_CONFIG",
        json.dumps(
            {
                "ProductionVariants": [
                    {"VariantName": "main", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 2}
                ]
            }
        ),
    )
    assert deploy()["status"] == "Updating"


def test_nothing_approved_leaves_the_endpoint(deploy: Deploy, plane: Plane) -> None:
    # GIVEN nothing approved and no endpoint
    arn = plane.register()
    assert deploy()["status"] == "NothingApproved"
    # WHEN the only approved version is rejected
    deploy(plane.decide(arn, "Approved"))
    deploy(plane.end())
    answer = deploy(plane.decide(arn, "Rejected"))
    # THEN it goes on to serve
    assert answer["status"] == "NotApproved"
    assert answer["model_package_arn"] == ""
    assert deploy()["status"] == "NothingApproved"
    assert plane.status == "InService"


def test_version_that_was_deleted_is_none(deploy: Deploy, plane: Plane) -> None:
    # GIVEN a call for a version that is gone by now
    deploy.live()
    second = plane.register("Approved")
    plane.call("DeleteModelPackage", {"ModelPackageName": second})
    # WHEN it is made
    answer = deploy({"model_package_arn": second})
    # THEN it says so
    assert answer["status"] == "NotApproved"
    assert "Deleted" in answer["message"]


def test_list_that_is_late_is_put_right_by_what_the_call_names(
    deploy: Deploy, plane: Plane, monkeypatch: pytest.MonkeyPatch, functions: Any
) -> None:
    # GIVEN a list that shows what was approved a moment ago
    first = deploy.live()
    second = plane.register()
    monkeypatch.setattr(functions.registry, "_approved", lambda group: iter([first]))
    # WHEN the second one is approved
    # THEN it is deployed although the list does not have it
    assert deploy(plane.decide(second, "Approved"))["status"] == "Updating"
    deploy(plane.end())
    # AND rejected although the list still has it
    monkeypatch.setattr(functions.registry, "_approved", lambda group: iter([first, second]))
    assert deploy(plane.decide(second, "Rejected"))["model_package_arn"] == first
    # AND what the call does not name is looked at too
    deploy(plane.end())
    assert deploy()["model_package_arn"] == first


def test_versions_over_pages(deploy: Deploy, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN more versions than a page has, the newest of which are not approved
    for _ in range(120):
        last = plane.register("Approved")
    plane.register("Rejected")
    # WHEN somebody calls
    # THEN the highest approved number counts, not the highest in the order of letters
    assert deploy()["model_package_arn"] == last


@pytest.mark.parametrize(
    "event",
    [
        package_event(f"arn:aws:sagemaker:r:1:model-package/{GROUP}/1", "Approved", group="others"),
        endpoint_event("IN_SERVICE", name="others"),
    ],
)
def test_events_about_others_are_ignored(deploy: Deploy, plane: Plane, event: Any) -> None:
    # GIVEN an approved version
    plane.register("Approved")
    # WHEN an event about something else comes
    # THEN nobody looks
    assert deploy(event)["status"] == "Ignored"
    assert plane.sagemaker_calls == []


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"model_package_arn": "arn:aws:sagemaker:r:1:model-package/others/1"}, "no version of"),
        ({"model_package_arn": "nonsense"}, "no version of"),
        ({"model_package": "x"}, "Give {}"),
    ],
)
def test_calls_that_make_no_sense(deploy: Deploy, plane: Plane, event: Any, told: str) -> None:
    # GIVEN a group
    plane.register()
    # WHEN a call is not fit
    # THEN it says what is allowed
    with pytest.raises(ValueError, match=told):
        deploy(event)


def test_package_with_two_containers(deploy: Deploy, plane: Plane) -> None:
    # GIVEN an approved version that one container cannot serve
    arn = plane.register()
    record = plane.stores.of(next(iter(plane.stores._stores))).model_packages[arn]
    record.request["InferenceSpecification"]["Containers"] *= 2
    # WHEN it is approved
    # THEN the call says what to do
    with pytest.raises(ValueError, match=r"has 2 containers .* Reject it"):
        deploy(plane.decide(arn, "Approved"))


def test_published_events_are_understood(deploy: Deploy, plane: Plane) -> None:
    # GIVEN the event as SageMaker publishes it
    plane.register("Approved")
    plane.run(_settled(plane))
    (event,) = plane.bus.events
    # WHEN it comes
    # THEN it is understood
    answer = deploy({"detail-type": event.detail_type, "detail": json.loads(event.detail)})
    assert answer["status"] == "Creating"


async def _settled(plane: Plane) -> None:
    import asyncio

    while not plane.bus.events:
        await asyncio.sleep(0.01)


def test_young_and_strange_things_are_left(deploy: Deploy, plane: Plane, make_strange: Any) -> None:
    # GIVEN a configuration and a model of an earlier version, and those of others
    deploy.live()
    strange = make_strange()
    plane.register("Approved")
    deploy()
    # WHEN the endpoint is in service, they are young
    deploy(plane.end())
    assert len(plane.configs) == 2 + len(strange)
    # THEN they stay; and go when they are old
    deploy(young=NOW)
    live = plane.endpoint(ENDPOINT).config_name
    assert plane.configs == {live, *strange}
    assert plane.models == {live, *strange}


@pytest.fixture
def make_strange(plane: Plane) -> Any:
    def make() -> list[str]:
        names = ["reviews-old", "reviews-0123456789ab-x", "my-reviews-0123456789ab", "reviews-2-0123456789ab"]
        for name in names:
            container = {"Image": "1.dkr.ecr.ap-northeast-2.amazonaws.com/x:1"}
            role = "arn:aws:iam::000000000000:role/service"
            plane.call(
                "CreateModel",
                {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": role},
            )
            variant = {
                "VariantName": "main",
                "ModelName": name,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
            plane.call("CreateEndpointConfig", {"EndpointConfigName": name, "ProductionVariants": [variant]})
        return names

    return make


def test_failure_to_prune_is_logged(
    deploy: Deploy, plane: Plane, capsys: pytest.CaptureFixture[str], refuse: Any
) -> None:
    # GIVEN something to remove, which the function may not
    deploy.live()
    plane.register("Approved")
    deploy()
    plane.end()
    refuse("DeleteEndpointConfig", "AccessDeniedException", "not authorized")
    # WHEN it looks
    # THEN it says so, and the call is none the worse
    assert deploy(young=NOW)["status"] == "Unchanged"
    assert "not authorized" in capsys.readouterr().out
