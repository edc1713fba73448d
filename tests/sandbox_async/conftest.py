from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox_async.plane import AsyncPlane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[AsyncPlane]:
    """Asynchronous endpoints in which a minute takes a second."""
    plane = AsyncPlane(tmp_path)
    yield plane
    plane.close()
