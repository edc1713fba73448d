"""The set-up script: what is done is skipped, what failed is said, what was interrupted goes on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, working on a folder of its own."""
    spec = importlib.util.spec_from_file_location(
        "setup_environment", ROOT / "tools" / "setup_environment.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMPS", tmp_path / ".venv" / ".stamps")
    (tmp_path / "requirements.txt").write_text("one==1\n")
    return module


def test_a_step_runs_once_for_the_same_inputs_and_again_for_others(
    script: ModuleType, tmp_path: Path
) -> None:
    # GIVEN a step that depends on a file
    runs: list[str] = []

    def step() -> None:
        script.run_step("Python packages", ["requirements.txt"], lambda: runs.append("ran"))

    # WHEN it is called twice, and once more after the file has changed
    step()
    step()
    (tmp_path / "requirements.txt").write_text("one==2\n")
    step()

    # THEN it ran for each content of the file
    assert len(runs) == 2


def test_a_step_that_failed_is_tried_again(script: ModuleType) -> None:
    # GIVEN a step that fails the first time
    outcomes = iter([script.SetupFailed("no network"), None])

    def action() -> None:
        outcome = next(outcomes)
        if outcome:
            raise outcome

    # WHEN it is called twice
    with pytest.raises(script.SetupFailed):
        script.run_step("CDK CLI", ["requirements.txt"], action)
    script.run_step("CDK CLI", ["requirements.txt"], action)

    # THEN the second call did it
    assert next(outcomes, "done") == "done"


def test_a_failed_command_says_what_it_was_for_and_what_to_check(script: ModuleType) -> None:
    # GIVEN a command that fails as an unreachable registry does
    command = [sys.executable, "-c", "import sys; sys.exit('could not resolve host')"]

    # WHEN it is run
    with pytest.raises(script.SetupFailed) as failure:
        script.call(command, "install the Python packages", network="PyPI")

    # THEN the message has the purpose, the network, and the command's own words
    assert "could not install the Python packages" in str(failure.value)
    assert "Is PyPI reachable" in str(failure.value)
    assert "could not resolve host" in str(failure.value)


def test_without_a_network_make_setup_ends_with_one_message(script: ModuleType, tmp_path: Path) -> None:
    # GIVEN a bare folder and an index that cannot be reached
    (tmp_path / "tools").mkdir()
    for name in (
        "requirements-dev.txt",
        "requirements.txt",
        "pyproject.toml",
        "package.json",
        "package-lock.json",
    ):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    copy = tmp_path / "tools" / "setup_environment.py"
    copy.write_bytes((ROOT / "tools" / "setup_environment.py").read_bytes())

    # WHEN the project is set up
    done = subprocess.run(
        [sys.executable, str(copy)],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_NO_INDEX": "0",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_RETRIES": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    # THEN it fails, says what to check, and shows no traceback
    assert done.returncode == 1
    assert "Is PyPI" in done.stderr
    assert "Traceback" not in done.stderr
