"""The context object that AWS's toolkit hands to handler functions.

It has the members of multi-model-server's context that handlers use. In AWS's containers each worker is a
process with a context of its own; here workers are threads, so what belongs to a request is kept per thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

Headers = list[tuple[bytes, bytes]]


class RequestHeaders(dict[str, str]):
    """Headers of a request; names match without regard to case, as in HTTP."""

    def __init__(self, headers: Headers) -> None:
        super().__init__((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The header's value, or the default."""
        return super().get(name.lower(), default)


class RequestProcessor:
    """The request's own part of the context, which handlers reach as ``context.request_processor[0]``."""

    def __init__(self, headers: RequestHeaders) -> None:
        self._headers = headers

    def get_request_properties(self) -> RequestHeaders:
        """All headers of the request."""
        return self._headers

    def get_request_property(self, name: str) -> str | None:
        """One header of the request, or None."""
        value: str | None = self._headers.get(name)
        return value


class _Request(threading.local):
    """What belongs to the invocation that this thread is working on."""

    processor = RequestProcessor(RequestHeaders([]))
    status = 200
    phrase = ""
    content_type = ""
    headers: dict[str, str]

    def __init__(self) -> None:
        self.headers = {}


class Context:
    """What handlers may know of the server and of their request.

    Args:
        model_dir: The model directory of the container, its ``/opt/ml/model``.
    """

    def __init__(self, model_dir: str) -> None:
        self.model_name = "model"
        self.manifest: dict[str, Any] = {}
        self.system_properties: Mapping[str, Any] = {"model_dir": model_dir, "gpu_id": None, "batch_size": 1}
        self._request = _Request()

    def begin(self, headers: Headers) -> None:
        """Take up a new request on this thread."""
        request = self._request
        request.processor = RequestProcessor(RequestHeaders(headers))
        request.status, request.phrase, request.content_type, request.headers = 200, "", "", {}

    @property
    def status(self) -> int:
        """Status that the handler chose, 200 unless it failed."""
        return self._request.status

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers that the handler added to the answer."""
        return self._request.headers

    @property
    def request_processor(self) -> list[RequestProcessor]:
        """The request, as a list of one: batches are not formed here."""
        return [self._request.processor]

    def get_request_header(self, idx: int, key: str) -> str | None:
        """One header of the request, or None."""
        return self._request.processor.get_request_property(key)

    def get_all_request_header(self, idx: int) -> RequestHeaders:
        """All headers of the request."""
        return self._request.processor.get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the Content-Type of the answer."""
        self._request.content_type = value

    def get_response_content_type(self, idx: int) -> str:
        """The Content-Type of the answer so far."""
        return self._request.content_type

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Add a header to the answer, for example X-Amzn-SageMaker-Custom-Attributes."""
        self._request.headers[key] = value

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """Headers added so far."""
        return self._request.headers

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the status of the answer."""
        self._request.status, self._request.phrase = code, phrase

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set the status of every answer of the batch, which has one."""
        self.set_response_status(code, phrase)
