"""The CDK app: one stack for each pattern that the environment's configuration switches on.

``cdk synth -c env=prod`` reads config/prod.yaml; the default is ``dev``. Any setting can be given on the
command line too: ``-c patterns.blue-green.version=v2``. With ``-c only=realtime,ab-test`` only these stacks
are made, which is faster.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import aws_cdk as cdk

from sagemaker_serving.errors import InvalidConfiguration
from stacks.compliance import Review, attach_packs
from stacks.configuration import DEFAULT_ENVIRONMENT, load
from stacks.registry import PATTERNS

ROOT = Path(__file__).resolve().parent


def build(app: cdk.App, root: Path = ROOT) -> Review:
    """Add the configured stacks to an app.

    Args:
        app: Its context says which environment (``env``) and may set what the file sets.
        root: The project's folder.

    Returns:
        Whether the compliance packs know these stacks already.

    Raises:
        InvalidConfiguration: With everything that is wrong in the file, or in the first stack that is wrong.
    """
    environment = str(app.node.try_get_context("env") or DEFAULT_ENVIRONMENT)
    account, region = (os.environ.get(f"CDK_DEFAULT_{name}") or None for name in ("ACCOUNT", "REGION"))
    configuration = load(environment, root / "config", app.node.get_all_context())
    target = configuration.target(environment, root=root, account=account, region=region)
    for name, settings in configuration.chosen(app.node.try_get_context("only")).items():
        PATTERNS[name](app, target=target, settings=settings)
    inputs: list[Path | str] = [
        root / "config" / f"{environment}.yaml",
        *sorted((root / "config" / "models").glob("*.yaml")),
        Path(__file__),
        f"{account} {region}",
    ]
    return Review(app, inputs, notes=root / ".cache" / "compliance")


def main() -> int:
    """Synthesise; what a user got wrong is told on stderr, without a traceback."""
    app = cdk.App(analytics_reporting=False)
    try:
        review = build(app)
        if not review.passed_before:
            attach_packs(app)
        app.synth()
        review.note()
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)
        return 1
    except RuntimeError as error:  # what aws-cdk-lib throws comes back through jsii as this
        print(f"cdk synth: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if status := main():
        sys.exit(status)  # jsii's last words are still on their way
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. A normal exit would wait half a second for jsii's Node.js process to take itself down,
    # which it does anyway when its input is closed.
    os._exit(0)
