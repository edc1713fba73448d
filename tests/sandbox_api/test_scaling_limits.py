"""What scaling policies do at limits, and when SageMaker refuses."""

from __future__ import annotations

import pytest

from sandbox.errors import ServiceError
from tests.sandbox_api.scaled import WHICH, Scaled


@pytest.mark.parametrize("status", ["Updating", "Creating", "Failed"])
def test_an_endpoint_that_is_not_in_service_is_left_alone(scaled: Scaled, status: str) -> None:
    # GIVEN an endpoint that is being changed
    scaled.track()
    scaled.traffic(500)
    scaled.world.endpoint("e").status = status

    # WHEN the alarm fires
    scaled.high()

    # THEN nothing is asked of it
    assert [what for what, _ in scaled.world.deployments.calls] == ["create"]
    assert scaled.activities() == []


def test_at_its_limits_a_policy_notes_once_that_it_did_not_scale(scaled: Scaled) -> None:
    # GIVEN a fleet at its maximum
    scaled.autoscaling.register_scalable_target(**WHICH, MaxCapacity=2)
    scaled.track()
    scaled.traffic(500)

    # WHEN the high alarm fires again and again
    reads = scaled.world.cloudwatch.reads
    for _ in range(3):
        scaled.high()

    # THEN one not-scaled activity tells so on request, and no metric was read for it
    assert scaled.activities() == []
    (activity,) = scaled.activities(IncludeNotScaledActivities=True)
    assert activity["NotScaledReasons"] == [
        {"Code": "AlreadyAtMaxCapacity", "CurrentCapacity": 2, "MaxCapacity": 2}
    ]
    assert activity["Description"] == "Attempting to scale due to alarm triggered"
    assert scaled.world.cloudwatch.reads == reads


def test_a_refused_change_fails_its_activity_and_is_not_repeated_at_once(scaled: Scaled) -> None:
    # GIVEN no room for more model servers
    scaled.track()
    scaled.traffic(500)
    scaled.world.deployments.refusal = ServiceError("ResourceLimitExceeded", "No more than 24 model servers.")

    # WHEN the alarm fires twice
    scaled.high()
    scaled.high()

    # THEN one activity failed, with the reason
    (activity,) = scaled.activities()
    assert activity["StatusCode"] == "Failed"
    assert activity["StatusMessage"] == (
        "Failed to set desired instance count to 10. Reason: No more than 24 model servers."
    )


def test_a_change_that_sagemaker_cannot_fulfil_is_followed_up(scaled: Scaled) -> None:
    # GIVEN a SageMaker that comes up one instance short, after a while
    scaled.track()
    scaled.traffic(200)
    scaled.world.deployments.hold = True
    scaled.world.deployments.short_by = 1

    # WHEN the policy scales out
    scaled.high()
    during = scaled.activities()[0]
    scaled.world.loop.call_soon_threadsafe(scaled.world.deployments.finish)

    # THEN the activity is in progress first, then failed
    assert during["StatusCode"] == "InProgress"
    assert during["StatusMessage"].endswith("Waiting for change to be fulfilled by sagemaker.")
    assert scaled.settled()["StatusCode"] == "Failed"
