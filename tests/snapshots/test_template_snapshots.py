"""Every template as a reviewer reads it. `make snapshots` accepts them as they are now.

A snapshot shows that something changed, never that it is right: tests/unit says what must hold.
"""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.snapshots.synthesis import ENVIRONMENTS, normalised, synthesise

STACKS = (
    "RealtimeInference",
    "MultiContainerEndpoint",
    "InferencePipeline",
    "AbTest",
    "BlueGreenDeployment",
    "AsyncInference",
    "BatchInference",
    "ServerlessInference",
    "LambdaInference",
    "MlPipeline",
)
CASES = [(stack, environment) for environment in ENVIRONMENTS for stack in STACKS]


@pytest.mark.parametrize(("stack", "environment"), CASES)
def test_template_is_as_reviewed(stack: str, environment: str, snapshot: SnapshotAssertion) -> None:
    template = normalised(synthesise(environment).template(stack))
    assert template == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stack_has_a_snapshot(environment: str) -> None:
    assert {stack for stack, case in CASES if case == environment} == set(synthesise(environment).stacks)


def test_only_digests_are_left_out_of_a_snapshot() -> None:
    digest = "0123456789abcdef" * 4
    assert normalised({"Key": f"{digest}.gz", "Name": digest[:63]}) == {
        "Key": "<digest>.gz",
        "Name": digest[:63],
    }
