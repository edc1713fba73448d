"""What an image's packages and this Python's packages have in common."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement


def differences(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """Compare requirements with what is installed here.

    Args:
        lines: Of requirements files; options and comments are passed over.

    Returns:
        Requirements that nothing here meets in any version, and sentences on those met in another one.

    Raises:
        InvalidRequirement: A line is not a requirement.
    """
    missing, other = [], []
    for line in lines:
        text = line.split(" #")[0].split(" --hash")[0].strip().rstrip("\\").strip()
        if not text or text[0] in "#-":
            continue
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            here = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(text)
            continue
        if not requirement.specifier.contains(here, prereleases=True):
            other.append(f"the image has {text}, the function runs with {requirement.name} {here} here")
    return missing, other
