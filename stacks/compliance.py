"""The compliance packs, on every synth that could tell something new (docs/decisions/0004).

The packs read the construct tree, which follows from code, configuration, context and libraries. A synth that
passed leaves a note of exactly these, and the next one with the same skips the packs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import aws_cdk as cdk

import sagemaker_serving

_CODE = (Path(__file__).parent, *map(Path, sagemaker_serving.__path__))
_LIBRARIES = ("aws-cdk-lib", "cdk-nag", "constructs", "pydantic")


def attach_packs(app: cdk.App) -> None:
    """Let AwsSolutions, NIST 800-53 R5, HIPAA and PCI DSS check an app; what they find fails its synth.

    Args:
        app: The app, with its stacks in it.
    """
    import cdk_nag  # here, because it takes as long to load as the stacks take to build

    packs = (
        cdk_nag.AwsSolutionsChecks,
        cdk_nag.NIST80053R5Checks,
        cdk_nag.HIPAASecurityChecks,
        cdk_nag.PCIDSS321Checks,
    )
    cdk.Validations.of(app).add_plugins(*(pack(app) for pack in packs))


class Review:
    """Whether the packs have passed an app like this one before.

    Args:
        app: The app; its context counts.
        inputs: What the stacks were made from beside the code: files and texts.
        notes: Folder of the notes. It can be removed at any time.
    """

    def __init__(self, app: cdk.App, inputs: Iterable[Path | str], notes: Path) -> None:
        context = json.dumps(app.node.get_all_context(), sort_keys=True)
        code = sorted(
            path for folder in _CODE for path in folder.rglob("*") if path.suffix in {".py", ".json"}
        )
        libraries = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
        self._note = notes / _digest([*code, *libraries, context, *inputs])

    @property
    def passed_before(self) -> bool:
        """Whether a synth with these inputs ended well under all packs."""
        return self._note.exists()

    def note(self) -> None:
        """Remember that this synth ended well under all packs."""
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.touch()


def _digest(inputs: Iterable[Path | str]) -> str:
    digest = hashlib.sha256()
    for item in inputs:
        content = item.read_bytes() if isinstance(item, Path) else item.encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
