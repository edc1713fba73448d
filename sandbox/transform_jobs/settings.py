"""How large and how many requests of a job are: by the job, else by the container, else by default."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from sandbox.fleet import Instance
from sandbox.store import Params
from sandbox.transform_jobs.records import MB

# CreateTransformJob: MaxPayloadInMB; MaxConcurrentTransforms without /execution-parameters
DEFAULT_PAYLOAD_MB = 6
DEFAULT_CONCURRENCY = 1
# what a record may have when MaxPayloadInMB 0 sends objects as they are, but records must be told apart
LARGEST_MB = 100

_ANSWER_SECONDS = 5.0
_SPELLED = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}


@dataclass(frozen=True)
class TransformSettings:
    """What a job does.

    Args:
        payload_mb: MaxPayloadInMB; 0 sends objects in chunks, whatever their size.
        concurrency: Requests that an instance gets at a time.
        single: Each record is a request of its own.
    """

    payload_mb: int
    concurrency: int
    single: bool

    @classmethod
    def of(cls, request: Params, suggested: Params) -> TransformSettings:
        """Those of a job.

        Args:
            request: The request of CreateTransformJob.
            suggested: What /execution-parameters answered.
        """
        payload = _number(suggested.get("MaxPayloadInMB"), DEFAULT_PAYLOAD_MB, least=0)
        concurrency = _number(suggested.get("MaxConcurrentTransforms"), DEFAULT_CONCURRENCY, least=1)
        strategy = suggested.get("BatchStrategy")
        return cls(
            request.get("MaxPayloadInMB", min(payload, LARGEST_MB)),
            request.get("MaxConcurrentTransforms") or concurrency,
            _SPELLED.get(request.get("BatchStrategy", ""), strategy) == "SINGLE_RECORD",
        )

    @property
    def record_limit(self) -> int:
        """Bytes of a record, and of a request that holds several, at most."""
        return (self.payload_mb or LARGEST_MB) * MB

    def __str__(self) -> str:
        strategy = "SINGLE_RECORD" if self.single else "MULTI_RECORD"
        return (
            f"MaxConcurrentTransforms={self.concurrency}, MaxPayloadInMB={self.payload_mb}, "
            f"BatchStrategy={strategy}"
        )


def environment_of(request: Params) -> dict[str, str]:
    """What containers are told of a job, besides what they are told at an endpoint."""
    environment = {"SAGEMAKER_BATCH": "true"}
    for name, member in (
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "MaxPayloadInMB"),
        ("SAGEMAKER_BATCH_STRATEGY", "BatchStrategy"),
        ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "MaxConcurrentTransforms"),
    ):
        if member in request:
            environment[name] = _SPELLED.get(request[member], str(request[member]))
    return dict(request.get("Environment", {})) | environment


async def execution_parameters(instance: Instance) -> Params:
    """What the first container suggests; nothing when it has no /execution-parameters, or answers no JSON."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", instance.containers[0].port)
            try:
                writer.write(
                    b"GET /execution-parameters HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return {}
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        return {}
    if b"chunked" in head.lower():
        body = body.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0]
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any, default: int, *, least: int) -> int:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return value if fits else default
