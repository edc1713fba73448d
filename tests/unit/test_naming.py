"""Names, environment variables and tags: what SageMaker takes, and what is said about the rest."""

from __future__ import annotations

import re

import aws_cdk as cdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.naming import (
    MAX_NAME_LENGTH,
    NAME_RULES,
    NameKind,
    check_environment,
    check_name,
    check_tags,
    stable_name,
)

LEGAL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", fullmatch=True)


def messages(findings: Findings) -> str:
    return "\n".join(str(finding) for finding in findings.found)


@pytest.mark.parametrize("kind", list(NameKind))
@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a_b", "a.b", "a b", "감성", "a" * 64, "a\n", None, 7], ids=repr
)
def test_an_illegal_name_is_a_finding_that_names_the_rule(kind: NameKind, name: object) -> None:
    findings = Findings("test")
    assert not check_name(findings, "name", name, kind)
    assert f"({kind.value}) has 1 to 63" in messages(findings)
    assert NAME_RULES[kind].shape in messages(findings)


@pytest.mark.parametrize("kind", list(NameKind))
@settings(deadline=None)
@given(name=LEGAL)
def test_a_legal_name_passes(kind: NameKind, name: str) -> None:
    findings = Findings("test")
    assert check_name(findings, "name", name, kind)
    assert findings.found == []


def test_hyphens_may_follow_each_other_within_a_name() -> None:
    findings = Findings("test")
    assert check_name(findings, "name", "a----b", NameKind.ENDPOINT)


def test_a_token_is_not_checked() -> None:
    findings = Findings("test")
    assert check_name(findings, "name", cdk.Aws.STACK_NAME, NameKind.ENDPOINT)


def test_the_fix_is_itself_a_legal_name() -> None:
    findings = Findings("test")
    check_name(findings, "name", "my_model.v2", NameKind.VARIANT)
    [suggested] = re.findall(r"'([^']+)'$", findings.found[0].fix)
    assert check_name(Findings("test"), "name", suggested, NameKind.VARIANT)


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1), st.integers(16, 63))
def test_a_stable_name_is_legal_within_its_length_and_always_the_same(parts: list[str], length: int) -> None:
    if not "".join(parts) or "${Token[" in "-".join(parts):
        return
    name = stable_name(*parts, max_length=length)
    assert 1 <= len(name) <= length
    assert all(check_name(Findings("test"), "name", name, kind) for kind in NameKind)
    assert name == stable_name(*parts, max_length=length)


@settings(deadline=None)
@given(LEGAL)
def test_a_legal_text_stays_as_it_is(name: str) -> None:
    assert stable_name(name) == name
    assert stable_name(stable_name(name)) == name


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_different_texts_keep_different_names(one: str, other: str) -> None:
    if one != other and "${Token[" not in one + other:
        assert stable_name(one) != stable_name(other)


def test_long_texts_that_differ_at_the_end_keep_different_names() -> None:
    names = {stable_name("x" * 80 + str(number)) for number in range(50)}
    assert len(names) == 50
    assert {len(name) for name in names} == {MAX_NAME_LENGTH}


def test_parts_are_joined_and_empty_ones_left_out() -> None:
    assert stable_name("RealtimeInference", "", "sentiment") == "RealtimeInference-sentiment"


@pytest.mark.parametrize("parts", [(), ("",), (cdk.Aws.STACK_NAME, "x")], ids=["none", "empty", "token"])
def test_a_stable_name_needs_text_known_at_synth(parts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidConfiguration, match="needs text that is known at synth"):
        stable_name(*parts)


def test_a_length_without_room_for_the_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 16 or more"):
        stable_name("x", max_length=15)


def test_a_good_environment_has_no_findings() -> None:
    findings = Findings("test")
    check_environment(findings, [{"SAGEMAKER_PROGRAM": "inference.py", "_x1": "", "REGION": cdk.Aws.REGION}])
    assert findings.found == []


@pytest.mark.parametrize("key", ["", "1A", "A-B", "A B", "Ä", "K" * 1025], ids=lambda key: key[:5])
def test_an_illegal_variable_name_is_a_finding(key: str) -> None:
    findings = Findings("test")
    check_environment(findings, [{key: "x"}])
    assert "a variable's name has 1 to 1024" in messages(findings)


@pytest.mark.parametrize(
    "key",
    ["SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_SAFE_PORT_RANGE", "SAGEMAKER_BATCH", "SAGEMAKER_MULTI_MODEL"],
)
def test_a_variable_that_sagemaker_sets_is_refused(key: str) -> None:
    findings = Findings("test")
    check_environment(findings, [{key: "8080"}])
    assert "SageMaker sets this variable itself. Fix: remove it" in messages(findings)


@pytest.mark.parametrize(
    "value", ["v" * 1025, "가" * 342, 5], ids=["ascii", "bytes not characters", "number"]
)
def test_a_value_that_is_too_long_or_no_text_is_a_finding(value: str) -> None:
    findings = Findings("test")
    check_environment(findings, [{"A": value}])
    assert "a text of at most 1024 bytes" in messages(findings)


def test_the_101st_entry_of_one_container_is_too_many() -> None:
    def entries(count: int) -> dict[str, str]:
        return {f"K{number}": "v" for number in range(count)}

    findings = Findings("test")
    check_environment(findings, [entries(100), entries(100)])
    assert findings.found == []
    check_environment(findings, [entries(100), entries(101)])
    assert "containers[1].environment = '101 entries': at most 100 entries" in messages(findings)


def test_the_size_is_counted_over_all_containers() -> None:
    # 32 entries of 8 + 1016 bytes are exactly 32 KiB
    full = {f"KEY{number:05}": "v" * 1016 for number in range(32)}
    findings = Findings("test")
    check_environment(findings, [full])
    assert findings.found == []
    check_environment(findings, [full, {"A": ""}])
    assert "32769 bytes" in messages(findings)
    assert "at most 32768 bytes" in messages(findings)


def test_all_that_is_wrong_with_an_environment_is_said_at_once() -> None:
    findings = Findings("test")
    check_environment(findings, [{"1": "x", "SAGEMAKER_BATCH": "true", "LONG": "v" * 2000}])
    assert len(findings.found) == 3


def test_good_tags_have_no_findings() -> None:
    findings = Findings("test")
    check_tags(findings, {"sagemaker-serving:pattern": "realtime", "팀": "감성 분석", "empty": ""})
    assert findings.found == []


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({f"k{number}": "v" for number in range(51)}, "at most 50 tags"),
        ({"": "v"}, "a tag's key has 1 to 128"),
        ({"k" * 129: "v"}, "a tag's key has 1 to 128"),
        ({"a*": "v"}, "a tag's key has 1 to 128"),
        ({"aws:team": "v"}, "does not start with 'aws:'"),
        ({"k": "v" * 257}, "a tag's value has at most 256"),
        ({"k": "a?b"}, "a tag's value has at most 256"),
    ],
    ids=["count", "empty", "long key", "key text", "reserved", "long value", "value text"],
)
def test_an_illegal_tag_is_a_finding(tags: dict[str, str], message: str) -> None:
    findings = Findings("test")
    check_tags(findings, tags)
    assert message in messages(findings)
