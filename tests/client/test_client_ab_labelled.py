from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.ab import labelled
from client.ab.labelled import LabelledText, default_file, read_labelled
from client.errors import UserError


def written(folder: Path, content: str | bytes, name: str = "labelled.tsv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_rows_as_nsmc_has_them(tmp_path: Path) -> None:
    # GIVEN a header, a row without a text, other line-end characters inside a text, Windows line ends
    path = written(tmp_path, "id\tdocument\tlabel\r\n1\t재밌\x85어요\t1\r\n2\t\t0\r\n3\t별로\t0\r\n")

    # WHEN it is read
    found = read_labelled(path)

    # THEN texts and labels are there, the empty one is counted
    assert found.rows == [LabelledText("재밌\x85어요", "positive"), LabelledText("별로", "negative")]
    assert found.empty == 1
    assert not found.advice
    assert str(found) == "2 texts of labelled.tsv (1 rows without a text left out)"


@pytest.mark.parametrize("start", ["", "text\tlabel\n", "\ufeffdocument\tlabel\n"])
def test_rows_of_text_and_label(tmp_path: Path, start: str) -> None:
    found = read_labelled(written(tmp_path, f"{start}좋아요\tpositive\n그저 그래요\tneutral\n\n"))
    assert found.rows == [LabelledText("좋아요", "positive"), LabelledText("그저 그래요", "neutral")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it has no rows"),
        ("id\tdocument\tlabel\n", "it has no rows"),
        ("only one column\n", "line 1 has 1 columns"),
        ("a\t1\nb\n\nc\t0\td\n", "line 2 has 1 columns; line 3 has 1 columns; line 4 has 3 columns"),
        ("a\t\n", "line 1 has no label"),
        ("x\n" * 9, "4 more"),
        (b"\xff\xfe\t1\n", "not UTF-8: byte 0"),
    ],
)
def test_what_is_no_labelled_file(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(UserError) as refused:
        read_labelled(written(tmp_path, content))
    assert words in refused.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_labelled(tmp_path / "missing.tsv")
    monkeypatch.setattr(labelled, "_MAX_BYTES", 3)
    with pytest.raises(UserError, match="larger than"):
        read_labelled(written(tmp_path, "a\t1\n"))


@given(st.integers(1, 60), st.integers(1, 80))
def test_a_sample_is_always_the_same_and_keeps_the_order(rows: int, count: int) -> None:
    everything = labelled.LabelledFile(
        Path("some.tsv"), [LabelledText(str(number), "positive") for number in range(rows)]
    )
    sample = everything.sample(count)
    numbers = [int(row.text) for row in sample.rows]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(rows, count)
    assert sample == everything.sample(count)
    assert sample.sampled_from == (rows if count < rows else None)


def test_the_reviews_that_come_with_the_client_are_half_and_half() -> None:
    found = read_labelled(labelled._OWN_FILE)
    labels = [row.label for row in found.rows]
    assert (labels.count("positive"), labels.count("negative")) == (20, 20)
    assert len({row.text for row in found.rows}) == 40
    assert found.empty == 0
    assert "NSMC_DIR" in found.advice


def test_nsmc_is_found_by_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a folder without NSMC, then with it
    monkeypatch.setenv("NSMC_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"ratings_test\.txt is not there"):
        default_file()
    path = written(tmp_path, "1\t좋아요\t1\n", "ratings_test.txt")

    # THEN it is used
    assert default_file() == path

    # AND without the setting, what lies beside the project, or the client's own reviews
    monkeypatch.delenv("NSMC_DIR")
    assert default_file().name in {"ratings_test.txt", "reviews.tsv"}
