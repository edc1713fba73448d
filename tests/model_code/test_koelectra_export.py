"""The export: what it writes, and what it refuses, at once and in one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

MODEL = "koelectra"

ROOT = Path(__file__).resolve().parents[2]
EXPORT = ROOT / "model_code" / MODEL / "export.py"


def export(*options: str | Path, **environment: str) -> tuple[int, str, str]:
    """Run the command in the project's own environment, which has no torch; return status, output, errors."""
    done = subprocess.run(
        [sys.executable, str(EXPORT), *map(str, options)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "model_code" / "shared"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def refusal(
    code: SimpleNamespace, imported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs the command in this process, on what it must refuse; gives the one line that it says."""

    def run(model: Path | str, *options: str | Path) -> str:
        output = tmp_path / "output"
        status = code.export.main([f"--model={model}", f"--output={output}", *map(str, options)])
        said = capsys.readouterr().err
        assert status == 1
        assert said.startswith("export.py: ")
        assert said.count("\n") == 1
        assert not output.exists()
        return said

    return run


@pytest.fixture
def source(exports: Path, tmp_path: Path) -> Path:
    """A copy of the model in Hugging Face's format, to be spoilt."""
    return Path(shutil.copytree(exports / "source", tmp_path / "source"))


def configure(source: Path, **members: Any) -> None:
    """Change members of config.json; None removes one."""
    path = source / "config.json"
    config = json.loads(path.read_text("utf-8")) | members
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), "utf-8")


def test_a_model_directory_is_whole_and_described(exports: Path) -> None:
    # GIVEN an export WHEN its description is read
    folder = exports / "int8"
    document = json.loads((folder / "model.json").read_text("utf-8"))
    # THEN labels, length and origin are in it, and of each file the digest
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.data",
        "model.json",
        "model.onnx",
        "tokenizer.json",
    ]
    assert (document["labels"], document["max_length"]) == (["negative", "positive"], 128)
    assert document["source"]["model"] == "source"
    assert document["source"]["architecture"] == "ElectraForSequenceClassification"
    for name, entry in document["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert str(exports) not in (folder / "model.json").read_text("utf-8")


def test_fp32_agrees_with_torch_and_int8_is_reported(exports: Path) -> None:
    # GIVEN what was compared on real texts, through transformers' tokenizer and torch THEN it agrees
    found = json.loads((exports / "int8" / "model.json").read_text("utf-8"))["parity_with_torch"]
    assert found["fp32"]["largest_difference"] <= 1e-4
    assert found["fp32"]["label_agreement"] == 1
    assert found["int8"]["texts"] >= 100
    # AND the quantised network, of random weights, on which quantisation is hard, agrees on most labels
    assert 0.85 <= found["int8"]["label_agreement"] <= 1
    result = json.loads((exports / "int8.json").read_text("utf-8"))
    assert result["status"] == 0
    assert result["complained"] == ""
    assert f"labels agree on {found['int8']['label_agreement']:.2%}" in result["said"]


def test_the_same_model_gives_the_same_bytes(exports: Path) -> None:
    # GIVEN a model that was exported twice THEN both directories are the same, to the bit
    for file in (exports / "int8").iterdir():
        assert file.read_bytes() == (exports / "again" / file.name).read_bytes()
    # AND nothing else was left beside them
    assert not [path for path in exports.iterdir() if path.name.startswith((".", "tmp"))]


def test_the_hub_out_of_reach_is_said_with_what_to_do(tmp_path: Path) -> None:
    # GIVEN a hub that nobody reaches WHEN the workshop's model is asked for
    status, _, said = export(
        "--output", tmp_path / "out", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path)
    )
    # THEN the command fails in one line that says how to go on
    assert status == 1
    assert said.startswith(
        "export.py: daekeun-ml/koelectra-small-v3-nsmc: the Hugging Face hub cannot be reached"
    )
    assert "make koelectra MODEL=DIRECTORY" in said
    assert said.count("\n") == 1


@contextmanager
def hub(model: Path) -> Iterator[str]:
    """A hub with one model, ``owner/model``, as far as huggingface_hub asks; gives its address."""
    commit = "c" * 40
    files = {path.name: path.read_bytes() for path in model.iterdir()} | {"evil.py": b"raise SystemExit"}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/models/owner/model/revision/"):
                listing = [{"rfilename": name} for name in files]
                self._answer(json.dumps({"id": "owner/model", "sha": commit, "siblings": listing}).encode())
            elif self.path.startswith(f"/api/models/owner/model/tree/{commit}"):
                tree = [
                    {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                    for name, content in files.items()
                ]
                self._answer(json.dumps(tree).encode())
            elif self.path.startswith(f"/owner/model/resolve/{commit}/"):
                self._answer(files[self.path.rsplit("/", 1)[-1]])
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_HEAD = do_GET  # noqa: N815  (http.server's names)

        def _answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_model_on_the_hub_is_got_by_its_commit(exports: Path, tmp_path: Path) -> None:
    # GIVEN a hub with a model WHEN it is looked at
    with hub(exports / "source") as address:
        environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        found = export("--model=owner/model", f"--output={tmp_path / 'out'}", "--check", **environment)
        unknown = export("--model=owner/other", f"--output={tmp_path / 'out'}", "--check", **environment)
    # THEN its files are there, under the commit, and no code
    assert found[0] == 0, found[2]
    names = {path.name for path in tmp_path.glob(f"home/hub/models--owner--model/snapshots/{'c' * 40}/*")}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    # AND a name that the hub does not know is said to be wrong
    assert unknown[0] == 1
    assert unknown[2] == "export.py: owner/other: the hub has no such model: correct the name\n"


def test_without_torch_the_command_says_where_to_get_it(exports: Path, tmp_path: Path) -> None:
    # GIVEN the project's own environment, which has no torch WHEN a good model is to be exported
    status, _, said = export("--model", exports / "source", "--output", tmp_path / "out")
    # THEN the command says what is missing; only to look at the model, it is not needed
    assert status == 1
    assert "requirements-koelectra.txt" in said
    assert "Traceback" not in said
    assert export("--model", exports / "source", "--output", tmp_path / "out", "--check") == (0, "", "")
    assert not (tmp_path / "out").exists()


def test_all_findings_are_said_at_once(refusal: Callable[..., str], source: Path) -> None:
    # GIVEN a model that was only pretrained, without names, tokenizer and weights WHEN it is exported
    configure(source, architectures=["ElectraForPreTraining"], id2label=None)
    (source / "tokenizer.json").unlink()
    (source / "model.safetensors").unlink()
    said = refusal(source, "--max-length=513")
    # THEN each is named
    assert "a head for classifying texts is needed" in said
    assert "its labels have no names (LABEL_0, LABEL_1)" in said
    assert "--labels negative,positive" in said
    assert "--max-length 513: this model takes 8 to 512 tokens" in said
    assert "there is no tokenizer.json" in said
    assert "there are no weights" in said


@pytest.mark.parametrize(
    ("members", "options", "said"),
    [
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, [], "have no names (LABEL_0, LABEL_1)"),
        ({"id2label": {"0": "0", "1": "1"}}, [], "have no names (0, 1)"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, ["--labels=negative"], "it has 2 labels"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, ["--labels=good,good"], "a different name for each"),
        ({}, ["--labels=positive,negative"], "its own config.json says negative,positive"),
        ({"id2label": {"0": "same", "1": "same"}}, [], "each needs a name of its own"),
        ({"id2label": {"0": "score"}}, [], "it has one label"),
        ({"id2label": {"1": "a", "2": "b"}}, [], "names for the numbers 0, 1, ... are needed"),
        ({"id2label": ["a", "b"]}, [], "names for the numbers 0, 1, ... are needed"),
        ({"problem_type": "multi_label_classification"}, [], "only models that choose one label"),
        ({"vocab_size": 10}, [], "they are of different models"),
        ({}, ["--max-length=7"], "8 to 512 tokens"),
        ({}, ["--texts=/nowhere"], "--texts /nowhere"),
        ({}, ["--most-texts=0"], "at least one text is needed"),
    ],
)
def test_a_model_that_would_answer_wrongly_is_refused(
    refusal: Callable[..., str], source: Path, members: dict[str, Any], options: list[str], said: str
) -> None:
    configure(source, **members)
    assert said in refusal(source, *options)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "config.json: is no readable JSON"),
        ("config.json", "[]", "config.json: is not a JSON object"),
        ("config.json", None, "there is no config.json"),
        ("tokenizer.json", "{}", "is no tokenizer of the tokenizers library"),
        ("tokenizer.json", "{", "is no tokenizer of the tokenizers library"),
    ],
)
def test_damaged_files_are_named(
    refusal: Callable[..., str], source: Path, name: str, content: str | None, said: str
) -> None:
    (source / name).unlink()
    if content is not None:
        (source / name).write_text(content)
    assert said in refusal(source)


def test_what_is_no_model_at_all_is_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert "no such directory, and not a name on the hub" in refusal("./no/such/directory")
    assert "no such directory, and not a name on the hub" in refusal("nonsense")
    assert "there is no config.json" in refusal(tmp_path)


def test_what_an_export_did_not_write_is_not_replaced(
    code: SimpleNamespace, imported: None, exports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a directory with somebody's work, a file, a link to an export
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    (tmp_path / "link").symlink_to(exports / "int8")
    for output in (tmp_path / "work", tmp_path / "work" / "thesis.txt", tmp_path / "link"):
        # WHEN it is given as output THEN the command refuses before it begins
        assert code.export.main([f"--model={exports / 'source'}", f"--output={output}"]) == 1
        assert "something else is there" in capsys.readouterr().err
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"


def test_a_directory_is_replaced_whole_or_not_at_all(
    code: SimpleNamespace, imported: None, exports: Path, tmp_path: Path
) -> None:
    from conversion.directory import new_directory

    # GIVEN an earlier export
    output = Path(shutil.copytree(exports / "int8", tmp_path / "output"))
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    def write(then: type[BaseException] | None) -> None:
        with new_directory(output) as folder:
            (folder / "model.json").write_text("new")
            if then:
                raise then

    # WHEN the next one is interrupted THEN the earlier one is there, and nothing else
    with pytest.raises(KeyboardInterrupt):
        write(KeyboardInterrupt)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert list(tmp_path.iterdir()) == [output]
    # WHEN it goes well THEN nothing is left of the earlier one
    write(None)
    assert [(path.name, path.read_text()) for path in output.iterdir()] == [("model.json", "new")]
    assert list(tmp_path.iterdir()) == [output]


def test_weights_of_another_model_are_refused(exports: Path) -> None:
    # GIVEN weights that do not belong to the configuration, which transformers would make up at random
    result = json.loads((exports / "misfitted.json").read_text("utf-8"))
    # THEN their export named what is missing, in one line, and wrote nothing
    assert result["status"] == 1
    assert "misfit: the weights lack electra.encoder.layer.2" in result["complained"]
    assert result["complained"].count("\n") == 1
    assert not (exports / "misfitted").exists()
