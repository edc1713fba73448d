from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import payloads
from client.durations import parse_duration
from client.errors import UserError
from client.payloads import from_file, from_texts
from client.predictions import Prediction, read_predictions

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5)


@given(TEXTS)
def test_json_carries_any_text(texts: list[str]) -> None:
    assert json.loads(from_texts(texts).body) == {"inputs": texts}


@given(TEXTS)
def test_json_lines_carry_any_text_one_per_line(texts: list[str]) -> None:
    body = from_texts(texts, "application/jsonlines").body.decode()
    assert [json.loads(line)["text"] for line in body.split("\n")[:-1]] == [[text] for text in texts]


@given(TEXTS)
def test_csv_carries_any_text_one_per_row(texts: list[str]) -> None:
    body = from_texts(texts, "text/csv; charset=utf-8").body.decode()
    assert [row[0] for row in csv.reader(io.StringIO(body, newline=""))] == texts


def test_plain_text_cannot_carry_a_line_break() -> None:
    assert from_texts(["좋아요", "싫어요"], "text/plain").body.decode() == "좋아요\n싫어요\n"
    with pytest.raises(UserError, match="line break"):
        from_texts(["좋아요\n싫어요"], "text/plain")


def test_texts_cannot_be_written_as_an_unknown_type() -> None:
    with pytest.raises(UserError, match="image/png") as error:
        from_texts(["x"], "image/png")
    assert "application/json" in error.value.hint
    assert "--file" in error.value.hint


@pytest.mark.parametrize(
    ("name", "content", "kind", "texts"),
    [
        ("a.json", '{"inputs": ["하나", "둘"]}', "application/json", ("하나", "둘")),
        ("a.json", '{"text": "하나"}', "application/json", ("하나",)),
        ("a.json", '{"other": 1}', "application/json", None),
        ("a.json", "[1", "application/json", None),
        (
            "a.jsonl",
            '{"text": ["하나"]}\n\n{"inputs": ["둘", "셋"]}\n',
            "application/jsonlines",
            ("하나", "둘", "셋"),
        ),
        ("a.jsonl", '{"text": ["하나"]}\n{"x": 1}\n', "application/jsonlines", None),
        ("a.CSV", '"하나, 둘"\n셋\n', "text/csv", ("하나, 둘", "셋")),
        ("a.txt", "하나\n둘", "text/plain", ("하나", "둘")),
    ],
)
def test_a_file_is_sent_as_it_is(
    tmp_path: Path, name: str, content: str, kind: str, texts: tuple[str, ...] | None
) -> None:
    # GIVEN a file
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")

    # WHEN it becomes a payload
    payload = from_file(str(path))

    # THEN its bytes are untouched, its type follows its name, and its texts can be shown
    assert payload.body == content.encode()
    assert payload.content_type == kind
    assert payload.texts == texts


def test_a_file_that_cannot_be_sent_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, unknown, large = tmp_path / "empty.json", tmp_path / "a.bin", tmp_path / "large.json"
    empty.touch()
    unknown.write_bytes(b"x")
    large.write_bytes(b"x" * 11)
    monkeypatch.setattr(payloads, "MAX_BYTES", 10)

    with pytest.raises(UserError, match="empty"):
        from_file(str(empty))
    with pytest.raises(UserError, match="content type") as error:
        from_file(str(unknown))
    assert "--content-type" in error.value.hint
    with pytest.raises(UserError, match="more than"):
        from_file(str(large))
    with pytest.raises(UserError, match="No such file"):
        from_file(str(tmp_path / "missing.json"))
    with pytest.raises(UserError, match="directory"):
        from_file(str(tmp_path), "text/csv")
    assert from_file(str(unknown), "application/x-mine").content_type == "application/x-mine"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('[{"label": "positive", "score": 0.9}, {"label": "negative", "score": 0.8}]', "application/json"),
        (
            '{"label": "positive", "score": 0.9}\n{"label": "negative", "score": 0.8}\n',
            "application/jsonlines",
        ),
        ("positive,0.9\r\nnegative,0.8\r\n", "TEXT/CSV; charset=utf-8"),
    ],
)
def test_predictions_are_read_from_each_type(body: str, content_type: str) -> None:
    expected = [Prediction("positive", 0.9), Prediction("negative", 0.8)]
    assert read_predictions(body.encode(), content_type) == expected


@given(
    st.binary(), st.sampled_from(["application/json", "application/jsonlines", "text/csv", "image/png", ""])
)
def test_an_answer_of_another_form_is_no_prediction_and_no_crash(body: bytes, content_type: str) -> None:
    found = read_predictions(body, content_type)
    assert found is None or all(isinstance(one, Prediction) for one in found)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1.5m", 90), ("500ms", 0.5), ("2h", 7200), ("1d", 86400), ("45", 45)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "-5s", "0s", "5 weeks", "1e3s", "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
