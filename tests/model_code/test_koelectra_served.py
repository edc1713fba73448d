"""The exported model on its whole way: packed by the project's own packing, run by the sandbox's fleet."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvloop

from sagemaker_serving.packing import pack
from sagemaker_serving.sources import CACHE_VARIABLE
from sandbox.fleet import Fleet, FleetFailed
from tests.sandbox_fleet.world import World, record

MODEL_CODE = Path(__file__).resolve().parents[2] / "model_code"
SHARED = [MODEL_CODE / "koelectra", MODEL_CODE / "shared"]
ECR = "763104351884.dkr.ecr.ap-northeast-2.amazonaws.com"
IMAGES = (
    f"{ECR}/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker",
    f"{ECR}/huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04",
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Fakes around a fleet; what is packed stays with them."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "packed"))
    return World(tmp_path)


@pytest.fixture
def archive(world: World, exports: Path) -> Path:
    """The model.tar.gz, as a setting with these directories gives it."""
    return pack(exports / "int8", "inference.py", SHARED).path


@asynccontextmanager
async def served(world: World, archive: bytes, image: str, **environment: str) -> AsyncIterator[Fleet]:
    world.aws.s3.objects["bucket", "model.tar.gz"] = archive
    container = {
        "Image": image,
        "ModelDataUrl": "s3://bucket/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", **environment},
    }
    async with world.fleet(record({"PrimaryContainer": container})) as fleet:
        yield fleet


def test_the_archive_holds_model_and_code_where_the_container_looks(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
    assert {"model.onnx", "model.data", "model.json", "tokenizer.json"} <= names
    assert {"code/inference.py", "code/classifier.py", "code/formats.py", "code/requirements.txt"} <= names


@pytest.mark.parametrize("image", IMAGES)
def test_it_is_served_like_the_sentiment_model(world: World, archive: Path, image: str) -> None:
    async def scenario() -> None:
        # GIVEN a model server for AWS's image, with two workers that compute together what comes together
        wait = {"KOELECTRA_BATCH_WAIT_MILLISECONDS": "5", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
        async with (
            served(world, archive.read_bytes(), image, **wait) as fleet,
            httpx.AsyncClient(trust_env=False, timeout=20) as client,
        ):
            url = f"{fleet.instances[0].containers[0].url}/invocations"

            async def invoke(body: str, **headers: str) -> httpx.Response:
                names = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.post(url, content=body.encode(), headers=names)

            # WHEN several requests come at once
            texts = ["불후의 명작입니다. 눈물이 앞을 가려요", "굿", "저런...5점 만점에 1점 주기도 힘들어요."]
            answers = await asyncio.gather(
                *(invoke(json.dumps({"inputs": texts}), content_type="application/json") for _ in range(4))
            )
            # THEN each has an answer for each text
            for answer in answers:
                assert answer.status_code == 200
                entries = answer.json()
                assert len(entries) == 3
                assert all(entry["label"] in {"negative", "positive"} for entry in entries)
            # AND other formats, bad requests and too long texts are answered as by the sentiment model
            lines = await invoke("굿\n노잼", content_type="text/plain", accept="text/csv")
            assert (lines.status_code, len(lines.text.splitlines())) == (200, 2)
            assert (await invoke('{"inputs": []}', content_type="application/json")).status_code == 400
            long = await invoke("가" * 100_000, content_type="text/plain")
            assert long.status_code == 413

    uvloop.run(scenario())


def test_a_damaged_network_fails_the_endpoint_with_its_reason(
    world: World, exports: Path, tmp_path: Path
) -> None:
    # GIVEN a model whose network lost its end on the way
    for file in (exports / "int8").iterdir():
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    network = tmp_path / "model" / "model.onnx"
    network.write_bytes(network.read_bytes()[:-1000])
    archive = pack(tmp_path / "model", "inference.py", SHARED).path.read_bytes()

    async def scenario() -> str:
        with pytest.raises(FleetFailed) as caught:
            async with served(world, archive, IMAGES[0]):
                pass
        return caught.value.reason

    # WHEN it is deployed THEN the failure says which file is damaged and what to do
    reason = uvloop.run(scenario())
    assert "model.onnx is damaged" in reason
    assert "export the model again" in reason
