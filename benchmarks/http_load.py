"""A lean closed-loop HTTP client to compare two servers: same bytes, kept-alive connections, no signing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import uvloop

from benchmarks.processes import BenchmarkFailed


@dataclass(frozen=True)
class Load:
    """What a server answered to one round.

    Args:
        p50: Median latency in milliseconds.
        p99: 99th percentile in milliseconds.
        rate: Answers per second over all connections.
    """

    p50: float
    p99: float
    rate: float


def signed(service: str) -> dict[str, str]:
    """Headers of a JSON request to an AWS service, by which the sandbox tells account and Region; the
    signature itself is none.
    """
    return {
        "content-type": "application/json",
        "x-amz-date": "20260101T000000Z",
        "authorization": "AWS4-HMAC-SHA256 "
        f"Credential=000000000000/20260101/ap-northeast-2/{service}/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=00",
    }


def drive(url: str, body: bytes, headers: Mapping[str, str], *, connections: int, seconds: float) -> Load:
    """Send requests one after the other over each connection for a while; every answer must be a 200."""
    return uvloop.run(_drive(url, body, headers, connections, seconds))


async def _drive(url: str, body: bytes, headers: Mapping[str, str], connections: int, seconds: float) -> Load:
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    latencies: list[float] = []
    started = time.perf_counter()
    until = started + seconds
    await asyncio.gather(
        *(
            _connection(str(parts.hostname), int(parts.port or 80), request, until, latencies)
            for _ in range(connections)
        )
    )
    elapsed = time.perf_counter() - started
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return Load(float(p50), float(p99), len(latencies) / elapsed)


async def _connection(host: str, port: int, request: bytes, until: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while (sent := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status, _, fields = head.partition(b"\r\n")
            if b" 200 " not in status + b" ":
                raise BenchmarkFailed(f"{host}:{port} answered {head[:300]!r}")
            length = next(
                int(line.split(b":")[1])
                for line in fields.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - sent)
    finally:
        writer.close()
