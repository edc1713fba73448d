"""Release: give back the claims of a job that failed, so that a later execution takes them."""

from __future__ import annotations

from typing import Any

import claims
from objects import read_json
from plan import Files


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Give back what Reconcile has not marked.

    Args:
        event: ``job_name``; ``error`` and ``cause`` are for the log.
        context: Not used.

    Returns:
        ``released``: how many claims the job held.
    """
    print(f"{event['job_name']} failed: {event.get('error')}: {event.get('cause')}")
    keys = read_json(Files(event["job_name"]).claims) or {}
    claims.mark(keys.values(), claims.FAILED, job_name=event["job_name"], only_running=True)
    return {"released": len(keys)}
