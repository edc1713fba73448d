"""Cuts an object into the requests of its model, without ever holding more of it than those under way."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from sandbox.transform_jobs.failures import CLIENT_ERROR, TransformFailed

MB = 1024 * 1024
PIECE_BYTES = 2 * MB
_GZIP = 16 + zlib.MAX_WBITS

Pieces = AsyncIterator[bytes]
InThread = Callable[..., Awaitable[bytes]]
"""Runs a blocking function with its arguments elsewhere."""


@dataclass(frozen=True)
class Batch:
    """The records of one request.

    Args:
        records: Each without its line's end.
        lines: Number of each in the object, counted from 1; empty for an object that is not split.
    """

    records: list[bytes]
    lines: list[int]

    def where(self, position: int | None) -> str:
        """Which records a message is about.

        Args:
            position: One of the batch's, counted from 0; None for all.
        """
        if not self.lines:
            return ""
        if position is not None:
            return f"line {self.lines[position]}: "
        if len(self.lines) == 1:
            return f"line {self.lines[0]}: "
        return f"lines {self.lines[0]} to {self.lines[-1]}: "


async def whole(pieces: Pieces, limit: int) -> AsyncIterator[Batch]:
    """An object that is not split, as one request; none for an empty one.

    Raises:
        TransformFailed: It is larger than a payload may be.
    """
    held = bytearray()
    async for piece in pieces:
        held += piece
        if len(held) > limit:
            raise TransformFailed(
                CLIENT_ERROR,
                f"the object is larger than MaxPayloadInMB ({_shown(limit)}), and SplitType None does not "
                "split it. Raise MaxPayloadInMB, or use SplitType Line.",
            )
    if held:
        yield Batch([bytes(held)], [])


async def by_line(pieces: Pieces, limit: int, *, single: bool) -> AsyncIterator[Batch]:
    """The lines of an object in requests: each its own, or as many as fit. Empty lines are no records.

    Args:
        pieces: The object.
        limit: Bytes of a request at most.
        single: Whether each line is a request (BatchStrategy SingleRecord).

    Raises:
        TransformFailed: A line is larger than a payload may be.
    """
    records: list[bytes] = []
    lines: list[int] = []
    size, number = 0, 0
    async for line in _lines(pieces, limit):
        number += 1
        if not line.strip():
            continue
        if len(line) > limit:
            raise _too_long(number, limit)
        if records and (single or size + 1 + len(line) > limit):
            yield Batch(records, lines)
            records, lines, size = [], [], 0
        records.append(line)
        lines.append(number)
        size += len(line) + (1 if len(records) > 1 else 0)
    if records:
        yield Batch(records, lines)


async def _lines(pieces: Pieces, limit: int) -> AsyncIterator[bytes]:
    rest, number = b"", 1
    async for piece in pieces:
        *complete, rest = (rest + piece).split(b"\n")
        for line in complete:
            yield line.removesuffix(b"\r")
        number += len(complete)
        if len(rest) > limit + 1:  # it may end in a carriage return
            raise _too_long(number, limit)
    if rest:
        yield rest.removesuffix(b"\r")


def _too_long(number: int, limit: int) -> TransformFailed:
    return TransformFailed(
        CLIENT_ERROR,
        f"line {number}: the record is larger than MaxPayloadInMB ({_shown(limit)}). Raise MaxPayloadInMB "
        "(at most 100), or leave the record out.",
    )


def _shown(limit: int) -> str:
    return f"{limit / MB:g} MB"


async def unzipped(pieces: Pieces, in_thread: InThread) -> Pieces:
    """What a gzip file of one or more members holds, in pieces of a bounded size.

    Raises:
        TransformFailed: It is none, it is damaged, or it ends early.
    """
    stream, begun = zlib.decompressobj(_GZIP), False
    try:
        async for piece in pieces:
            while piece:
                if stream.eof:  # another member, or zeros that pad the file
                    piece = piece.lstrip(b"\0")
                    if not piece:
                        break
                    stream = zlib.decompressobj(_GZIP)
                begun = True
                data = await in_thread(stream.decompress, piece, PIECE_BYTES)
                piece = stream.unused_data if stream.eof else stream.unconsumed_tail
                if data:
                    yield data
            while not stream.eof and begun and (data := await in_thread(stream.decompress, b"", PIECE_BYTES)):
                yield data
    except zlib.error as error:
        raise TransformFailed(
            CLIENT_ERROR, f"CompressionType is Gzip, but the object is no intact gzip file: {error}."
        ) from error
    if begun and not stream.eof:
        raise TransformFailed(
            CLIENT_ERROR, "CompressionType is Gzip, but the object ends in the middle of its gzip data."
        )
