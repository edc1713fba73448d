"""Legal names, and other rules for text that SageMaker puts on every resource."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from constructs import Construct

from .errors import Finding, Findings, InvalidConfiguration, is_token

MAX_NAME_LENGTH = 63
"""Characters in the name of a model, endpoint, endpoint configuration, variant or container hostname."""

NAME_PATTERN = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
"""API shapes EndpointName, EndpointConfigName, VariantName and ContainerHostname."""

MODEL_NAME_PATTERN = r"[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?"
"""API shapes ModelName and InferenceComponentName."""

ENVIRONMENT_KEY_PATTERN = r"[a-zA-Z_][a-zA-Z0-9_]*"
"""API shape EnvironmentKey."""

MAX_ENVIRONMENT_TEXT = 1024
"""Bytes in one environment key, and in one value (API shapes EnvironmentKey, EnvironmentValue)."""

MAX_ENVIRONMENT_ENTRIES = 100
"""Entries in one container's environment (API shape EnvironmentMap)."""

MAX_ENVIRONMENT_BYTES = 32 * 1024
"""Bytes in all keys and values, over all containers of one model (API ContainerDefinition.Environment)."""

RESERVED_ENVIRONMENT = frozenset(
    {"SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_SAFE_PORT_RANGE", "SAGEMAKER_BATCH", "SAGEMAKER_MULTI_MODEL"}
)
"""Variables that SageMaker sets itself; a model that sets them breaks the container contract."""

MAX_TAGS = 50
"""Tags on one resource (API shape TagList)."""

_HASH_LENGTH = 8
# API shapes TagKey and TagValue allow Unicode letters, digits and spaces; \w covers the first two and `_`.
_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")
_TAG_CHARACTERS = "letters, digits, spaces or any of _ . : / = + - @"


class NameKind(StrEnum):
    """What a name is for, in the words of the API."""

    MODEL = "model"
    ENDPOINT = "endpoint"
    ENDPOINT_CONFIG = "endpoint configuration"
    VARIANT = "variant"
    CONTAINER_HOSTNAME = "container hostname"


@dataclass(frozen=True)
class NameRule:
    """What a name of one kind may look like.

    Args:
        pattern: A regular expression for the whole name.
        max_length: Most characters.
        shape: The API shape that says so.
    """

    pattern: str
    max_length: int
    shape: str


NAME_RULES: Mapping[NameKind, NameRule] = {
    NameKind.MODEL: NameRule(MODEL_NAME_PATTERN, MAX_NAME_LENGTH, "API shape ModelName"),
    NameKind.ENDPOINT: NameRule(NAME_PATTERN, MAX_NAME_LENGTH, "API shape EndpointName"),
    NameKind.ENDPOINT_CONFIG: NameRule(NAME_PATTERN, MAX_NAME_LENGTH, "API shape EndpointConfigName"),
    NameKind.VARIANT: NameRule(NAME_PATTERN, MAX_NAME_LENGTH, "API shape VariantName"),
    NameKind.CONTAINER_HOSTNAME: NameRule(NAME_PATTERN, MAX_NAME_LENGTH, "API shape ContainerHostname"),
}
"""The rule for each kind of name."""


def check_name(findings: Findings, field: str, value: object, kind: NameKind) -> bool:
    """Note a finding unless a name is legal; tokens pass.

    Args:
        findings: Where to note it.
        field: The argument or property that holds the name.
        value: The name.
        kind: What it names.

    Returns:
        Whether the name passed.
    """
    rule = NAME_RULES[kind]

    def passes() -> bool:
        return (
            isinstance(value, str)
            and len(value) <= rule.max_length
            and re.fullmatch(rule.pattern, value, re.ASCII) is not None
        )

    usable = isinstance(value, str) and not is_token(value) and _slug(value)
    return findings.require(
        passes,
        field,
        value,
        f"a name of this kind ({kind.value}) has 1 to {rule.max_length} letters a-z A-Z, digits and hyphens, "
        f"with no hyphen at either end ({rule.shape})",
        f"use for example {stable_name(str(value), max_length=rule.max_length)!r}"
        if usable
        else f"give a text such as 'my-{kind.value.split()[-1]}'",
    )


def stable_name(*parts: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """A legal name made of parts, the same at every synth.

    The parts are joined by hyphens. A result that is legal stays as it is; one that is too long, or had to
    lose characters, ends in eight hexadecimal digits of the SHA-256 of the joined text, so that different
    texts keep different names.

    Args:
        parts: For example the stack's name and the endpoint's id; empty ones are left out.
        max_length: Most characters, 16 or more.

    Returns:
        A name that every kind in `NameKind` allows.

    Raises:
        InvalidConfiguration: There is no text to make a name of, or a part is not known before deployment.
        ValueError: ``max_length`` leaves no room for a prefix and the digits.
    """
    if max_length < 2 * _HASH_LENGTH:
        raise ValueError(f"max_length = {max_length}: must be {2 * _HASH_LENGTH} or more")
    text = "-".join(part for part in parts if part)
    if not text or is_token(text):
        rule = "a stable name needs text that is known at synth"
        fix = "give at least one part that is a plain string, not a CDK token"
        raise InvalidConfiguration("stable_name", [Finding("parts", parts, rule, fix)])
    slug = _slug(text)
    if slug == text and len(slug) <= max_length:
        return slug
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    prefix = slug[: max_length - _HASH_LENGTH - 1].rstrip("-")
    return f"{prefix}-{digits}" if prefix else digits


def free_id(scope: Construct, stem: str) -> str:
    """An id that no child of a construct has yet: ``Artifact``, ``Artifact2`` and so on.

    Args:
        scope: The construct that gets another child.
        stem: The first id to try.
    """
    number, id_ = 1, stem
    while scope.node.try_find_child(id_) is not None:
        number += 1
        id_ = f"{stem}{number}"
    return id_


def check_environment(
    findings: Findings, environments: Sequence[Mapping[str, str]], field: str = "environment"
) -> None:
    """Note a finding for every breach of the rules for environment variables.

    Args:
        findings: Where to note them.
        environments: One mapping for each container of the model; values may be tokens.
        field: The argument that holds the environment; with several containers the findings say
            ``containers[i].environment``.
    """
    total = 0
    for index, environment in enumerate(environments):
        where = field if len(environments) == 1 else f"containers[{index}].{field}"
        findings.require(
            len(environment) <= MAX_ENVIRONMENT_ENTRIES,
            where,
            f"{len(environment)} entries",
            f"at most {MAX_ENVIRONMENT_ENTRIES} entries (API shape EnvironmentMap)",
            "put the settings into a file of the model artifact",
        )
        for key, value in environment.items():
            _check_environment_entry(findings, f"{where}[{key!r}]", key, value)
            total += _known_bytes(key) + _known_bytes(value)
    findings.require(
        total <= MAX_ENVIRONMENT_BYTES,
        field,
        f"{total} bytes",
        f"all keys and values of all containers of one model take at most {MAX_ENVIRONMENT_BYTES} bytes "
        "(API member ContainerDefinition.Environment)",
        "put the settings into a file of the model artifact",
    )


def check_tags(findings: Findings, tags: Mapping[str, str], field: str = "tags") -> None:
    """Note a finding for every breach of the rules for tags (API shapes TagList, TagKey, TagValue).

    Args:
        findings: Where to note them.
        tags: Key to value.
        field: The argument that holds the tags.
    """
    findings.require(
        len(tags) <= MAX_TAGS,
        field,
        f"{len(tags)} tags",
        f"a resource has at most {MAX_TAGS} tags (API shape TagList)",
        f"remove {len(tags) - MAX_TAGS}",
    )
    for key, value in tags.items():
        findings.require(
            is_token(key) or (1 <= len(key) <= 128 and _is_tag_text(key) and not key.startswith("aws:")),
            f"{field}[{key!r}]",
            key,
            f"a tag's key has 1 to 128 characters, {_TAG_CHARACTERS}, and does not start with 'aws:' "
            "(API shape TagKey)",
            "change the key",
        )
        findings.require(
            is_token(value) or (len(value) <= 256 and _is_tag_text(value)),
            f"{field}[{key!r}]",
            value,
            f"a tag's value has at most 256 characters, {_TAG_CHARACTERS} (API shape TagValue)",
            "change the value",
        )


def _is_tag_text(text: str) -> bool:
    return _TAG_TEXT.fullmatch(text) is not None


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9-]+", "-", text).strip("-")


def _known_bytes(text: object) -> int:
    return len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) and not is_token(text) else 0


def _check_environment_entry(findings: Findings, field: str, key: object, value: object) -> None:
    findings.require(
        lambda: (
            isinstance(key, str)
            and _known_bytes(key) <= MAX_ENVIRONMENT_TEXT
            and re.fullmatch(ENVIRONMENT_KEY_PATTERN, key, re.ASCII) is not None
        ),
        field,
        key,
        f"a variable's name has 1 to {MAX_ENVIRONMENT_TEXT} letters a-z A-Z, digits and underscores and does "
        "not start with a digit (API shape EnvironmentKey)",
        "rename it",
    )
    findings.require(
        key not in RESERVED_ENVIRONMENT,
        field,
        key,
        "SageMaker sets this variable itself",
        "remove it",
    )
    findings.require(
        lambda: isinstance(value, str) and _known_bytes(value) <= MAX_ENVIRONMENT_TEXT,
        field,
        value
        if not isinstance(value, str) or len(value) < 80
        else f"{value[:60]}... ({_known_bytes(value)} bytes)",
        f"a variable's value is a text of at most {MAX_ENVIRONMENT_TEXT} bytes (API shape EnvironmentValue)",
        "give a text, or put a long one into a file of the model artifact",
    )
