"""Folders that several models share, laid over a model's own directory."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sagemaker_serving import packing
from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.packing import pack
from sagemaker_serving.sources import CACHE_VARIABLE

PROGRAM = "inference.py"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", {PROGRAM: b"import formats", "model.npz": b"weights"})


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return write(tmp_path / "shared", {"formats.py": b"1", "words/stop.txt": b"2"})


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return opened.getnames()


def refused(directory: Path, *shared: Path) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        ModelArtifact.from_directory(directory, shared=shared)
    return str(caught.value)


def test_shared_files_lie_where_the_same_files_of_the_model_would(model: Path, shared: Path) -> None:
    write(shared, {"code/more.py": b"3", "tests/test_formats.py": b"", "__pycache__/x.pyc": b"", ".env": b""})
    assert names(pack(model, PROGRAM, [shared]).path) == [
        "code/formats.py",
        "code/inference.py",
        "code/more.py",
        "model.npz",
        "words/stop.txt",
    ]


def test_an_overlay_is_the_same_archive_as_one_directory_with_all_the_files(
    tmp_path: Path, model: Path, shared: Path
) -> None:
    whole = write(
        tmp_path / "whole",
        {PROGRAM: b"import formats", "model.npz": b"weights", "formats.py": b"1", "words/stop.txt": b"2"},
    )
    assert pack(model, PROGRAM, [shared]) == pack(whole, PROGRAM)


def test_the_order_of_shared_folders_does_not_matter(tmp_path: Path, model: Path, shared: Path) -> None:
    other = write(tmp_path / "other", {"client_errors.py": b"3"})
    assert pack(model, PROGRAM, [shared, other]) == pack(model, PROGRAM, [other, shared])


def test_a_change_of_a_shared_file_gives_another_archive(model: Path, shared: Path) -> None:
    before = pack(model, PROGRAM, [shared])
    write(shared, {"formats.py": b"changed"})
    after = pack(model, PROGRAM, [shared])
    assert after.content_digest != before.content_digest
    assert after.path != before.path


def test_unchanged_folders_are_not_packed_again(
    model: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pack(model, PROGRAM, [shared])

    def must_not_run(*_: object) -> Path:
        raise AssertionError("packed again")

    monkeypatch.setattr(packing, "_write_archive", must_not_run)
    assert pack(model, PROGRAM, [shared]) == first


def test_the_program_may_be_shared(tmp_path: Path, shared: Path) -> None:
    weights = write(tmp_path / "weights", {"model.npz": b"1"})
    write(shared, {PROGRAM: b"2"})
    assert "code/inference.py" in names(pack(weights, PROGRAM, [shared]).path)


def test_the_same_name_in_two_folders_is_refused_with_both_places(
    tmp_path: Path, model: Path, shared: Path
) -> None:
    # GIVEN a module that the model has too, and a file of one shared folder in the code folder of another
    write(model, {"formats.py": b"own"})
    other = write(tmp_path / "other", {"code/formats.py": b"", "words/stop.txt": b"2"})
    message = refused(model, shared, other)
    assert "3 problems" in message
    assert "shared[0] = 'formats.py': the archive would hold code/formats.py twice" in message
    assert f"from {model / 'formats.py'} and {shared / 'formats.py'}. Fix: keep one of the two" in message
    assert "shared[1] = 'code/formats.py': the archive would hold code/formats.py twice" in message
    assert "shared[1] = 'words/stop.txt': the archive would hold words/stop.txt twice" in message


def test_a_folder_that_is_given_twice_is_refused_once(model: Path, shared: Path) -> None:
    message = refused(model, shared, shared / ".." / "shared", model)
    assert "2 problems" in message
    assert "shared[1]" in message
    assert "shared[2]" in message
    assert "is given twice" in message


def test_missing_folders_are_told_together_with_what_is_wrong_in_the_others(
    tmp_path: Path, model: Path, shared: Path
) -> None:
    (shared / "link").symlink_to("formats.py")
    message = refused(model, tmp_path / "nowhere", shared / "formats.py", shared)
    assert "3 problems" in message
    assert f"shared[0] = '{tmp_path / 'nowhere'}': does not exist" in message
    assert f"shared[1] = '{shared / 'formats.py'}': is not a directory" in message
    assert "shared[2] = 'link': is a symbolic link" in message


def test_a_missing_directory_is_told_with_missing_shared_folders(tmp_path: Path) -> None:
    message = refused(tmp_path / "model", tmp_path / "shared")
    assert "directory = " in message
    assert "shared[0] = " in message
