"""One sandbox and one deployment for all end-to-end tests; each test finds the committed version serving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.laptop import Laptop, exists, free_port

TIME_SCALE = "60"


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A started sandbox in which a minute of AWS time takes a second."""
    laptop = Laptop(tmp_path_factory.mktemp("laptop"))
    try:
        laptop.sandbox("up", "--time-scale", TIME_SCALE, "--port", str(free_port()))
        yield laptop
    finally:
        laptop.close()
        laptop.sandbox("down", check=False)


def as_committed(pattern: str) -> Any:
    """A fixture: a pattern, deployed as committed, whatever ran before; a test that touches ``changed`` says
    that it leaves something else, which is put right when somebody needs it."""

    @pytest.fixture
    def deployed(laptop: Laptop) -> Iterator[Laptop]:
        changed, stale = laptop.project / "changed", laptop.project / f"changed-{pattern}"
        if stale.exists() or not exists(laptop, pattern):
            laptop.sandbox("deploy", pattern)
            stale.unlink(missing_ok=True)
        yield laptop
        if changed.exists():
            laptop.restore()
            changed.rename(stale)

    return deployed


realtime = as_committed("realtime")
multi_container = as_committed("multi-container")
inference_pipeline = as_committed("inference-pipeline")
ab_test = as_committed("ab-test")
blue_green = as_committed("blue-green")
batch = as_committed("batch")
async_inference = as_committed("async")
serverless = as_committed("serverless")
lambda_inference = as_committed("lambda")
ml_pipeline = as_committed("ml-pipeline")


@pytest.fixture
def editing(realtime: Laptop) -> Iterator[Laptop]:
    """The same for a test whose edits never reach the deployment: the files are restored afterwards."""
    yield realtime
    realtime.restore()


@pytest.fixture
def changing(realtime: Laptop) -> Laptop:
    """The same for a test that deploys something else; the committed version comes back before the next."""
    (realtime.project / "changed").touch()
    return realtime
