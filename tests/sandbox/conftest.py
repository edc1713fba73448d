"""One sandbox and one deployment for all end-to-end tests; each test finds the committed version serving."""

from __future__ import annotations

from collections.abc import Iterator

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


def as_committed(laptop: Laptop, pattern: str) -> Iterator[Laptop]:
    """A pattern, deployed as committed, whatever ran before; a test that touches ``changed`` says that it
    leaves something else, which is put right when somebody needs it."""
    changed, stale = laptop.project / "changed", laptop.project / f"changed-{pattern}"
    if stale.exists() or not exists(laptop, pattern):
        laptop.sandbox("deploy", pattern)
        stale.unlink(missing_ok=True)
    yield laptop
    if changed.exists():
        laptop.restore()
        changed.rename(stale)


@pytest.fixture
def realtime(laptop: Laptop) -> Iterator[Laptop]:
    """The real-time pattern."""
    yield from as_committed(laptop, "realtime")


@pytest.fixture
def multi_container(laptop: Laptop) -> Iterator[Laptop]:
    """The multi-container pattern."""
    yield from as_committed(laptop, "multi-container")


@pytest.fixture
def inference_pipeline(laptop: Laptop) -> Iterator[Laptop]:
    """The inference-pipeline pattern."""
    yield from as_committed(laptop, "inference-pipeline")


@pytest.fixture
def ab_test(laptop: Laptop) -> Iterator[Laptop]:
    """The A/B-test pattern."""
    yield from as_committed(laptop, "ab-test")


@pytest.fixture
def blue_green(laptop: Laptop) -> Iterator[Laptop]:
    """The blue/green pattern."""
    yield from as_committed(laptop, "blue-green")


@pytest.fixture
def batch(laptop: Laptop) -> Iterator[Laptop]:
    """The batch pattern."""
    yield from as_committed(laptop, "batch")


@pytest.fixture
def async_inference(laptop: Laptop) -> Iterator[Laptop]:
    """The asynchronous pattern."""
    yield from as_committed(laptop, "async")


@pytest.fixture
def serverless(laptop: Laptop) -> Iterator[Laptop]:
    """The serverless pattern."""
    yield from as_committed(laptop, "serverless")


@pytest.fixture
def lambda_inference(laptop: Laptop) -> Iterator[Laptop]:
    """The Lambda pattern."""
    yield from as_committed(laptop, "lambda")


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
