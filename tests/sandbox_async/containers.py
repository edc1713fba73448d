"""Containers that tests let answer when they like."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.sandbox_runtime.fakes import Request, http


class Gate:
    """A container that answers when it is let, and counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.open = False
        self.now: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.bodies: list[bytes] = []

    async def __call__(self, request: Request) -> bytes:
        port = request.server.port
        self.now[port] += 1
        self.most[port] = max(self.most[port], self.now[port])
        self.bodies.append(request.body)
        while not self.open:
            await asyncio.sleep(0.005)
        self.now[port] -= 1
        return http(request.body.upper(), content_type="text/plain")


async def says_other(request: Request) -> bytes:
    return http(b"other", content_type="text/plain")
