"""Settings on the command line: what is removed, what is mistyped, and that nothing else can come of them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import Configuration, load

CONFIG = Path(__file__).resolve().parents[2] / "config"


def read(**paths: str) -> Configuration:
    """The dev configuration with settings on the command line, as it passes them: texts."""
    return load("dev", CONFIG, paths)


def refusal(paths: dict[str, str]) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        read(**paths)
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "patterns.ab-test.shadow",
        "patterns.realtime.model.vpc",
        "patterns.blue-green.scaling.min_instances",
        "patterns.realtime",
        "region",
    ],
)
def test_an_optional_key_can_be_removed_whether_it_is_there_or_not(path: str) -> None:
    # GIVEN one of the configuration's own keys WHEN it is removed twice over THEN that is no mistake
    removed = read(**{path: "null"})
    assert removed == read(**{path: "~"})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("patterns.ab-test.variants.chalenger", ["variants.chalenger", "did you mean challenger"]),
        (
            "patterns.ab-test.variants.challenger.model.environment.THREADS",
            ["there is no", "model.environment to remove"],
        ),
        ("patterns.bleu-green.versions.v2", ["there is no patterns.bleu-green", "did you mean blue-green"]),
        ("patterns.blue-green.endpoint.instance_cout", ["did you mean instance_count"]),
        ("patterns.blue-green.version.v2", ["patterns.blue-green.version is 'v1' and has no keys"]),
    ],
)
def test_removing_what_is_not_there_is_told(path: str, words: list[str]) -> None:
    # GIVEN a path to nothing WHEN it is removed THEN that does not pass for a removal
    said = refusal({path: "null"})
    assert "the command line (-c): 1 problem" in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("pattern.blue-green.version", "did you mean patterns.blue-green.version"),
        ("Patterns.realtime.enabled", "did you mean patterns.realtime.enabled"),
        ("termination_protecton", "did you mean termination_protection"),
    ],
)
def test_a_mistyped_first_key_is_not_taken_for_context_of_somebody_else(key: str, fix: str) -> None:
    assert fix in refusal({key: "v2"})


def test_all_that_is_wrong_on_the_command_line_is_told_at_once() -> None:
    said = refusal({"pattern.realtime.enabled": "false", "patterns..x": "1", "patterns.realtime": "[1"})
    assert "3 problems" in said


def test_a_section_and_its_keys_can_be_given_together() -> None:
    # GIVEN a key, and after it the section that holds it
    deployment = dict(
        read(
            **{
                "patterns.blue-green.deployment.bake_seconds": "90",
                "patterns.blue-green.deployment": "{strategy: all_at_once, bake_seconds: 60}",
            }
        ).enabled()
    )["blue-green"].deployment
    # THEN the section replaces the file's, and the key goes into it
    assert (deployment.strategy, deployment.bake_seconds) == ("all_at_once", 90)
    assert deployment.step_instances is None


def test_an_entry_that_is_wrong_does_not_make_the_key_that_names_it_wrong() -> None:
    # GIVEN a version with two images, which is the one that serves
    said = refusal({"patterns.blue-green.versions.v1.ecr_repository": "reviews"})
    # THEN the version is wrong, and not that it is chosen
    assert "patterns.blue-green.versions.v1.framework" in said
    assert "is none of the versions" not in said


def test_a_file_without_keys_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("- a\n", encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match="must be keys with values"):
        load("dev", tmp_path, {"patterns.realtime.enabled": "false"})


def test_the_file_itself_stays_as_it_is() -> None:
    before = (CONFIG / "dev.yaml").read_bytes()
    read(**{"patterns.blue-green.version": "v2"})
    assert (CONFIG / "dev.yaml").read_bytes() == before


def paths_of(document: dict[str, Any], prefix: str = "") -> list[str]:
    """Every path into a document."""
    found = []
    for key, value in document.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += paths_of(value, f"{prefix}{key}.")
    return found


PATHS = st.sampled_from(paths_of(yaml.safe_load((CONFIG / "dev.yaml").read_text(encoding="utf-8"))))
STEPS = st.sampled_from(["", ".x", ".0", "."])
VALUES = st.sampled_from(["null", "0", "-1", "1.5", "true", "v2", "[]", "{}", "{a: 1}", "{1: 2}", "[", ""])


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.builds(str.__add__, PATHS, STEPS), VALUES, max_size=3))
def test_anything_on_the_command_line_is_either_good_or_told(paths: dict[str, str]) -> None:
    with contextlib.suppress(InvalidConfiguration):
        read(**paths)
