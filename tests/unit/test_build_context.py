"""A build context: a directory with others laid over it, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagemaker_serving.build_context import stage
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.sources import CACHE_VARIABLE


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A function's folder and one that it shares."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    own, shared = tmp_path / "function", tmp_path / "shared"
    (own / "static").mkdir(parents=True)
    shared.mkdir()
    (own / "Dockerfile").write_text("FROM scratch\n")
    (own / "handler.py").write_text("import words\n")
    (own / "static" / "page.txt").write_text("page\n")
    (own / ".env").write_text("SECRET=1\n")
    (shared / "words.py").write_text("WORDS = 1\n")
    return own, shared


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_folders_are_laid_over_each_other_and_hidden_files_stay_away(folders: tuple[Path, Path]) -> None:
    # GIVEN two folders WHEN they are staged THEN all that an image may need is there, at the same place
    own, shared = folders
    assert names(stage(own, [shared])) == {"Dockerfile", "handler.py", "static/page.txt", "words.py"}


def test_the_same_content_is_staged_once_and_a_change_elsewhere(folders: tuple[Path, Path]) -> None:
    # GIVEN a staged context
    own, shared = folders
    first = stage(own, [shared])
    # WHEN it is staged again, and after a change
    again = stage(own, [shared])
    (shared / "words.py").write_text("WORDS = 2\n")
    changed = stage(own, [shared])
    # THEN the same content has the same place, other content another, and nothing half-made is left
    assert again == first
    assert changed != first
    assert (first / "words.py").read_text() == "WORDS = 1\n"
    assert not list(first.parent.glob("*.part"))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda own, shared: (own / "Dockerfile").unlink(), "has no Dockerfile"),
        (lambda own, shared: (shared / "handler.py").write_text("x = 1\n"), "handler.py"),
        (lambda own, shared: (own / "link").symlink_to(shared), "symbolic link"),
    ],
    ids=["no Dockerfile", "twice", "link"],
)
def test_what_cannot_be_built_is_refused(folders: tuple[Path, Path], break_it: object, said: str) -> None:
    # GIVEN folders with a mistake
    own, shared = folders
    break_it(own, shared)  # type: ignore[operator]
    # WHEN they are staged THEN it is told
    with pytest.raises(InvalidConfiguration, match=said):
        stage(own, [shared])
