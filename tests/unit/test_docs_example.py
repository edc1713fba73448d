"""The example of docs/constructs.md is an app that can be deployed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_of_the_constructs_page_synthesises(tmp_path: Path) -> None:
    # GIVEN the code of the page
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "constructs.md").read_text(), re.DOTALL)

    # WHEN it is run as an app
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "CDK_OUTDIR": str(tmp_path)},
        check=True,
        capture_output=True,
    )

    # THEN its template has the endpoint with the canary
    template = json.loads((tmp_path / "Reviews.template.json").read_text())
    endpoints = [r for r in template["Resources"].values() if r["Type"] == "AWS::SageMaker::Endpoint"]
    [endpoint] = endpoints
    policy = endpoint["Properties"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "CANARY"
