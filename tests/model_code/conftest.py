"""Imports the model's modules as a container does: by their bare names, from the code folder."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
SENTIMENT = ROOT / "model_code" / "sentiment"
MODULES = tuple(path.stem for path in sorted(SENTIMENT.glob("*.py")))


@pytest.fixture(scope="package")
def code() -> Iterator[SimpleNamespace]:
    """The modules of model_code/sentiment, one attribute each."""
    sys.path.insert(0, str(SENTIMENT))
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    sys.path.remove(str(SENTIMENT))
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.fixture(scope="package")
def inference(code: SimpleNamespace) -> ModuleType:
    return code.inference


@pytest.fixture(scope="package")
def model(inference: ModuleType) -> object:
    """The committed model."""
    return inference.model_fn(str(SENTIMENT))


@pytest.fixture(scope="session")
def nsmc() -> Path:
    """The folder of the official corpus."""
    folder = Path(os.environ.get("NSMC_DIR", ROOT.parent / "shared" / "data" / "nsmc"))
    if not (folder / "ratings_test.txt").is_file():
        pytest.skip("NSMC is not here: set NSMC_DIR to a folder with ratings_train.txt and ratings_test.txt")
    return folder
