"""Models that a configuration names: where they are taken, what they bring along, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import Configuration, load

CONFIG = Path(__file__).resolve().parents[2] / "config"
MINE = """
container:
  directory: model_code/mine
  framework: pytorch
  framework_version: 2.6.0
  startup_timeout_seconds: 700
  least_memory_mb: 3000
function:
  directory: model_code/lambda_mine
  least_memory_mb: 2000
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The committed configuration and a model of one's own."""
    copy = tmp_path / "config"
    shutil.copytree(CONFIG, copy)
    (copy / "models" / "mine.yaml").write_text(MINE, encoding="utf-8")
    (copy / "models" / "only-function.yaml").write_text("function: {directory: here}\n", encoding="utf-8")
    return copy


def patterns(folder: Path, **given: str) -> Any:
    context = {f"patterns.{key.replace('__', '.').replace('_', '-')}": value for key, value in given.items()}
    made: Configuration = load("dev", folder, context)
    return made.patterns


def refusal(folder: Path, **context: str) -> str:
    with pytest.raises(InvalidConfiguration) as refused:
        load("dev", folder, {key.replace("__", "."): value for key, value in context.items()})
    return str(refused.value)


@pytest.mark.parametrize("pattern", ["realtime", "batch"])
def test_a_name_is_what_its_file_says(folder: Path, pattern: str) -> None:
    model = getattr(patterns(folder, **{f"{pattern}__model": "mine"}), pattern).model
    assert (model.directory, model.framework) == ("model_code/mine", "pytorch")
    assert model.startup_timeout_seconds == 700


def test_variants_a_shadow_and_versions_take_names_too(folder: Path) -> None:
    context = {
        "patterns.ab-test.shadow": "{instance_type: ml.m5.large, model: mine}",
        "patterns.ab-test.variants": "{only: {instance_type: ml.m5.large, model: mine}}",
        "patterns.blue-green.versions.v4": "mine",
        "patterns.blue-green.version": "v4",
    }
    made: Any = load("dev", folder, context).patterns
    assert made.ab_test.shadow.model.directory == "model_code/mine"
    assert made.ab_test.variants["only"].model.directory == "model_code/mine"
    assert made.blue_green.versions["v4"].directory == "model_code/mine"


def test_keys_of_a_named_model_can_be_changed(folder: Path) -> None:
    path = folder / "dev.yaml"
    text = path.read_text(encoding="utf-8")
    start = text.index("    model:\n")
    end = text.index("    endpoint:\n")
    path.write_text(f"{text[:start]}    model: mine\n{text[end:]}", encoding="utf-8")
    made: Any = load("dev", folder, {"patterns.realtime.model.framework_version": "2.5.1"}).patterns
    assert made.realtime.model.directory == "model_code/mine"
    assert made.realtime.model.framework_version == "2.5.1"


def test_a_model_is_named_and_changed_in_one_command(folder: Path) -> None:
    context = {"patterns.realtime.model": "mine", "patterns.realtime.model.directory": "elsewhere"}
    made: Any = load("dev", folder, context).patterns
    assert made.realtime.model.directory == "elsewhere"
    assert made.realtime.model.framework == "pytorch"


def test_the_time_to_start_is_taken_over_unless_the_pattern_says_its_own(folder: Path) -> None:
    realtime = patterns(folder, realtime__model="mine").realtime
    needed = realtime.model.startup_timeout_seconds
    assert realtime.endpoint.starting_within(needed).build().container_startup_timeout.to_seconds() == 700
    own = {"realtime__model": "mine", "realtime__endpoint__container_startup_timeout_seconds": "900"}
    made: Any = load(
        "dev", folder, {f"patterns.{key.replace('__', '.')}": value for key, value in own.items()}
    )
    endpoint = made.patterns.realtime.endpoint
    assert endpoint.starting_within(700).build().container_startup_timeout.to_seconds() == 900


def test_too_little_memory_is_refused_where_it_can_be_chosen(folder: Path) -> None:
    text = refusal(folder, patterns__serverless__model="mine", patterns__lambda__model="mine")
    assert "patterns.serverless.serverless.memory_mb = 2048: the model needs 3000 MB at least" in text
    assert "patterns.lambda.function.memory_mb = 1024: the model needs 2000 MB at least" in text


def test_a_name_that_nobody_described_is_refused_with_those_that_are(folder: Path) -> None:
    text = refusal(folder, patterns__realtime__model="koelektra", patterns__lambda__model="nothing")
    assert "patterns.realtime.model = 'koelektra'" in text
    assert "use one of koelectra, mine, only-function, sentiment" in text
    assert "patterns.lambda.model = 'nothing'" in text


def test_a_model_for_functions_only_runs_in_no_container(folder: Path) -> None:
    text = refusal(folder, patterns__realtime__model="only-function")
    assert "config/models/only-function.yaml has no section container" in text


def test_a_file_that_is_no_yaml_is_told_with_its_line(folder: Path) -> None:
    (folder / "models" / "broken.yaml").write_text("container: [", encoding="utf-8")
    assert "config/broken.yaml" in refusal(folder, patterns__realtime__model="broken")


def test_the_committed_names_fit_every_pattern_that_takes_one() -> None:
    for name in ("sentiment", "koelectra"):
        context = {
            "patterns.realtime.model": name,
            "patterns.serverless.model": name,
            "patterns.batch.model": name,
            "patterns.lambda.model": name,
            "patterns.ab-test.variants.challenger.model": name,
            "patterns.blue-green.versions.v4": name,
        }
        for environment in ("dev", "prod"):
            load(environment, CONFIG, context)
