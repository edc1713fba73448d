"""boto3 clients for the AWS underneath: the sandbox's own gateway on loopback, nothing else."""

from __future__ import annotations

from threading import Lock
from typing import Any

import boto3
from botocore.config import Config

from sandbox.store import Scope


class LocalAws:
    """Clients by service, account and Region; safe to call from any thread.

    Args:
        gateway_url: The gateway, for example ``http://127.0.0.1:4566``.
    """

    def __init__(self, gateway_url: str) -> None:
        self.gateway_url = gateway_url
        self._clients: dict[tuple[str, Scope, float | None], Any] = {}
        self._lock = Lock()

    def client(self, service: str, scope: Scope, patience: float | None = None) -> Any:
        """A client; blocking, so call it on a worker thread (`asyncio.to_thread`).

        Args:
            service: Its name in boto3.
            scope: Account and Region.
            patience: Seconds to wait for an answer to a call that is made once only; without, a minute and
                another attempt.
        """
        key = (service, scope, patience)
        waiting = {} if patience is None else {"read_timeout": patience}
        with self._lock:  # making clients is not thread-safe in boto3, using them is
            if key not in self._clients:
                # a 12-digit access key is how the gateway learns the account; no profile or file is read
                session = boto3.Session(
                    aws_access_key_id=scope.account,
                    aws_secret_access_key="sandbox",  # noqa: S106 - the sandbox checks no signatures
                    region_name=scope.region,
                )
                self._clients[key] = session.client(
                    service,
                    endpoint_url=self.gateway_url,
                    config=Config(
                        retries={"max_attempts": 2 if patience is None else 0},
                        s3={"addressing_style": "path"},
                        max_pool_connections=32,
                        **waiting,
                    ),
                )
            return self._clients[key]
