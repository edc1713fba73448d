"""The exported transformer as its container runs it: onnxruntime, tokenizers and numpy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MODEL = "koelectra"

MODEL_CODE = Path(__file__).resolve().parents[2] / "model_code"
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
words = st.sampled_from(["영화", "정말", "재미있다", "최악", "굿", "ㅋㅋㅋ", "😀", "Best", "演技力", "10점"])
korean = st.lists(words, min_size=1, max_size=60)
texts_of_any_length = st.lists(st.one_of(any_text, korean.map(" ".join)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model(inference: ModuleType, exports: Path) -> object:
    return inference.model_fn(str(exports / "int8"))


@pytest.fixture(scope="module")
def exact(inference: ModuleType, exports: Path) -> object:
    """The same model in fp32, whose answers do not depend on what is computed along with them."""
    return inference.model_fn(str(exports / "fp32"))


def test_answers_are_those_of_the_sentiment_model(
    inference: ModuleType, model: object, load_code: Callable[[str], SimpleNamespace]
) -> None:
    # GIVEN a request in each format WHEN both models get it THEN they read it and answer it alike
    code = load_code("sentiment")
    other, small = code.inference, code.inference.model_fn(str(code.folder))
    for body, kind, accept in [
        ('{"inputs": ["최고", "최악"]}', "application/json", None),
        ('{"text": "최고"}\n{"text": ["최악"]}', "application/jsonlines", "application/jsonlines"),
        ("최고\n최악\n", "text/csv", "text/csv"),
        ("최고\n최악", "text/plain", "application/json"),
    ]:
        texts = inference.input_fn(body, kind)
        assert texts == other.input_fn(body, kind) == ["최고", "최악"]
        mine = inference.output_fn(inference.predict_fn(texts, model), accept)
        theirs = other.output_fn(other.predict_fn(texts, small), accept)
        assert mine[1] == theirs[1]
        assert mine[0].count("itive") + mine[0].count("ative") == 2
        if mine[1] == "application/json":
            for entry in json.loads(mine[0]):
                assert set(entry) == {"label", "score"}
                assert entry["label"] in {"positive", "negative"}
                assert 0.5 <= entry["score"] <= 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"inputs": []}', 400, "the request holds no text"),
        ('{"inputs": ["굿", 7, null, ["x"], ""]}', 400, "inputs[1] is a number; inputs[2] is null"),
        (json.dumps({"text": "영화 " * 33_334}), 413, "100,002 characters"),
        ("{", 400, "malformed"),
    ],
)
def test_bad_requests_are_refused_as_by_the_sentiment_model(
    refused: Callable[..., tuple[int, str]],
    load_code: Callable[[str], SimpleNamespace],
    body: str,
    status: int,
    said: str,
) -> None:
    # GIVEN an empty list, mixed types, a text of 100,000 characters, broken JSON WHEN they are sent
    found, reason = refused(body)
    # THEN status and words are the sentiment model's
    assert found == status
    assert said in reason
    other = load_code("sentiment")
    with pytest.raises(other.client_errors.RequestError) as caught:
        other.inference.input_fn(body, "application/json")
    assert (caught.value.status_code, caught.value.message) == (found, reason)


@settings(deadline=None, max_examples=50)  # the machine's load is not the code's
@given(texts=texts_of_any_length)
def test_a_text_is_answered_alike_alone_and_among_others(exact: object, texts: list[str]) -> None:
    # GIVEN texts of any lengths WHEN they are computed together THEN each has the logits that it has alone
    together = exact.logits(texts)
    alone = np.concatenate([exact.logits([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-4)


@settings(deadline=None, max_examples=50)
@given(texts=texts_of_any_length)
def test_int8_keeps_order_and_stays_near_fp32(model: object, exact: object, texts: list[str]) -> None:
    # GIVEN texts of any lengths WHEN the quantised model gets them
    found = model.logits(texts)
    # THEN each is nearer to its own answer in fp32 than quantisation may move it
    np.testing.assert_allclose(found, exact.logits(texts), atol=1.5)
    answers = model.predict(texts)
    assert [answer["label"] for answer in answers] == [
        ("negative", "positive")[i] for i in found.argmax(axis=1)
    ]


def test_thousands_of_texts_are_answered_in_order(inference: ModuleType, exact: object) -> None:
    # GIVEN more texts than the tokenizer gets at a time, of lengths that the batches sort otherwise
    texts = [f"{'정말 ' * (number % 9)}재미있다 {number % 5}" for number in range(1500)]
    texts[700] = "돈이 아깝다 " * 1000
    # WHEN they are predicted THEN each has its own answer
    answers = inference.predict_fn(texts, exact)
    assert len(answers) == len(texts)
    for number in (0, 8, 699, 700, 701, 1499):
        (own,) = inference.predict_fn([texts[number]], exact)
        assert answers[number]["label"] == own["label"]
        assert answers[number]["score"] == pytest.approx(own["score"], abs=1e-4)


def test_no_texts_give_no_answers(model: object) -> None:
    assert model.predict([]) == []


def test_scores_are_probabilities_of_labels_of_any_number(code: SimpleNamespace) -> None:
    # GIVEN a network with three labels, one of whose answers is far beyond what exp can hold
    class Session:
        def run(self, outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.array([[1.0, 2.0, 3.0], [900.0, -900.0, 0.0]], dtype=np.float32)]

    encoder = SimpleNamespace(encode=lambda texts: [np.arange(3)] * len(texts))
    description = code.description.Description(("bad", "fair", "good"), 128, 0)
    # WHEN texts are predicted THEN the scores are those of softmax
    answers = code.classifier.Classifier(Session(), encoder, description).predict(["a", "b"])
    assert answers == [{"label": "good", "score": 0.665241}, {"label": "bad", "score": 1.0}]


def test_an_answer_that_is_no_number_is_a_failure(code: SimpleNamespace) -> None:
    session = SimpleNamespace(run=lambda *_: [np.array([[np.nan, 1.0]], dtype=np.float32)])
    encoder = SimpleNamespace(encode=lambda texts: [np.arange(3)])
    broken = code.classifier.Classifier(session, encoder, code.description.Description(("a", "b"), 128, 0))
    with pytest.raises(FloatingPointError, match="not finite"):
        broken.predict(["a"])


@pytest.fixture
def damaged(exports: Path, tmp_path: Path) -> Path:
    """A copy of the exported model, to be damaged."""
    return Path(shutil.copytree(exports / "int8", tmp_path / "model"))


def change(folder: Path, **members: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | members), "utf-8")


def test_missing_files_are_named_together(inference: ModuleType, damaged: Path) -> None:
    (damaged / "model.onnx").unlink()
    (damaged / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model\.onnx, no tokenizer\.json: export the model"):
        inference.model_fn(str(damaged))


@pytest.mark.parametrize("name", ["model.onnx", "model.data", "tokenizer.json"])
def test_a_changed_byte_is_seen(inference: ModuleType, damaged: Path, name: str) -> None:
    # GIVEN a file with one byte changed, which may well load WHEN the model is loaded THEN it is refused
    content = bytearray((damaged / name).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        inference.model_fn(str(damaged))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"format": "koelectra-onnx/9"}, "has format 'koelectra-onnx/9', this code reads"),
        ({"labels": ["positive"], "max_length": "128", "pad_id": -1}, "labels .* max_length .* pad_id"),
        ({"labels": ["a", "a"]}, "not two or more different names"),
        ({"labels": ["a", "b", "c"]}, "2 logits, not input_ids, attention_mask and one logit for each label"),
        ({"files": None}, "files are None"),
    ],
)
def test_a_wrong_description_is_named(
    inference: ModuleType, damaged: Path, members: dict[str, object], said: str
) -> None:
    change(damaged, **members)
    with pytest.raises(ValueError, match=said):
        inference.model_fn(str(damaged))


def test_a_description_that_is_no_json_is_named(inference: ModuleType, damaged: Path) -> None:
    (damaged / "model.json").write_text("{")
    with pytest.raises(ValueError, match=r"model\.json is damaged"):
        inference.model_fn(str(damaged))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_files_of_another_kind_are_named(
    code: SimpleNamespace, inference: ModuleType, damaged: Path, name: str
) -> None:
    # GIVEN a file that is what the description says, and nothing that can be run
    (damaged / name).write_text("{}")
    change(
        damaged,
        files={
            file: code.description.file_entry(damaged / file) for file in code.description.DESCRIBED_FILES
        },
    )
    # WHEN the model is loaded THEN the file is named
    with pytest.raises(ValueError, match=f"{name} is no (network|tokenizer)"):
        inference.model_fn(str(damaged))


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}, 2),
        ({"OMP_NUM_THREADS": "many", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}, 4),
        ({}, 1),
    ],
)
def test_threads_follow_the_containers_cores(
    code: SimpleNamespace,
    exports: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    threads: int,
) -> None:
    # GIVEN a container of four cores on a machine of eight
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    monkeypatch.setattr(code.cores, "_QUOTA_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(code.cores.os, "sched_getaffinity", lambda _: set(range(8)))
    for name in ("OMP_NUM_THREADS", "SAGEMAKER_MODEL_SERVER_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # WHEN the network is opened THEN it takes this worker's part, unless it is told otherwise
    session = code.classifier.open_session(exports / "int8" / "model.onnx")
    assert session.get_session_options().intra_op_num_threads == threads


def test_the_variable_of_micro_batching_is_checked(
    code: SimpleNamespace, inference: ModuleType, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN no variable, or 0 THEN requests are computed by themselves; with a time, together
    folder = str(exports / "int8")
    monkeypatch.delenv(inference.WAIT_VARIABLE, raising=False)
    assert isinstance(inference.model_fn(folder), code.classifier.Classifier)
    monkeypatch.setenv(inference.WAIT_VARIABLE, "5")
    together = inference.model_fn(folder)
    assert isinstance(together, code.micro_batches.MicroBatches)
    assert inference.predict_fn(["굿"], together)[0].keys() == {"label", "score"}
    for wrong in ("1001", "-1", "soon", "2.5"):
        monkeypatch.setenv(inference.WAIT_VARIABLE, wrong)
        with pytest.raises(ValueError, match=f"KOELECTRA_BATCH_WAIT_MILLISECONDS is '{wrong}'"):
            inference.model_fn(folder)


def test_the_network_is_quantised_and_has_open_axes(exports: Path) -> None:
    # GIVEN both exports WHEN they are held against each other THEN int8 is much the smaller
    sizes = {name: (exports / name / "model.data").stat().st_size for name in ("int8", "fp32")}
    assert sizes["int8"] < 0.3 * sizes["fp32"]
    for name in sizes:
        network = exports / name / "model.onnx"
        assert (b"MatMulInteger" in network.read_bytes()) == (name == "int8")
        # AND both take any number of texts of any length
        session = onnxruntime.InferenceSession(network)
        assert [part.shape for part in session.get_inputs()] == [["texts", "tokens"]] * 2
        assert [(part.name, part.shape[1:]) for part in session.get_outputs()] == [("logits", [2])]


def test_onnxruntime_tokenizers_and_numpy_are_enough(exports: Path) -> None:
    # GIVEN an interpreter that can import nothing else but what these three import by themselves
    folders = [MODEL_CODE / MODEL, MODEL_CODE / "shared"]
    program = f"""
import sys
import numpy, onnxruntime, tokenizers
allowed = sys.stdlib_module_names | {{name.partition(".")[0] for name in sys.modules}}
allowed |= { ({path.stem for folder in folders for path in folder.glob("*.py")} - {"export"})!r}
class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(name)
sys.meta_path.insert(0, Only())
sys.path[:0] = {[str(folder) for folder in folders]!r}
import inference
model = inference.model_fn({str(exports / "int8")!r})
texts = inference.input_fn('{{"text": "최고"}}', None)
print(inference.output_fn(inference.predict_fn(texts, model), None)[0])
print(sorted({{"torch", "transformers", "onnx", "huggingface_hub"}} & sys.modules.keys()))
"""
    # WHEN the model is loaded and asked THEN it answers, and nothing of the export was imported
    done = subprocess.run(
        [sys.executable, "-B", "-X", "utf8", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stderr == ""
    assert '"label": ' in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
