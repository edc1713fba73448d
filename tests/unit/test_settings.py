"""Configuration files: what they become, and what is said of mistakes in them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagemaker_serving.deployment import AllAtOnce, Canary, Linear, Rolling
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import DockerfileImage, EcrImage, FrameworkImage
from sagemaker_serving.instances import InstanceType
from stacks.configuration import Configuration, load
from stacks.model_settings import ModelSettings
from stacks.realtime_inference import RealtimeSettings
from stacks.registry import PATTERNS
from stacks.settings import DeploymentSettings

CONFIG = Path(__file__).resolve().parents[2] / "config"
GOOD: dict[str, Any] = yaml.safe_load((CONFIG / "dev.yaml").read_text(encoding="utf-8"))
Message = Callable[[Any], str]


@pytest.fixture
def message(tmp_path: Path) -> Message:
    """What is said of a document."""

    def read(document: Any) -> str:
        text = document if isinstance(document, str) else yaml.safe_dump(document)
        (tmp_path / "dev.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(InvalidConfiguration) as caught:
            load("dev", tmp_path)
        return str(caught.value)

    return read


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good configuration with one key set to something else."""
    document = copy.deepcopy(GOOD)
    *way, key = path.split(".")
    section = document
    for step in way:
        section = section[step]
    section[key] = value
    return document


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_committed_configurations_are_good(environment: str) -> None:
    enabled = [name for name, _ in load(environment, CONFIG).enabled()]
    assert enabled == list(PATTERNS)


def test_pattern_is_left_out_when_it_is_off_or_not_there(tmp_path: Path) -> None:
    for document in (changed("patterns.realtime.enabled", False), changed("patterns", {})):
        (tmp_path / "dev.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        assert "realtime" not in dict(load("dev", tmp_path).enabled())


def test_account_and_region_come_from_the_cli_unless_the_file_names_them(tmp_path: Path) -> None:
    configuration = load("dev", CONFIG)
    target = configuration.target("dev", root=tmp_path, account="111122223333", region="us-east-1")
    assert (target.account, target.region) == ("111122223333", "us-east-1")
    named = Configuration.model_validate({**GOOD, "account": "444455556666", "region": "eu-west-1"})
    target = named.target("dev", root=tmp_path, account="111122223333", region="us-east-1")
    assert (target.account, target.region) == ("444455556666", "eu-west-1")


def test_prod_is_safer_than_dev() -> None:
    dev, prod = (load(name, CONFIG) for name in ("dev", "prod"))
    assert (dev.data.keep, prod.data.keep) == (False, True)
    assert (dev.termination_protection, prod.termination_protection) == (False, True)
    realtime = {name: dict(loaded.enabled())["realtime"] for name, loaded in (("dev", dev), ("prod", prod))}
    for settings_ in realtime.values():
        assert isinstance(settings_, RealtimeSettings)
    assert realtime["dev"].endpoint.instance_count == 1
    assert realtime["prod"].endpoint.instance_count >= 2
    assert realtime["prod"].deployment.strategy == "canary"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("patterns.realtime.endpoint.instance_cout", 2, "did you mean instance_count"),
        ("patterns.realtme", {}, "did you mean realtime"),
        ("patterns.realtime.endpoint.instance_count", "2", "must be a valid integer"),
        ("patterns.realtime.endpoint.instance_count", 0, "whole number of at least 1"),
        ("patterns.realtime.endpoint.instance_type", "ml.m5.lrge", "did you mean ml.m5.large"),
        ("patterns.realtime.endpoint.container_startup_timeout_seconds", 30, "60 to 3600 s"),
        ("patterns.realtime.model.directory", None, "either a directory or an s3_uri"),
        ("patterns.realtime.model.framework", "sklearn", "did you mean scikit-learn"),
        (
            "patterns.realtime.model.framework_version",
            None,
            "and framework belong together",
        ),
        ("patterns.realtime.model.ecr_tag", "1.0", "ecr_tag and ecr_repository belong together"),
        ("patterns.realtime.model.dockerfile_directory", "here", "give exactly one of the three"),
        ("patterns.realtime.model.framework_version", 1.4, "put it in quotes"),
        ("patterns.realtime.model.framework_version", "9.9", "AWS offers no such"),
        ("patterns.realtime.model.environment", {"A": 1}, "patterns.realtime.model.environment.A = 1"),
        ("patterns.realtime.model.vpc", {"subnet_ids": [], "security_group_ids": ["sg-1"]}, "1 to 16"),
        ("patterns.realtime.scaling.min_instances", 3, "patterns.realtime.scaling.max_instances = 2"),
        ("patterns.realtime.scaling.invocations_per_instance_per_minute", 0, "above 0"),
        ("patterns.realtime.scaling.scale_in_cooldown_seconds", -1, "greater than or equal to 0"),
        ("patterns.realtime.deployment.bake_seconds", 5000, "0 to 3600 s"),
        ("patterns.realtime.deployment.strategy", "cannary", "did you mean canary"),
        ("patterns.realtime.deployment.step_percent", 50, "moves all traffic in one step"),
        ("patterns.realtime.alarms.server_error_rate", 5, "less than or equal to 1"),
        ("patterns.realtime.alarms.idle_hours", 200, "from 1 to 168"),
        ("patterns.realtime.alarms.evaluation_minutes", 0, "alarms.evaluation_minutes = 0"),
        ("patterns.realtime.data_capture.sampling_percentage", 101, "less than or equal to 100"),
        ("patterns.realtime", 3, "patterns.realtime = 3: must be keys with values"),
        ("account", 123456789012, 'write for example "123456789012"'),
        ("region", "seoul", "write for example ap-northeast-2"),
        ("alarm_emails", ["nobody"], "alarm_emails[0] = 'nobody'"),
        ("data.keep", "yes", "must be true or false"),
        ("data.log_retention_days", 8, "data.log_retention_days = 8"),
        ("data.retention_days", 0, "data.retention_days = 0"),
    ],
)
def test_one_message_names_file_path_value_and_what_is_allowed(
    message: Message, path: str, value: Any, said: str
) -> None:
    text = message(changed(path, value))
    assert "/dev.yaml: 1 problem\n" in text
    assert path.rpartition(".")[0] in text
    assert said in text


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("endpoint.instance_count", 5, "patterns.realtime.scaling = '1 to 2'"),
        ("endpoint.instance_type", "ml.t2.large", "burstable"),
        ("endpoint.instance_type", "ml.c7g.large", "patterns.realtime.endpoint.instance_type = 'graviton'"),
        (
            "deployment",
            {"strategy": "canary", "bake_seconds": 120, "step_instances": 1},
            "patterns.realtime.deployment.step_instances = '1 instance'",
        ),
    ],
)
def test_sections_that_do_not_fit_together_are_told(
    message: Message, path: str, value: Any, said: str
) -> None:
    assert said in message(changed(f"patterns.realtime.{path}", value))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"framework": "xgboost", "framework_version": "3.2-0"}, FrameworkImage),
        ({"ecr_repository": "reviews", "ecr_tag": "1.0.3"}, EcrImage),
        ({"dockerfile_directory": "container"}, DockerfileImage),
    ],
)
def test_the_image_is_of_a_framework_from_ecr_or_built(
    tmp_path: Path, stack: cdk.Stack, image: dict[str, str], expected: type
) -> None:
    # GIVEN a model that brings its data along, unless the image is AWS's
    (tmp_path / "container").mkdir()
    (tmp_path / "container" / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    data = {"s3_uri": "s3://models/reviews.tar.gz"} if "framework" in image else {}
    # WHEN it is made for an instance
    container = ModelSettings(**image, **data).container(stack, tmp_path, InstanceType("ml.m5.large"))
    # THEN the image is of that kind
    assert isinstance(container.image, expected)
    assert (container.artifact is None) == (not data)


def test_missing_key_is_named(message: Message) -> None:
    document = copy.deepcopy(GOOD)
    del document["patterns"]["realtime"]["deployment"]["bake_seconds"]
    assert "patterns.realtime.deployment.bake_seconds = None: is needed" in message(document)


def test_mistakes_are_told_together_even_behind_one_another(message: Message) -> None:
    # GIVEN a mistyped key and wrong types, in sections whose other values the library refuses
    document = changed("patterns.realtime.endpoint", {"instance_type": "ml.m5.lrge", "instance_cout": 2})
    document["patterns"]["realtime"]["alarms"] = {"server_error_rate": 5, "evaluation_minutes": 0}
    document["region"] = "seoul"
    text = message(document)
    assert "5 problems" in text
    for path in (
        "region",
        "patterns.realtime.endpoint.instance_cout",
        "patterns.realtime.endpoint.instance_type",
        "patterns.realtime.alarms.server_error_rate",
        "patterns.realtime.alarms.evaluation_minutes",
    ):
        assert f"- {path} = " in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1,\nc: 2\n", "line 4"),
        ("data: {keep: true}\ndata: {keep: false}\n", "the key 'data' is in line 1 already"),
        ("data: !!python/object/apply:os.getpid []\n", "line 1"),
        ("- a\n", "must be keys with values"),
        ("", "must be keys with values"),
    ],
)
def test_what_is_not_yaml_or_no_mapping_is_told_with_its_line(message: Message, text: str, said: str) -> None:
    assert said in message(text)


def test_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_bytes("이름: 값".encode("utf-16"))
    with pytest.raises(InvalidConfiguration, match="UTF-8"):
        load("dev", tmp_path)


@pytest.mark.parametrize(("name", "fix"), [("devv", "did you mean dev"), ("../config/dev", "dev")])
def test_unknown_environment_lists_those_there_are(name: str, fix: str) -> None:
    with pytest.raises(InvalidConfiguration, match="dev, prod") as caught:
        load(name, CONFIG)
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"strategy": "all_at_once", "bake_seconds": 0}, AllAtOnce),
        ({"strategy": "canary", "bake_seconds": 60, "step_instances": 1}, Canary),
        ({"strategy": "linear", "bake_seconds": 60, "step_percent": 50}, Linear),
        ({"strategy": "rolling", "bake_seconds": 60, "step_percent": 50}, Rolling),
    ],
)
def test_each_strategy_becomes_its_policy(document: dict[str, Any], kind: type) -> None:
    assert type(DeploymentSettings.model_validate(document).build()) is kind


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"strategy": "canary", "bake_seconds": 60}, "needs either step_instances or step_percent"),
        (
            {"strategy": "canary", "bake_seconds": 60, "step_percent": 5, "step_instances": 1},
            "needs either step_instances or step_percent",
        ),
        (
            {
                "strategy": "rolling",
                "bake_seconds": 60,
                "step_percent": 50,
                "termination_wait_seconds": 60,
            },
            "no old fleet waits",
        ),
        ({"strategy": "canary", "bake_seconds": 60, "step_percent": 80}, "step_percent = '80 %'"),
        (
            {
                "strategy": "canary",
                "bake_seconds": 400,
                "step_percent": 50,
                "maximum_execution_timeout_seconds": 700,
            },
            "maximum_execution_timeout_seconds",
        ),
    ],
)
def test_refuses_a_deployment_that_sagemaker_refuses(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DeploymentSettings.model_validate(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(
    [
        f"patterns.realtime.{section}.{key}"
        for section, keys in GOOD["patterns"]["realtime"].items()
        if isinstance(keys, dict)
        for key in keys
    ]
    + ["patterns", "patterns.realtime", "data", "data.keep", "account", "region", "alarm_emails"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=PATHS, value=JSON)
def test_anything_anywhere_is_either_good_or_told(tmp_path: Path, path: str, value: Any) -> None:
    (tmp_path / "dev.yaml").write_text(yaml.safe_dump(changed(path, value)), encoding="utf-8")
    with contextlib.suppress(InvalidConfiguration):
        load("dev", tmp_path)
