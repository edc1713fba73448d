"""The app as `cdk synth` makes it, strict validation and packs included; once for all tests that look."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aws_cdk as cdk

from app import build
from stacks.compliance import attach_packs

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("dev", "prod")
ACCOUNT, REGION = "111122223333", "ap-northeast-2"


@dataclass(frozen=True)
class Assembly:
    """What synth wrote for one environment."""

    folder: Path

    def read(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / name).read_text(encoding="utf-8")))

    @property
    def template_paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.template.json"))

    @property
    def stacks(self) -> dict[str, dict[str, Any]]:
        """The CLI's view of each stack: tags, termination protection, target."""
        artifacts = self.read("manifest.json")["artifacts"]
        return {
            name: item["properties"]
            for name, item in artifacts.items()
            if item["type"] == "aws:cloudformation:stack"
        }

    def template(self, stack: str) -> dict[str, Any]:
        return self.read(f"{stack}.template.json")

    def resources(self, stack: str, kind: str) -> dict[str, dict[str, Any]]:
        found = self.template(stack)["Resources"]
        return {name: resource for name, resource in found.items() if resource["Type"] == kind}


@cache
def synthesise(environment: str, *, account: str | None = ACCOUNT, region: str | None = REGION) -> Assembly:
    """Synthesise an environment as the CDK CLI would, with the context of cdk.json.

    Args:
        environment: For example ``dev``.
        account: The CLI's account; None as on a machine that knows none.
        region: The CLI's Region; None likewise.
    """
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    folder = tempfile.mkdtemp(prefix="synthesised-")
    known = {"CDK_DEFAULT_ACCOUNT": account or "", "CDK_DEFAULT_REGION": region or ""}
    with patch.dict("os.environ", known):
        made = cdk.App(analytics_reporting=False, outdir=folder, context={**context, "env": environment})
        build(made)
        attach_packs(made)
        made.synth()
    return Assembly(Path(folder))


def normalised(template: Any) -> Any:
    """The template without what changes when neither the app nor its settings do: digests of assets, the
    version of the job scripts, which is one, and the one that names a version of a function."""
    text = re.sub(r"(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}\b", r"\1<digest>", json.dumps(template))
    return json.loads(re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{16}\b", "<digest>", text))
