"""The video model behind AWS's own toolkit, in process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sagemaker_inference.transformer import Transformer

from tests.model_code.video_truth import make_clip, parse

MODEL = "video_detection"


class Context:
    """What the toolkit asks of a model server's context."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.system_properties = {"model_dir": "unused"}
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: headers)]
        self.status, self.phrase, self.content_type = 200, "", ""

    def set_response_content_type(self, index: int, value: str) -> None:
        self.content_type = value

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status, self.phrase = code, phrase


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return make_clip(path, width=128, height=96, frames=20, smallest=14, largest=40, objects=2)[0]


@pytest.fixture
def transformer(imported: None, monkeypatch: pytest.MonkeyPatch) -> Transformer:
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "inference.py")
    return Transformer()


def send(transformer: Transformer, body: bytes, **headers: str) -> tuple[Context, bytes | str]:
    context = Context({name.replace("_", "-"): value for name, value in headers.items()})
    (answer,) = transformer.transform([{"body": body}], context)
    return context, answer


def test_a_video_is_answered_in_lines(transformer: Transformer, video: bytes) -> None:
    # GIVEN a video WHEN lines are asked for
    context, answer = send(transformer, video, Content_Type="video/mp4", Accept="application/jsonlines")

    # THEN they come, and say that they are lines
    assert (context.status, context.content_type) == (200, "application/jsonlines")
    assert isinstance(answer, bytes)
    assert len(parse(answer)[1]) == 20


def test_without_accept_the_container_decides(
    imported: None, video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a container whose default answer is set to lines, as the pattern does
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "inference.py")
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/jsonlines")

    # WHEN a caller names no type THEN lines come; and in a container without the setting JSON, AWS's default
    assert send(Transformer(), video, Content_Type="video/mp4")[0].content_type == "application/jsonlines"
    monkeypatch.delenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")
    context, answer = send(Transformer(), video, Content_Type="video/mp4")
    assert context.content_type == "application/json"
    assert len(json.loads(answer)) == 21


@pytest.mark.parametrize(
    ("share", "headers", "status", "phrase", "said"),
    [
        (0.5, {"Content_Type": "video/mp4"}, 400, "Bad Request", "the file is truncated"),
        (0.0, {"Content_Type": "video/mp4"}, 400, "Bad Request", "the body is empty"),
        (1.0, {"Content_Type": "image/png"}, 415, "Unsupported Media Type", "'image/png' is not supported"),
        (1.0, {"Content_Type": "video/mp4", "Accept": "text/csv"}, 406, "Not Acceptable", "text/csv"),
    ],
)
def test_a_bad_request_gets_its_status(
    transformer: Transformer,
    video: bytes,
    share: float,
    headers: dict[str, str],
    status: int,
    phrase: str,
    said: str,
) -> None:
    # GIVEN a bad request WHEN it is sent
    context, answer = send(transformer, video[: int(len(video) * share)], **headers)

    # THEN its status tells the kind, the first line of the answer tells what was wrong
    assert (context.status, context.phrase) == (status, phrase)
    assert isinstance(answer, str)
    assert said in answer.splitlines()[0]

    # AND the next good request is answered
    assert send(transformer, video, Content_Type="video/mp4")[0].status == 200


def test_the_packages_it_needs_are_those_tested_here(code: SimpleNamespace) -> None:
    # GIVEN what AWS's container installs and what this repository's tests run with
    wanted = [line for line in (code.folder / "requirements.txt").read_text().splitlines() if "==" in line]
    pinned = (Path(__file__).resolve().parents[2] / "requirements-dev.txt").read_text().splitlines()

    # THEN they are the same versions
    assert wanted
    for line in wanted:
        assert any(entry.split()[0:1] == [line] for entry in pinned), line
