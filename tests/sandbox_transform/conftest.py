"""Fixtures: the APIs with transform jobs that run, and boto3 clients of the APIs without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox_transform.plant import Plant


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Transform jobs in which a minute takes a second."""
    plant = Plant(tmp_path)
    yield plant
    plant.close()
