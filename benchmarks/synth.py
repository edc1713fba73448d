"""Synth of the real-time pattern against an empty CDK app, both as whole processes."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import ROOT, BenchmarkFailed, seconds
from benchmarks.report import Figure, paired

EMPTY_APP = """
import aws_cdk as cdk
app = cdk.App(analytics_reporting=False)
cdk.Stack(app, "Empty")
app.synth()
"""


def measure(runs: int) -> list[Figure]:
    """Alternate the two apps, each into a folder of its own, with the context of cdk.json."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"] | {"only": "realtime"}
    ours, empty = [], []
    with tempfile.TemporaryDirectory() as folder:
        environment = {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": f"{folder}/ours"}
        seconds(
            [sys.executable, "app.py"], environment=environment
        )  # warm-up: packs the artifact, fills jsii's cache
        packed = packed_archives()
        for _ in range(runs):
            ours.append(seconds([sys.executable, "app.py"], environment=environment))
            empty.append(
                seconds([sys.executable, "-c", EMPTY_APP], environment={"CDK_OUTDIR": f"{folder}/empty"})
            )
        if packed_archives() != packed:
            raise BenchmarkFailed("synth packed the artifact again although nothing had changed")
    return [
        paired(
            "synth, strict validation on",
            ours,
            empty,
            unit="s",
            baseline_name="(empty app)",
            target=1.8,
            target_is_ratio=True,
        ),
    ]


def packed_archives() -> dict[str, int]:
    """Packed artifacts in the cache by modification time: equal before and after means not repacked."""
    return {str(path): path.stat().st_mtime_ns for path in Path(ROOT / ".cache").rglob("*.tar.gz")}
