"""What every synth imports: large modules of aws-cdk-lib wait for the patterns that use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# a fifth of a second each, or dragging along what is; `-c only=realtime` has no use for them
LARGE = {"aws_cdk.aws_lambda", "aws_cdk.aws_ec2", "aws_cdk.aws_rds"}


def test_the_registry_leaves_large_modules_to_the_patterns_that_use_them() -> None:
    # GIVEN a new process
    program = "import sys; import stacks.registry; print(*sys.modules, sep='\\n')"

    # WHEN it knows all patterns, and has made none
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    # THEN the large modules are not there
    assert not LARGE & set(done.stdout.split())
    assert "stacks.batch_inference" in done.stdout
