"""Fixtures: the APIs with transform jobs that run, and boto3 clients of the APIs without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.home import Home
from tests.sandbox_transform.live_transform import TransformLive, started
from tests.sandbox_transform.plant import Plant


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Transform jobs in which a minute takes a second."""
    plant = Plant(tmp_path)
    yield plant
    plant.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformLive]:
    with started(Home(tmp_path_factory.mktemp("transform") / "sandbox")) as live:
        yield live
