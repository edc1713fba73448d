"""The CDK app: one stack for each pattern that the environment's configuration switches on.

``cdk synth -c env=prod`` reads config/prod.yaml; the default is ``dev``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import aws_cdk as cdk
import cdk_nag

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import DEFAULT_ENVIRONMENT, load
from stacks.registry import PATTERNS

ROOT = Path(__file__).resolve().parent
PACKS = (
    cdk_nag.AwsSolutionsChecks,
    cdk_nag.NIST80053R5Checks,
    cdk_nag.HIPAASecurityChecks,
    cdk_nag.PCIDSS321Checks,
)


def build(app: cdk.App, root: Path = ROOT) -> None:
    """Add the configured stacks and the compliance packs to an app.

    Args:
        app: Its context says which environment: ``env``.
        root: The project's folder.

    Raises:
        InvalidConfiguration: With everything that is wrong in the file, or in the first stack that is wrong.
    """
    environment = app.node.try_get_context("env") or DEFAULT_ENVIRONMENT
    configuration = load(str(environment), root / "config")
    target = configuration.target(
        str(environment),
        root=root,
        account=os.environ.get("CDK_DEFAULT_ACCOUNT") or None,
        region=os.environ.get("CDK_DEFAULT_REGION") or None,
    )
    for name, settings in configuration.enabled():
        PATTERNS[name](app, target=target, settings=settings)
    cdk.Validations.of(app).add_plugins(*(pack(app) for pack in PACKS))


def main() -> int:
    """Synthesise; what a user got wrong is told on stderr, without a traceback."""
    app = cdk.App(analytics_reporting=False)
    try:
        build(app)
        app.synth()
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)
        return 1
    except RuntimeError as error:  # what aws-cdk-lib throws comes back through jsii as this
        print(f"cdk synth: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
