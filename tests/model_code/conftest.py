"""Imports a model's modules as its container does: by their bare names, its own folder and the shared one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from sagemaker_inference.transformer import Transformer

ROOT = Path(__file__).resolve().parents[2]
MODEL_CODE = ROOT / "model_code"
SHARED = MODEL_CODE / "shared"


def _modules(folder: Path) -> dict[str, Path]:
    """Name -> folder of all that a container of this model can import."""
    return {path.stem: path.parent for place in (folder, SHARED) for path in sorted(place.glob("*.py"))}


@contextmanager
def _importable(folder: Path, loaded: dict[str, ModuleType]) -> Iterator[None]:
    """Have the model's folders first on the path, and nothing of another model among the modules."""
    others = {path.stem for path in MODEL_CODE.glob("*/*.py")}
    kept = {name: sys.modules.pop(name) for name in others & sys.modules.keys()}
    path = list(sys.path)
    sys.path[:0] = [str(folder), str(SHARED)]
    sys.modules.update(loaded)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in others & sys.modules.keys():
            del sys.modules[name]
        sys.modules.update(kept)


@cache
def load_model_code(name: str) -> SimpleNamespace:
    """The modules that a model's container can import, one attribute each, with its folder as ``folder``.

    Each model gets its own copies of the shared modules, as each container does.
    """
    folder = MODEL_CODE / name
    with _importable(folder, {}):
        modules = {module: importlib.import_module(module) for module in _modules(folder)}
    return SimpleNamespace(folder=folder, **modules)


@pytest.fixture(scope="session")
def load_code() -> Callable[[str], SimpleNamespace]:
    """`load_model_code`, for tests of several models."""
    return load_model_code


@pytest.fixture(scope="module")
def code(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The modules of the model that the test module names as ``MODEL``."""
    return load_model_code(request.module.MODEL)


@pytest.fixture(scope="module")
def inference(code: SimpleNamespace) -> ModuleType:
    return code.inference


@pytest.fixture(scope="module")
def model(code: SimpleNamespace) -> object:
    """The committed model."""
    return code.inference.model_fn(str(code.folder))


@pytest.fixture
def imported(code: SimpleNamespace) -> Iterator[None]:
    """While it lasts, ``import inference`` finds the model, for a toolkit that imports by itself."""
    loaded = {name: module for name, module in vars(code).items() if isinstance(module, ModuleType)}
    with _importable(code.folder, loaded):
        yield


@pytest.fixture(scope="module")
def refused(code: SimpleNamespace) -> Callable[..., tuple[int, str]]:
    """Sends what the model must refuse to its ``input_fn``; returns the status and the reason."""

    def refused(body: str | bytes, content_type: str | None = "application/json") -> tuple[int, str]:
        with pytest.raises(code.client_errors.RequestError) as caught:
            code.inference.input_fn(body, content_type)
        return caught.value.status_code, caught.value.message

    return refused


class ToolkitContext:
    """What AWS's toolkit asks of a model server's context; keeps what it is told."""

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        self.system_properties = {"model_dir": str(folder)}
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: headers)]
        self.status, self.phrase, self.content_type = 200, "", ""

    def set_response_content_type(self, index: int, value: str) -> None:
        self.content_type = value

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status, self.phrase = code, phrase


@pytest.fixture
def send(
    code: SimpleNamespace, imported: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[ToolkitContext, str]]:
    """Sends a body with headers (``Content_Type=...``) through AWS's toolkit to the model."""
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "inference.py")
    transformer = Transformer()

    def send(body: bytes, **headers: str) -> tuple[ToolkitContext, str]:
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        context = ToolkitContext(code.folder, spelt)
        (answer,) = transformer.transform([{"body": body}], context)
        return context, answer

    return send


@pytest.fixture(scope="session")
def nsmc() -> Path:
    """The folder of the official corpus."""
    folder = Path(os.environ.get("NSMC_DIR", ROOT.parent / "shared" / "data" / "nsmc"))
    if not (folder / "ratings_test.txt").is_file():
        pytest.skip("NSMC is not here: set NSMC_DIR to a folder with ratings_train.txt and ratings_test.txt")
    return folder


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ELECTRA in Hugging Face's format (``source``), and its exports; see `koelectra_exports`.

    Its words are those of NSMC, or without it of the texts in this repository.
    """
    folder = tmp_path_factory.mktemp("koelectra")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in (
        [sys.executable, ROOT / "tools" / "setup_koelectra.py"],
        [
            ROOT / ".cache" / "koelectra" / "bin" / "python",
            Path(__file__).with_name("koelectra_exports.py"),
            _korean_texts(folder / "texts.txt"),
            folder,
        ],
    ):
        done = subprocess.run(
            list(map(str, command)),
            env={**environment, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    for name in ("int8", "fp32"):
        result = json.loads((folder / f"{name}.json").read_text("utf-8"))
        assert result["status"] == 0, result["complained"]
    return folder


def _korean_texts(path: Path) -> Path:
    """Write texts, one per line."""
    corpus = Path(os.environ.get("NSMC_DIR", ROOT.parent / "shared" / "data" / "nsmc"), "ratings_test.txt")
    if corpus.is_file():
        rows = corpus.read_text("utf-8").split("\n")[1:5000]
        texts = [row.split("\t")[1] for row in rows]
    else:
        reviews = (MODEL_CODE / "koelectra" / "conversion" / "reviews.txt").read_text("utf-8")
        pairs = (Path(__file__).parent / "data" / "korean_sentence_pairs.tsv").read_text("utf-8")
        texts = [*reviews.split("\n"), *pairs.replace("\t", "\n").split("\n")]
    path.write_text("\n".join(texts), "utf-8")
    return path
