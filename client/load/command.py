"""Puts a load run together: a request to see that all is well, the generator, the report."""

from __future__ import annotations

from typing import Any

from client.connection import Connection
from client.errors import UserError
from client.invocation import Target, invoke
from client.load.generator import LoadGenerator
from client.load.plan import LoadPlan
from client.load.signing import RequestSigner
from client.load.view import watcher
from client.output import err
from client.payloads import Payload


def run_load(
    connection: Connection, endpoint_name: str, variant: str | None, payload: Payload, plan: LoadPlan
) -> dict[str, Any]:
    """Make the load and return its figures.

    One request goes ahead through boto3, uncounted: wrong credentials, permissions or names end in one
    message instead of a thousand failures.

    Raises:
        UserError: The endpoint refuses that request.
        botocore.exceptions.BotoCoreError: It does not get there.
    """
    target = Target(endpoint_name, variant)
    try:
        invoke(connection, target, payload)
    except UserError as error:
        raise UserError(f"No load was made. {error.message}", error.hint) from error
    err.print(f"load on endpoint {endpoint_name}: {plan}", soft_wrap=True)
    signer = RequestSigner(connection, target, payload)
    tally = LoadGenerator(plan, signer.sign, ca_bundle=connection.ca_bundle).run(watcher(plan))
    kind = "open" if plan.rate is not None else "closed"
    return {
        "endpoint": endpoint_name,
        "plan": {
            "loop": kind,
            "rate": plan.rate,
            "concurrency": plan.concurrency,
            "duration_seconds": plan.duration_seconds,
            "planned_requests": tally.planned,
        },
        **tally.report(),
    }
