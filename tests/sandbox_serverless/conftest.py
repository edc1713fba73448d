from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox_serverless.plane import ServerlessPlane


@pytest.fixture
def make_plane(tmp_path: Path) -> Iterator[Callable[..., ServerlessPlane]]:
    planes: list[ServerlessPlane] = []

    def make(**options: Any) -> ServerlessPlane:
        planes.append(ServerlessPlane(tmp_path, **options))
        return planes[-1]

    yield make
    for plane in planes:
        plane.close()


@pytest.fixture
def plane(make_plane: Callable[..., ServerlessPlane]) -> ServerlessPlane:
    """Serverless endpoints at the pace of AWS."""
    return make_plane(scale=1.0)
