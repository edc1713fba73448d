"""Who may know whom (docs/decisions/0002-import-arrows.md), read off the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"app", "stacks", "sagemaker_serving", "client", "sandbox", "model_code", "benchmarks", "tests"}

# source folder or file -> what of ours it may import
ARROWS = {
    "app.py": {"stacks", "sagemaker_serving"},
    "stacks": {"stacks", "sagemaker_serving"},
    "constructs/sagemaker_serving": {"sagemaker_serving"},
    "client": {"client"},
    "sandbox": {"sandbox"},
    "model_code": set(),
}
FOREIGN = {
    "client": {"aws_cdk", "ministack", "constructs"},
    "sandbox": {"aws_cdk", "constructs"},
    "model_code": {"aws_cdk", "constructs", "ministack"},
    "constructs/sagemaker_serving": {"boto3", "botocore", "sagemaker", "ministack"},
    "stacks": {"boto3", "botocore", "sagemaker", "ministack"},
    "app.py": {"boto3", "botocore", "sagemaker", "ministack"},
}


def sources(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names of all modules that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]


@pytest.mark.parametrize("place", sorted(ARROWS))
def test_a_part_imports_only_what_it_may_know(place: str) -> None:
    # GIVEN the sources of a part
    files = sources(place)
    assert files, f"{place} holds no Python file"

    # WHEN their imports are read
    siblings = {path.stem for path in files if place == "model_code"}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(path)
        if name in (OURS - ARROWS[place] - siblings) | FOREIGN[place]
    }

    # THEN none points against an arrow
    assert not wrong


def test_only_the_adapter_knows_ministack() -> None:
    # GIVEN every Python file of the project
    # WHEN those that import ministack are listed
    users = {
        str(path.relative_to(ROOT))
        for place in ("sandbox", "client", "stacks", "constructs", "model_code", "benchmarks", "tools")
        for path in (ROOT / place).rglob("*.py")
        if "ministack" in set(imported(path))
    }

    # THEN it is the adapter alone
    assert all(user.startswith("sandbox/ministack_adapter/") for user in users)


def test_constructs_folder_is_a_source_root_and_not_a_package() -> None:
    # GIVEN the folder that bears the name of an installed library
    # WHEN its files are listed
    # THEN it holds no module of its own, only the library one level down
    assert not list((ROOT / "constructs").glob("*.py"))
    assert (ROOT / "constructs" / "sagemaker_serving" / "__init__.py").is_file()


def test_the_installed_constructs_package_wins_from_the_project_folder() -> None:
    # GIVEN an interpreter that has the project's folder first on its path
    code = (
        "import constructs, sagemaker_serving; print(constructs.__file__); print(sagemaker_serving.__file__)"
    )

    # WHEN both libraries are imported
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    # THEN `constructs` is the installed one and the library is ours
    installed, ours = done.stdout.split()
    assert "site-packages" in installed
    assert Path(ours).is_relative_to(ROOT / "constructs")


def test_synth_needs_only_the_packages_of_requirements_txt() -> None:
    # GIVEN the modules on the synth path
    allowed = {"aws_cdk", "constructs", "cdk_nag", "pydantic", "yaml", "jsii", *ARROWS["app.py"]}

    # WHEN their third-party imports are collected
    used = {
        name
        for place in ("app.py", "stacks", "constructs/sagemaker_serving")
        for path in sources(place)
        for name in imported(path)
    }

    # THEN nothing beyond the pinned requirements is needed
    assert used - set(sys.stdlib_module_names) <= allowed
