"""What an execution's input names: an object, all objects below a prefix, or those that a manifest lists."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from environment import client, settings
from failures import NoInput
from lines import split
from objects import Location, open_object, read_bytes
from plan import Range
from rows import BadRow, header_of

MANIFEST, MARKER = ".manifest", "_SUCCESS"
FORMATS = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "tsv"}
"""Endings of input files; each also with ``.gz`` behind it."""

_MAX_MANIFEST_BYTES = 50 * 1024 * 1024
_MAX_HEADER_BYTES = 64 * 1024
_ALLOWED = ", ".join(FORMATS) + ", each also .gz"


@dataclass(frozen=True)
class Object:
    """An object as it is now.

    Args:
        place: Where it is.
        etag: What it contains.
        size: Its bytes.
    """

    place: Location
    etag: str
    size: int


def find(uri: str) -> list[Object]:
    """The objects that an input names.

    Args:
        uri: An object, a prefix that ends in a slash, a manifest, or a marker, which means its prefix.

    Raises:
        NoInput: There are none, or the input cannot be understood.
    """
    try:
        place = Location.parse(uri)
    except ValueError as error:
        raise NoInput(f"The execution's input is wrong: {error}.") from None
    if place.key.rsplit("/", 1)[-1] == MARKER:
        place = Location(place.bucket, place.key.removesuffix(MARKER))
    try:
        if place.key.endswith(MANIFEST):
            found = _listed(place)
        elif place.key.endswith("/"):
            found = list(_below(place))
        else:
            found = [_object(place)]
    except ClientError as error:
        if error.response["Error"]["Code"] in {"AccessDenied", "403", "NoSuchBucket"}:
            raise NoInput(
                f"{uri} cannot be read ({error.response['Error']['Code']}): input files are in the "
                "workflow's own input bucket, below input/."
            ) from None
        raise
    if not found:
        raise NoInput(f"There is no object below {place}: put files there ({_ALLOWED}), and start again.")
    return found


def ranges_of(found: Object) -> list[Range]:
    """The ranges of an object, numbered from 0; one with a ``problem`` if it cannot be read at all."""
    place, size = found.place, found.size
    common: dict[str, Any] = {
        "bucket": place.bucket, "key": place.key, "etag": found.etag, "size": size,
    }  # fmt: skip
    name = place.key.lower()
    packed = name.endswith(".gz")
    ending = next((end for end in FORMATS if name.removesuffix(".gz").endswith(end)), None)
    problem = ""
    header: tuple[str, ...] = ()
    if ending is None:
        problem = f"the file's name does not tell its format: it ends in {_ALLOWED}"
    elif size == 0:
        problem = "the file is empty"
    elif FORMATS[ending] != "jsonl":
        header, problem = _header(found, FORMATS[ending], packed)
    common |= {"format": FORMATS[ending] if ending else "", "gzip": packed, "header": header}
    if problem:
        return [Range(index=0, start=0, end=size, problem=problem, **common)]
    step = size if packed else settings().range_bytes
    return [
        Range(index=number, start=start, end=min(start + step, size), **common)
        for number, start in enumerate(range(0, size, step))
    ]


def _header(found: Object, format_: str, packed: bool) -> tuple[tuple[str, ...], str]:
    end = min(found.size, _MAX_HEADER_BYTES)
    beginning = read_bytes(found.place, 0, end, found.etag)
    wanted = (settings().id_column, settings().text_column)
    try:
        if packed:
            beginning = zlib.decompressobj(wbits=31).decompress(beginning, _MAX_HEADER_BYTES)
        first = next(split([beginning], 0, _MAX_HEADER_BYTES), None)
        header = header_of(first.data, format_) if first else ()
    except zlib.error as error:
        return (), f"the compressed file is damaged ({error})"
    except BadRow as bad:
        return (), f"its header cannot be read: {bad.reason}"
    missing = [name for name in wanted if name not in header]
    if missing:
        named = ", ".join(header[:20]) or "nothing"
        return header, f"its header names {named}, and lacks {' and '.join(missing)}"
    twice = sorted({name for name in wanted if header.count(name) > 1})
    return header, f"its header names {' and '.join(twice)} twice" if twice else ""


def _object(place: Location) -> Object:
    try:
        head = client("s3").head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
            raise NoInput(
                f"There is no object {place}. A prefix ends in a slash; look at the name, and start again."
            ) from None
        raise
    return Object(place, head["ETag"], head["ContentLength"])


def _below(prefix: Location) -> Iterator[Object]:
    pages = client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
        for entry in page.get("Contents", []):
            key = entry["Key"]
            if key.endswith(("/", MANIFEST)) or key.rsplit("/", 1)[-1] == MARKER:
                continue
            yield Object(Location(prefix.bucket, key), entry["ETag"], entry["Size"])


def _listed(manifest: Location) -> list[Object]:
    body = open_object(manifest)
    if body is None:
        raise NoInput(f"There is no manifest {manifest}.")
    try:
        document = json.loads(body.read(_MAX_MANIFEST_BYTES))
        prefix = Location.parse(document[0]["prefix"])
        keys = document[1:]
        if not all(isinstance(key, str) for key in keys):
            raise TypeError
    except (ValueError, TypeError, KeyError, IndexError):
        raise NoInput(
            f"{manifest} is no manifest: it is a JSON list, first "
            '{"prefix": "s3://bucket/folder/"}, then keys relative to it (API shape S3DataSource).'
        ) from None
    return [_object(prefix / key) for key in keys]
