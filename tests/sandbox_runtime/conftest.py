from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox_runtime.fakes import Plane


@pytest.fixture
def make_plane(tmp_path: Any) -> Iterator[Callable[..., Plane]]:
    planes: list[Plane] = []

    def make(**options: Any) -> Plane:
        planes.append(Plane(tmp_path, **options))
        return planes[-1]

    yield make
    for plane in planes:
        plane.close()


@pytest.fixture
def plane(make_plane: Callable[..., Plane]) -> Plane:
    return make_plane(scale=60.0)
