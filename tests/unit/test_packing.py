"""Packing a model directory: what goes where, the same bytes for the same content, and the cache."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_serving import packing, sources
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.packing import list_sources, pack
from sagemaker_serving.sources import CACHE_VARIABLE

PROGRAM = "inference.py"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", {PROGRAM: b"def model_fn(d): ...", "model.npz": b"weights"})


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        found = {}
        for member in opened.getmembers():
            content = opened.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        return found


def refused(directory: Path, program: str = PROGRAM) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        pack(directory, program)
    return str(caught.value)


def test_code_at_the_top_goes_into_the_code_folder_and_the_rest_keeps_its_place(tmp_path: Path) -> None:
    directory = write(
        tmp_path / "model",
        {
            "inference.py": b"1",
            "features.py": b"2",
            "requirements.txt": b"3",
            "model.npz": b"4",
            "README.md": b"5",
            "weights/part.bin": b"6",
            "weights/convert.py": b"7",
        },
    )
    assert members(pack(directory, PROGRAM).path) == {
        "README.md": b"5",
        "code/features.py": b"2",
        "code/inference.py": b"1",
        "code/requirements.txt": b"3",
        "model.npz": b"4",
        "weights/convert.py": b"7",
        "weights/part.bin": b"6",
    }


def test_a_code_folder_stays_as_it_is_and_is_joined_by_code_from_the_top(tmp_path: Path) -> None:
    directory = write(
        tmp_path / "model",
        {"code/inference.py": b"1", "code/lib/a.py": b"2", "more.py": b"3", "model.pth": b"4"},
    )
    assert list(members(pack(directory, PROGRAM).path)) == [
        "code/inference.py",
        "code/lib/a.py",
        "code/more.py",
        "model.pth",
    ]


def test_what_only_the_developer_needs_is_left_out(model: Path) -> None:
    write(
        model,
        {
            "__pycache__/inference.cpython-311.pyc": b"",
            "stale.pyc": b"",
            ".env": b"secret",
            ".git/config": b"",
            "tests/test_inference.py": b"",
            "code/tests/test_more.py": b"",
            "code/__pycache__/x.pyc": b"",
        },
    )
    (model / ".link").symlink_to("/etc/passwd")
    assert list(members(pack(model, PROGRAM).path)) == ["code/inference.py", "model.npz"]


def test_another_program_can_be_named(tmp_path: Path) -> None:
    directory = write(tmp_path / "model", {"serve.py": b"1"})
    assert list(members(pack(directory, "serve.py").path)) == ["code/serve.py"]


def test_times_owners_modes_and_the_gzip_header_say_nothing_of_this_machine(model: Path) -> None:
    script = write(model, {"run.sh": b"#!/bin/sh"}) / "run.sh"
    script.chmod(0o750)
    archive = pack(model, PROGRAM).path
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.mode == (0o755 if member.name == "run.sh" else 0o644)
            assert member.isreg()
    header = archive.read_bytes()[:10]
    assert header[3] == 0, "no file name in the header"
    assert header[4:8] == b"\0\0\0\0", "no time in the header"


def test_a_long_and_a_korean_name_survive(model: Path) -> None:
    name = "가중치/" + "x" * 120 + "/모델.bin"
    write(model, {name: b"1"})
    assert members(pack(model, PROGRAM).path)[name] == b"1"


FILE_NAMES = st.from_regex(r"[a-z]{1,6}(\.bin|\.py|\.txt)?", fullmatch=True).filter(
    lambda name: name != "code"  # refused: the archive has a folder of that name
)
CONTENT = st.dictionaries(FILE_NAMES, st.binary(max_size=64), max_size=6)


def as_written(directory: Path, files: Mapping[str, bytes], *, umask: int, mtime: int) -> bytes:
    """Pack files that were made in the order and with the umask and time given, from an empty cache."""
    before = os.umask(umask)
    try:
        write(directory, files)
        for name in files:
            os.utime(directory / name, (mtime, mtime))
    finally:
        os.umask(before)
    cache = Path(os.environ[CACHE_VARIABLE])
    if cache.exists():
        shutil.rmtree(cache)
    return pack(directory, PROGRAM).path.read_bytes()


@settings(deadline=None, max_examples=40)
@given(
    content=CONTENT,
    seed=st.randoms(),
    umask=st.sampled_from([0o022, 0o077, 0o002]),
    mtime=st.integers(1, 2**31),
)
def test_only_the_content_decides_about_the_bytes(
    content: dict[str, bytes], seed: object, umask: int, mtime: int
) -> None:
    files = {**content, PROGRAM: b"def model_fn(d): ..."}
    shuffled = list(files.items())
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = as_written(Path(one), files, umask=0o022, mtime=1)
        second = as_written(Path(other), dict(shuffled), umask=umask, mtime=mtime)
    assert first == second


@settings(deadline=None, max_examples=40)
@given(one=CONTENT, other=CONTENT)
def test_other_content_gives_another_digest(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    digests = []
    for content in (one, other):
        with tempfile.TemporaryDirectory() as directory:
            write(Path(directory), {**content, PROGRAM: b"x"})
            digests.append(pack(Path(directory), PROGRAM).content_digest)
    assert (digests[0] == digests[1]) == ({**one, PROGRAM: b"x"} == {**other, PROGRAM: b"x"})


@pytest.mark.parametrize("change", ["bytes", "name", "mode", "more"])
def test_a_change_of_bytes_name_or_mode_gives_another_archive(model: Path, change: str) -> None:
    before = pack(model, PROGRAM)
    weights = model / "model.npz"
    if change == "bytes":
        weights.write_bytes(b"Weights")
    elif change == "name":
        weights.rename(model / "model2.npz")
    elif change == "mode":
        weights.chmod(0o755)
    else:
        write(model, {"more.bin": b""})
    after = pack(model, PROGRAM)
    assert after.content_digest != before.content_digest
    assert after.path != before.path


def test_bytes_cannot_move_between_name_and_content_unnoticed(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {PROGRAM: b"", "ab": b"c"})
    other = write(tmp_path / "other", {PROGRAM: b"", "a": b"bc"})
    assert pack(one, PROGRAM).content_digest != pack(other, PROGRAM).content_digest


def test_unchanged_content_is_not_packed_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack(model, PROGRAM)
    written = first.path.stat()
    (model / "model.npz").touch()

    def must_not_run(*_: object) -> Path:
        raise AssertionError("packed again")

    monkeypatch.setattr(packing, "_write_archive", must_not_run)
    second = pack(model, PROGRAM)
    assert second == first
    assert (second.path.stat().st_ino, second.path.stat().st_mtime_ns) == (
        written.st_ino,
        written.st_mtime_ns,
    )


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_archive_is_noticed_and_packed_again(model: Path, cache: Path, damage: str) -> None:
    good = pack(model, PROGRAM)
    data = good.path.read_bytes()
    flipped = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    good.path.write_bytes({"cut": data[:-9], "flipped": flipped, "empty": b""}[damage])
    again = pack(model, PROGRAM)
    assert again.path.read_bytes() == data
    assert again.content_digest == good.content_digest
    assert [path.name for path in cache.iterdir()] == [again.path.name]


def test_what_a_killed_synth_left_behind_does_no_harm(model: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "0123456789abcdef-x.part").write_bytes(b"half")
    assert members(pack(model, PROGRAM).path)["model.npz"] == b"weights"


def test_synths_at_the_same_time_all_get_a_whole_archive(model: Path, cache: Path) -> None:
    write(model, {"large.bin": os.urandom(2_000_000)})
    script = "import sys; from pathlib import Path; from sagemaker_serving.packing import pack; "
    script += "print(pack(Path(sys.argv[1]), 'inference.py').path)"
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(model)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    paths = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    [path] = paths
    assert members(Path(path))["large.bin"] == (model / "large.bin").read_bytes()
    assert [left.name for left in cache.iterdir()] == [Path(path).name], "no half archive is left"


def test_a_file_that_changes_while_it_is_packed_is_noticed(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = packing._content_digest

    def then_change(files: list[sources.SourceFile]) -> str:
        found = digest(files)
        (model / "model.npz").write_bytes(b"WEIGHTS")
        return found

    monkeypatch.setattr(packing, "_content_digest", then_change)
    assert "a file changed while it was being packed" in refused(model)
    assert list(cache.iterdir()) == []


def test_memory_does_not_grow_with_the_model(model: Path) -> None:
    size = 256 * 1024 * 1024
    with (model / "sparse.bin").open("wb") as stream:
        stream.truncate(size)
    script = (
        "import resource, sys; from pathlib import Path; from sagemaker_serving.packing import pack\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "pack(Path(sys.argv[1]), 'inference.py')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(model)], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) * 1024 < size / 8


def test_the_cache_is_below_the_current_directory_unless_told_otherwise(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.chdir(tmp_path)
    assert pack(model, PROGRAM).path.parent == tmp_path / ".cache" / "artifacts"


def test_a_directory_that_does_not_exist_is_said_so(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "does not exist" in message


def test_a_file_is_no_directory(model: Path) -> None:
    assert "is not a directory" in refused(model / PROGRAM)


def test_an_empty_directory_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    message = refused(tmp_path / "model")
    assert "has no inference.py" in message
    assert "it is empty" in message


def test_a_directory_without_the_program_is_told_what_was_found(tmp_path: Path) -> None:
    files = {f"file{number:02}.bin": b"" for number in range(12)}
    message = refused(write(tmp_path / "model", {**files, "predict.py": b""}))
    assert str(tmp_path / "model") in message
    assert "has no inference.py" in message
    assert "it has file00.bin, file01.bin" in message
    assert "and 3 more" in message


def test_the_program_in_another_folder_does_not_count(tmp_path: Path) -> None:
    assert "it has src/inference.py" in refused(write(tmp_path / "model", {"src/inference.py": b""}))


@pytest.mark.parametrize("target", ["model.npz", "/etc/passwd", "nowhere", "."])
def test_a_symbolic_link_is_refused(model: Path, target: str) -> None:
    (model / "link").symlink_to(target)
    assert "directory = 'link': is a symbolic link" in refused(model)


def test_a_socket_and_a_pipe_are_refused_together(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model)  # a socket's path is short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        message = refused(model)
    assert "directory = 'pipe': is a named pipe" in message
    assert "directory = 'socket': is a socket" in message


def test_a_device_is_refused(model: Path) -> None:
    assert sources._special_kind(stat.S_IFCHR) == sources._special_kind(stat.S_IFBLK) == "a device file"


def test_a_name_that_is_not_utf8_is_refused(model: Path) -> None:
    (Path(os.fsdecode(os.fsencode(model) + b"/\xff.bin"))).write_bytes(b"")
    assert "its name is not UTF-8" in refused(model)


def test_the_same_module_at_the_top_and_in_the_code_folder_is_refused(model: Path) -> None:
    write(model, {"code/inference.py": b"other"})
    assert "the archive would hold code/inference.py twice" in refused(model)


def test_a_file_named_like_the_code_folder_is_refused(model: Path) -> None:
    write(model, {"code": b"1"})
    assert "directory = 'code': is a file, but code is the folder" in refused(model)


def test_all_that_is_wrong_with_a_directory_is_said_at_once(tmp_path: Path) -> None:
    directory = write(tmp_path / "model", {"a.py": b"", "code/a.py": b""})
    (directory / "one").symlink_to("a.py")
    (directory / "two").symlink_to("a.py")
    with pytest.raises(InvalidConfiguration) as caught:
        list_sources(directory, PROGRAM)
    assert len(caught.value.findings) == 4


@pytest.fixture
def unreadable(model: Path) -> Iterator[Path]:
    path = model / "secret.bin"
    path.write_bytes(b"x")
    path.chmod(0)
    yield path
    path.chmod(0o600)


def test_a_file_that_cannot_be_read_is_a_finding(
    model: Path, unreadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.access(unreadable, os.R_OK):  # root reads everything: let the operating system refuse it otherwise

        def refuse(path: Path) -> str:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(packing, "file_digest", refuse)
    message = refused(model)
    assert "cannot be packed: Permission denied" in message


def test_a_cache_folder_that_is_a_file_is_a_finding(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    assert CACHE_VARIABLE in refused(model)


def test_the_archive_is_whole_and_named_after_its_content(model: Path) -> None:
    archive = pack(model, PROGRAM)
    data = archive.path.read_bytes()
    assert archive.path.name == f"{archive.content_digest}-{hashlib.sha256(data).hexdigest()}.tar.gz"
    assert len(gzip.decompress(data)) % 512 == 0
