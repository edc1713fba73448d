"""Whatever happens in whatever order: when all has settled, the endpoint is what the registry says."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.store import Params
from tests.ml_pipeline_functions.plane import Deploy, Plane, opened
from tests.sandbox_api.world import Wire

NONE_IS_YOUNG = timedelta(0)

VERSIONS = st.integers(0, 4)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.booleans()),
        st.tuples(st.just("approve"), VERSIONS),
        st.tuples(st.just("reject"), VERSIONS),
        st.tuples(st.just("deliver"), st.integers(0, 20)),
        st.tuples(st.just("repeat"), st.integers(0, 20)),
        st.tuples(st.just("end"), st.booleans()),
    ),
    max_size=24,
)


class Story:
    """A sequence of events, and what became of each update."""

    def __init__(self, plane: Plane, deploy: Deploy) -> None:
        self.plane, self.deploy = plane, deploy
        self.versions: list[str] = []
        self.approved: set[str] = set()
        self.under_way: list[Params] = []
        self.delivered: list[Params] = []
        self.taken_back: tuple[str, str] | None = None  # what was tried last, and what served

    def act(self, action: str, value: Any) -> None:
        getattr(self, f"_{action}")(value)

    def _register(self, alike: bool) -> None:
        if len(self.versions) < 5:
            data = "alike" if alike else f"data-{len(self.versions)}"
            self.versions.append(self.plane.register(data=data))

    def _approve(self, index: int) -> None:
        self._decide(index, "Approved")

    def _reject(self, index: int) -> None:
        self._decide(index, "Rejected")

    def _decide(self, index: int, status: str) -> None:
        if not self.versions:
            return
        arn = self.versions[index % len(self.versions)]
        (self.approved.add if status == "Approved" else self.approved.discard)(arn)
        self.under_way.append(self.plane.decide(arn, status))

    def _deliver(self, index: int) -> None:
        if self.under_way:
            event = self.under_way.pop(index % len(self.under_way))
            self.delivered.append(event)
            self.deploy(event, young=NONE_IS_YOUNG)

    def _repeat(self, index: int) -> None:
        if self.delivered:
            self.deploy(self.delivered[index % len(self.delivered)], young=NONE_IS_YOUNG)

    def _end(self, well: bool) -> None:
        plane = self.plane
        if not plane.is_busy:
            return
        endpoint = plane.endpoint("reviews")
        if endpoint.pending is not None:
            tried = endpoint.pending.config_name
            self.taken_back = None if well else (tried, endpoint.config_name)
        else:
            well = True  # of creations that fail there is a test of its own
        self.under_way.append(plane.end(well=well))

    def settle(self, well: bool) -> None:
        """All updates end and all events arrive."""
        for _ in range(60):
            if self.plane.is_busy:
                self._end(well)
            elif self.under_way:
                self._deliver(0)
            else:
                return
        raise AssertionError("it never settles: something is deployed for ever")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, well=st.booleans())
def test_any_sequence_of_decisions_events_and_endings(
    functions: SimpleNamespace, wire: Wire, wired: Any, actions: list[tuple[str, Any]], well: bool
) -> None:
    # GIVEN versions, decisions about them, and updates that end well or are taken back
    with opened(functions, wire, wired) as plane:
        deploy = Deploy(functions, plane)
        story = Story(plane, deploy)
        # WHEN their events arrive in any order, late or twice, and all has settled
        for action, value in actions:
            story.act(action, value)
        story.settle(well)
        # THEN the endpoint serves the highest approved version, or what it served before
        wanted = max(story.approved, default=None, key=lambda arn: int(arn.rpartition("/")[2]))
        if plane.status == "":
            assert wanted is None
            assert not plane.configs
            assert not plane.models
            return
        live = plane.endpoint("reviews").config_name
        keep = {live}
        if wanted is not None:
            data = plane.stores.of(plane.endpoint("reviews").scope).model_packages[wanted].request
            (container,) = data["InferenceSpecification"]["Containers"]
            if container["ModelDataUrl"].split("/")[4] != plane.served:
                assert story.taken_back is not None
                tried, before = story.taken_back
                assert before == live
                assert plane.data_of(tried) == container["ModelDataUrl"].split("/")[4]
                keep.add(tried)
        # AND nothing else is left
        assert plane.status == "InService"
        assert plane.configs == keep
        assert plane.models == keep
