"""What an instance type is and can do, as far as its name and the API tell."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import ClassVar

from .errors import Findings, is_token
from .limits import suggest

# Local disks where the name does not say so with a `d`. Those in the second set have them too, but whether
# SageMaker then refuses a volume size is not documented, so a volume there is a warning and not an error.
_LOCAL_STORAGE = frozenset({"g5"})
_LOCAL_STORAGE_UNSURE = frozenset(
    {"g6", "g6e", "g7", "g7e", "p5", "p5e", "p5en", "p6", "p6e", "trn1", "trn1n", "trn2", "inf2", "dl1"}
)
_RETIRED = frozenset({"inf1", "p2", "p3", "c4", "m4", "t2"})
_NAME = re.compile(
    r"ml\.(?P<letters>[a-z]+)(?P<generation>\d+)(?P<options>[a-z]*)(?:-[a-z0-9]+)?\.(?P<size>[a-z0-9]+)"
)


class Architecture(StrEnum):
    """The processor architecture that an image must be built for."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


class Accelerator(StrEnum):
    """What computes beside the processor."""

    NONE = "none"
    GPU = "gpu"
    NEURON = "neuron"
    GAUDI = "gaudi"


@dataclass(frozen=True)
class InstanceType:
    """An endpoint's instance type, for example ``ml.c7g.large``.

    A CDK token is accepted; nothing is known about it, so it passes every check.

    Args:
        name: One of the API's enumeration ProductionVariantInstanceType.

    Attributes:
        enumeration: The API's enumeration that has the name.
        purpose: What the enumeration is for.
        family: For example ``c7g``, or ``p6-b200``; empty for a token.
        size: For example ``large``; empty for a token.
        architecture: What an image must be built for; None for a token.
        accelerator: GPU, Neuron, Gaudi, none; None for a token.
        is_burstable: The t families; Application Auto Scaling does not work on them.
        has_local_storage: The instance brings its own disk.
        supports_volume_size: Whether a variant may ask for a volume: False where the disk is the instance's
            own, None where AWS does not say.
        is_retired: Previous generation or end of life: still in the API, often without capacity.

    Raises:
        InvalidConfiguration: The API does not know the name.
    """

    enumeration: ClassVar[str] = "ProductionVariantInstanceType"
    purpose: ClassVar[str] = "endpoints"

    name: str
    family: str = field(init=False, repr=False, compare=False)
    size: str = field(init=False, repr=False, compare=False)
    architecture: Architecture | None = field(init=False, repr=False, compare=False)
    accelerator: Accelerator | None = field(init=False, repr=False, compare=False)
    is_burstable: bool = field(init=False, repr=False, compare=False)
    has_local_storage: bool = field(init=False, repr=False, compare=False)
    supports_volume_size: bool | None = field(init=False, repr=False, compare=False)
    is_retired: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        findings = Findings("InstanceType")
        names = known_instance_types(self.enumeration)
        known = is_token(self.name) or (isinstance(self.name, str) and self.name in names)
        if not known:  # looking for close matches takes milliseconds, so only then
            findings.require(
                False,
                "instance_type",
                self.name,
                f"is not an instance type that SageMaker offers for {self.purpose} "
                f"(API enumeration {self.enumeration})",
                _fix(self.name, names),
            )
        findings.raise_if_any()
        for attribute, value in _traits(self.name).items():
            object.__setattr__(self, attribute, value)

    def __str__(self) -> str:
        return self.name

    @property
    def supports_deployment_guardrails(self) -> bool:
        """False for Inf1: SageMaker then silently updates all at once, without a bake."""
        return self.family != "inf1"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        if not self.is_retired:
            return ()
        return (
            f"{self.name} is of a previous generation: SageMaker still lists it, but capacity is often "
            "missing. Choose a current family, for example ml.m7i, ml.c7g or ml.g6.",
        )


class TransformInstanceType(InstanceType):
    """A transform job's instance type, for example ``ml.m5.xlarge``; see `InstanceType`.

    There is no Graviton among them, and fewer families than for endpoints.

    Args:
        name: One of the API's enumeration TransformInstanceType.

    Raises:
        InvalidConfiguration: The API does not know the name.
    """

    enumeration: ClassVar[str] = "TransformInstanceType"
    purpose: ClassVar[str] = "transform jobs"


@cache
def known_instance_types(enumeration: str = InstanceType.enumeration) -> frozenset[str]:
    """One of the API's enumerations of instance types, from the committed table.

    Args:
        enumeration: Its name.
    """
    table = json.loads(
        resources.files(__package__).joinpath("instance_types.json").read_text(encoding="utf-8")
    )
    return frozenset(table[enumeration])


def _fix(name: object, names: frozenset[str]) -> str:
    text = str(name)
    if ".eia" in text:
        return "Elastic Inference has ended; choose a GPU or Inferentia2 instance, such as ml.inf2.xlarge"
    if not text.startswith("ml."):
        text = f"ml.{text}"
    return suggest(text, sorted(names))


def _traits(name: str) -> dict[str, object]:
    matched = None if is_token(name) else _NAME.fullmatch(name)
    if matched is None:
        return {
            "family": "",
            "size": "",
            "architecture": None,
            "accelerator": None,
            "is_burstable": False,
            "has_local_storage": False,
            "supports_volume_size": None,
            "is_retired": False,
        }
    letters, options = matched["letters"], matched["options"]
    plain_family = f"{letters}{matched['generation']}{options}"
    family = name.split(".")[1]
    named_local = "d" in options or plain_family in _LOCAL_STORAGE
    unsure = plain_family in _LOCAL_STORAGE_UNSURE
    # The `g` option is Graviton; GB200 couples a Grace (Arm) processor with its GPUs.
    is_arm = "g" in options or "-gb" in family
    return {
        "family": family,
        "size": matched["size"],
        "architecture": Architecture.ARM64 if is_arm else Architecture.X86_64,
        "accelerator": _accelerator(letters),
        "is_burstable": letters == "t",
        "has_local_storage": named_local or unsure,
        "supports_volume_size": None if unsure and not named_local else not named_local,
        "is_retired": family in _RETIRED,
    }


def _accelerator(letters: str) -> Accelerator:
    if letters in {"g", "p"}:
        return Accelerator.GPU
    if letters in {"inf", "trn"}:
        return Accelerator.NEURON
    return Accelerator.GAUDI if letters == "dl" else Accelerator.NONE
