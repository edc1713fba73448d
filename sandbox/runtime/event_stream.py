"""The event stream encoding (application/vnd.amazon.eventstream) of a streamed response.

A message is: total length and header length (4 bytes each, big-endian), CRC-32 of these 8 bytes, headers,
payload, CRC-32 of all that precedes. A header is: name length (1 byte), name, type (7: string), value
length (2 bytes), value.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from zlib import crc32

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_FRAME_BYTES = _PRELUDE.size + 2 * _CRC.size
_STRING_TYPE = 7


def payload_part(data: bytes) -> bytes:
    """A PayloadPart event: a piece of the response as the model sent it."""
    return encode(
        {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"},
        data,
    )


def stream_exception(name: str, message: str, error_code: str | None = None) -> bytes:
    """An exception that ends a stream.

    Args:
        name: ``ModelStreamError`` or ``InternalStreamFailure``.
        message: What happened.
        error_code: For ModelStreamError: ``ModelInvocationTimeExceeded`` or ``StreamBroken``.
    """
    body = {"Message": message}
    if error_code is not None:
        body["ErrorCode"] = error_code
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode(headers, json.dumps(body).encode())


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message.

    Args:
        headers: Names of at most 255 and values of at most 65,535 bytes in UTF-8.
        payload: Any bytes.

    Raises:
        ValueError: A name or value is too long.
    """
    encoded = _encode_headers(tuple(headers.items()))
    prelude = _PRELUDE.pack(_FRAME_BYTES + len(encoded) + len(payload), len(encoded))
    message = b"".join((prelude, _CRC.pack(crc32(prelude)), encoded, payload))
    return message + _CRC.pack(crc32(message))


@lru_cache(maxsize=64)
def _encode_headers(headers: tuple[tuple[str, str], ...]) -> bytes:
    parts = []
    for name, value in headers:
        raw_name, raw_value = name.encode(), value.encode()
        if not 0 < len(raw_name) <= 0xFF or len(raw_value) > 0xFFFF:
            raise ValueError(f"event stream header {name[:40]!r} is empty or too long")
        parts.append(struct.pack(">B", len(raw_name)) + raw_name)
        parts.append(struct.pack(">BH", _STRING_TYPE, len(raw_value)) + raw_value)
    return b"".join(parts)
