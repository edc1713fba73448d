"""Job scripts: their version, what the function behind them carries, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.job_code import JobCode
from sagemaker_serving.storage import DataBucket, EncryptionKey, Retention

FUNCTIONS = Path(__file__).resolve().parents[2] / "model_code" / "ml_pipeline_functions"


def scripts(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content, encoding="utf-8")
    return folder


def code(stack: cdk.Stack, directories: list[Path], *, keep: bool = False, **changes: Any) -> JobCode:
    retention = Retention(keep_data=keep)
    key = EncryptionKey(stack, "Key", retention=retention)
    arguments: dict[str, Any] = {
        "name": "reviews",
        "directories": directories,
        "functions": FUNCTIONS,
        "bucket": DataBucket(stack, "Bucket", key=key, retention=retention, expires=False),
        "key": key,
        "model_package_group_name": "reviews-models",
        "retention": retention,
    }
    return JobCode(stack, "Code", **arguments | changes)


def other_stack(outdir: Path) -> cdk.Stack:
    return cdk.Stack(cdk.App(analytics_reporting=False, outdir=str(outdir)), "Other")


def statements(stack: cdk.Stack) -> set[str]:
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    return {
        statement["Sid"]
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    }


def test_the_version_is_that_of_the_scripts_alone(stack: cdk.Stack, tmp_path: Path) -> None:
    # GIVEN scripts in two folders, beside a file that no job runs and one that is no script
    jobs = scripts(tmp_path / "jobs", train="a", definition="b")
    shared = scripts(tmp_path / "shared", words="c")
    (jobs / "MODEL_CARD.md").write_text("card", encoding="utf-8")
    (shared / "MODEL_CARD.md").write_text("a card of the same name", encoding="utf-8")
    version = code(stack, [jobs, shared], leave_out=["definition.py"]).version
    assert len(version) == 16

    # WHEN these two change THEN the version stays
    scripts(jobs, definition="other")
    (jobs / "MODEL_CARD.md").write_text("another card", encoding="utf-8")
    again = code(other_stack(tmp_path / "1"), [jobs, shared], leave_out=["definition.py"])
    assert again.version == version

    # WHEN a script changes THEN so does the version, which CloudFormation is told
    scripts(shared, words="other")
    changed = other_stack(tmp_path / "2")
    made = code(changed, [jobs, shared], leave_out=["definition.py"])
    assert made.version != version
    Template.from_stack(changed).has_resource_properties("Custom::JobCode", {"CodeVersion": made.version})


def test_the_function_carries_the_scripts_beside_its_own_code(stack: cdk.Stack, tmp_path: Path) -> None:
    # GIVEN scripts WHEN the app is synthesised
    code(stack, [scripts(tmp_path / "jobs", train="print()")])
    assembly = stack.node.root
    assert isinstance(assembly, cdk.App)
    folder = Path(assembly.synth().directory)

    # THEN one asset holds the function and, in a folder of their own, the scripts
    (asset,) = (one for one in folder.glob("asset.*") if (one / "install.py").is_file())
    assert (asset / "job_code" / "train.py").read_text(encoding="utf-8") == "print()"


@pytest.mark.parametrize("keep", [False, True])
def test_versions_go_with_a_stack_whose_data_go(stack: cdk.Stack, tmp_path: Path, keep: bool) -> None:
    code(stack, [scripts(tmp_path / "jobs", train="a")], keep=keep)
    assert ("RemoveVersions" in statements(stack)) is not keep
    Template.from_stack(stack).has_resource_properties(
        "Custom::JobCode", {"DeleteVersions": "false" if keep else "true"}
    )


def test_a_script_that_comes_twice_is_refused(stack: cdk.Stack, tmp_path: Path) -> None:
    folders = [scripts(tmp_path / name, train=name) for name in ("one", "two")]
    with pytest.raises(InvalidConfiguration, match=r"would hold train\.py twice"):
        code(stack, folders)


def test_folders_without_a_script_are_refused(stack: cdk.Stack, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidConfiguration, match=r"have no \*\.py files"):
        code(stack, [tmp_path / "empty"])


def test_no_folder_at_all_is_refused(stack: cdk.Stack) -> None:
    with pytest.raises(InvalidConfiguration, match="give at least one folder"):
        code(stack, [])
