"""boto3 clients, with credentials, Region and endpoint URLs from the standard places."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

# a model may think for 60 s, so the client must be ready to wait longer (API InvokeEndpoint)
READ_TIMEOUT_SECONDS = 70
_ATTEMPTS = 3
# callers that share a client: those of `ab test` and of the demos' traffic
_CONNECTIONS = 16


class Connection:
    """Where the client talks to; makes each boto3 client once.

    Credentials, Region and endpoint URLs (``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME``) are
    resolved by boto3 itself. Nothing is sent before the first call.
    """

    def __init__(self) -> None:
        self._botocore = botocore.session.get_session()
        self._session = boto3.Session(botocore_session=self._botocore)
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The boto3 client of a service, shared.

        Raises:
            botocore.exceptions.BotoCoreError: No Region, a profile that does not exist, and the like.
        """
        if service not in self._clients:
            self._clients[service] = self.new_client(service)
        return self._clients[service]

    def new_client(self, service: str, *, attempts: int = _ATTEMPTS) -> Any:
        """A boto3 client of its own, for a caller that changes it or counts its failures.

        Args:
            service: Name of the service, as boto3 knows it.
            attempts: How often a request is tried before it counts as failed.
        """
        return self._session.client(
            service,
            config=Config(
                connect_timeout=5,
                read_timeout=READ_TIMEOUT_SECONDS,
                retries={"mode": "standard", "total_max_attempts": attempts},
                max_pool_connections=_CONNECTIONS,
                user_agent_extra="sagemaker-serving-client",
            ),
        )

    @property
    def ca_bundle(self) -> str | None:
        """File with the certificate authorities to trust (``AWS_CA_BUNDLE``); None for botocore's own."""
        path = self._botocore.get_config_variable("ca_bundle")
        return str(path) if path else None

    @property
    def credentials(self) -> Any:
        """What requests are signed with where boto3 has no client: botocore's credentials.

        Raises:
            botocore.exceptions.NoCredentialsError: There are none.
        """
        found = self._session.get_credentials()
        if found is None:
            raise NoCredentialsError()
        return found.get_frozen_credentials()

    @property
    def region(self) -> str:
        """The Region that calls go to."""
        return str(self.client("cloudformation").meta.region_name)

    @property
    def is_sandbox(self) -> bool:
        """Whether calls stay on this machine."""
        return is_loopback(self.client("cloudformation").meta.endpoint_url)

    def __str__(self) -> str:
        return f"the sandbox ({self.region})" if self.is_sandbox else f"AWS Region {self.region}"


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
