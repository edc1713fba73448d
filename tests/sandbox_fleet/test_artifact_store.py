"""Artifacts come whole, once per version, and a hostile archive does no harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from sandbox.fleet.archives import BadArchive, Limits, unpack
from sandbox.fleet.artifacts import ArtifactStore, ModelSource
from sandbox.fleet.failures import FleetFailed
from tests.sandbox_fleet.world import SCOPE, FakeAws, archive

URI = "s3://bucket/model.tar.gz"


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture
def store(aws: Any, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(aws, tmp_path / "store", Limits(members=100, total_bytes=32 * 1024 * 1024))


def get(store: ArtifactStore, target: Path, source: ModelSource | None = None) -> dict[str, bytes]:
    """The files that an instance gets."""
    store.copy_to(target, source or ModelSource(URI), SCOPE, "primary")
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_an_archive_is_unpacked_for_each_instance_and_fetched_once(
    aws: FakeAws, store: ArtifactStore, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {"code/inference.py": "x = 1", "weights.bin": bytes(9 * 1024 * 1024)}
    aws.s3.objects["bucket", "model.tar.gz"] = archive(files)
    # WHEN several instances start together
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda at: get(store, tmp_path / f"i-{at}"), range(4)))
    # THEN each has all files, from one fetch
    assert copies == [{"code/inference.py": b"x = 1", "weights.bin": bytes(9 * 1024 * 1024)}] * 4
    assert aws.s3.fetched == ["model.tar.gz"]
    # AND what one writes into its model directory is not seen by the next
    (tmp_path / "i-0" / "code" / "inference.py").write_text("changed")
    assert get(store, tmp_path / "i-5")["code/inference.py"] == b"x = 1"


def test_new_bytes_under_the_same_key_are_fetched_anew(
    aws: FakeAws, store: ArtifactStore, tmp_path: Path
) -> None:
    for text in ("one", "two"):
        aws.s3.objects["bucket", "model.tar.gz"] = archive({"file": text})
        assert get(store, tmp_path / text) == {"file": text.encode()}


def test_a_failed_fetch_leaves_nothing_and_can_be_repeated(
    aws: FakeAws, store: ArtifactStore, tmp_path: Path
) -> None:
    aws.s3.objects["bucket", "model.tar.gz"] = archive({"file": "whole"})[:-20]
    with pytest.raises(FleetFailed, match="Failed to extract model data archive"):
        get(store, tmp_path / "first")
    assert list((tmp_path / "store").iterdir()) == []
    aws.s3.objects["bucket", "model.tar.gz"] = archive({"file": "whole"})
    assert get(store, tmp_path / "second") == {"file": b"whole"}


def test_a_missing_object_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(FleetFailed, match=r"^Could not find model data at s3://bucket/model.tar.gz\. "):
        get(store, tmp_path / "model")


def test_an_s3_that_does_not_answer_is_a_failure_with_its_reason(
    aws: FakeAws, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: str) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(aws.s3, "head_object", refuse)
    with pytest.raises(FleetFailed, match=r'Failed to download model data for container "primary" from URL'):
        get(store, tmp_path / "model")


def test_uncompressed_objects_keep_their_paths(aws: FakeAws, store: ArtifactStore, tmp_path: Path) -> None:
    aws.s3.objects |= {
        ("bucket", "llm/config.json"): b"{}",
        ("bucket", "llm/shards/1"): b"1",
        ("bucket", "x"): b"",
    }
    source = ModelSource("s3://bucket/llm/", prefix=True, archive=False)
    assert get(store, tmp_path / "prefix", source) == {"config.json": b"{}", "shards/1": b"1"}
    single = ModelSource("s3://bucket/llm/shards/1", archive=False)
    assert get(store, tmp_path / "single", single) == {"1": b"1"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["llm/"], "has an object '' whose name is not allowed"),
        (["llm/a/../../b"], "whose name is not allowed"),
        (["llm/weights", "llm/weights/part1"], "both a file 'weights' and a folder"),
        ([], "Could not find model data at s3://bucket/llm/"),
        (["llm/" + "x" * 256], "whose name is not allowed"),
    ],
)
def test_uncompressed_names_that_the_api_forbids_fail(
    aws: FakeAws, store: ArtifactStore, tmp_path: Path, keys: list[str], message: str
) -> None:
    aws.s3.objects |= {("bucket", key): b"x" for key in keys}
    with pytest.raises(FleetFailed, match=message):
        get(store, tmp_path / "model", ModelSource("s3://bucket/llm/", prefix=True, archive=False))


@pytest.mark.parametrize(
    ("definition", "source"),
    [
        ({"ModelDataUrl": URI}, ModelSource(URI)),
        ({}, None),
        (
            {"S3Uri": "s3://b/p/", "S3DataType": "S3Prefix", "CompressionType": "None"},
            ModelSource("s3://b/p/", prefix=True, archive=False),
        ),
        ({"S3Uri": URI, "S3DataType": "S3Object", "CompressionType": "Gzip"}, ModelSource(URI)),
    ],
)
def test_both_ways_to_name_model_data_are_understood(
    definition: dict[str, Any], source: ModelSource | None
) -> None:
    container = {"ModelDataSource": {"S3DataSource": definition}} if "S3Uri" in definition else definition
    assert ModelSource.of(container) == source


# --- hostile archives --------------------------------------------------------------------------------

Members = Callable[[tarfile.TarFile], None]


def packed(path: Path, *members: tarfile.TarInfo, mode: Any = "w:gz") -> Path:
    """An archive of members that say what they are, with zeros inside."""
    with tarfile.open(path, mode) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("../evil")], "lies outside"),
        ([member("a/../../evil")], "lies outside"),
        ([member("/tmp/evil")], "lies outside"),
        ([member("a\\..\\..\\evil")], "lies outside"),
        ([member("link", tarfile.SYMTYPE, link="/etc/passwd")], "is a link"),
        ([member("link", tarfile.SYMTYPE, link="..")], "is a link"),
        ([member("file"), member("hard", tarfile.LNKTYPE, link="file")], "is a link"),
        ([member("dev", tarfile.CHRTYPE)], "neither a file nor a folder"),
        ([member("fifo", tarfile.FIFOTYPE)], "neither a file nor a folder"),
        ([member("big", size=3_000_000)], "unpacks to more than 2,000,000 bytes"),
        ([member("half", size=1_500_000), member("half2", size=1_500_000)], "more than 2,000,000 bytes"),
        ([member(f"file-{at}") for at in range(11)], "more than 10 files"),
        ([member("a/b"), member("a")], "Is a directory"),
        ([member("a"), member("a/b")], "File exists|Not a directory|Is a directory"),
        ([member("x" * 300)], "File name too long"),
    ],
)
def test_an_archive_that_could_do_harm_is_refused(
    tmp_path: Path, members: list[tarfile.TarInfo], message: str
) -> None:
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    path = packed(tmp_path / "model.tar.gz", *members)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadArchive, match=message):
        unpack(path, target, Limits(members=10, total_bytes=2_000_000))
    assert sorted(tmp_path.iterdir()) == before
    assert list((tmp_path / "deep").iterdir()) == [target]


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    # GIVEN an extended header of 64 MiB, which packs into 64 KiB
    path = tmp_path / "model.tar.gz"
    header = member("././@PaxHeader", tarfile.XHDTYPE, 64 * 1024 * 1024)
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header.tobuf())
        file.write(bytes(header.size))
    assert path.stat().st_size < 200_000
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(BadArchive, match="a header is too large"):
        unpack(path, target)


@pytest.mark.parametrize("mode", ["w", "w:xz"])
def test_only_gzip_is_taken(tmp_path: Path, mode: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(BadArchive, match="Not a gzipped file"):
        unpack(packed(tmp_path / "model.tar.gz", member("file"), mode=mode), target)


def test_owners_and_dangerous_permissions_are_not_kept(tmp_path: Path) -> None:
    info = member("tool")
    info.mode, info.uid = 0o4777, 0
    target = tmp_path / "target"
    target.mkdir()
    unpack(packed(tmp_path / "model.tar.gz", info), target)
    assert (target / "tool").stat().st_mode & 0o7777 == 0o755


@given(st.binary(max_size=2048))
def test_any_bytes_are_unpacked_or_refused_and_never_crash(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for content in (data, gzip.compress(data, 1)):
        (folder / "model.tar.gz").write_bytes(content)
        target = folder / "target"
        target.mkdir(exist_ok=True)
        with contextlib.suppress(BadArchive):
            unpack(folder / "model.tar.gz", target)
        assert sorted(path.name for path in folder.iterdir()) == ["model.tar.gz", "target"]
