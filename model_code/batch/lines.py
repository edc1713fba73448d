"""The lines of a range of an object, without ever holding the object, or a line that is too long."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from objects import Location, read_bytes
from plan import Range

_BLOCK = 4 * 1024 * 1024
_BLOCK_BEYOND = 256 * 1024
#: Bytes of a line that are shown to a person.
SAMPLE_BYTES = 512


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an object.

    Args:
        offset: Its first byte in the object (in the unpacked bytes of a compressed one).
        number: Its position among the lines of the range, from 1.
        data: Its bytes, without the line's end; the first `SAMPLE_BYTES` of one that cannot be taken.
        problem: Why it cannot be taken; empty when it can.
    """

    offset: int
    number: int
    data: bytes
    problem: str = ""


def read_lines(wanted: Range, most: int) -> Iterator[Line]:
    """The lines that begin in a range; the last one is read to its end, wherever that is.

    Args:
        wanted: The range.
        most: Bytes of a line at most.

    Raises:
        ObjectChanged: The object was replaced or removed.
    """
    if wanted.gzip:
        yield from split(_unpacked(_blocks(wanted, 0)), 0, most)
        return
    # the byte before tells whether a line begins at the range's first byte
    first = max(0, wanted.start - 1)
    number = 0
    for line in split(_blocks(wanted, first), first, most):
        if line.offset >= wanted.end:
            return
        if line.offset >= wanted.start:
            number += 1
            yield Line(line.offset, number, line.data, line.problem)


def split(blocks: Iterable[bytes], offset: int, most: int) -> Iterator[Line]:
    """Cut bytes into lines; empty ones count, a last one without an end counts too.

    Args:
        blocks: The bytes.
        offset: Of the first one.
        most: Bytes of a line at most; a longer one is passed over, not held.
    """
    rest, length, number = b"", 0, 0  # the begun line: what is kept of it, and how long it is
    damaged = ""
    try:
        for block in blocks:
            begin = 0
            while (found := block.find(b"\n", begin)) >= 0:
                number += 1
                piece = block[begin:found]
                yield _line(offset, number, rest + piece, length + len(piece), most)
                offset += length + len(piece) + 1
                begin, rest, length = found + 1, b"", 0
            tail = block[begin:]
            length += len(tail)
            rest = rest + tail if length <= most + 1 else (rest + tail)[:SAMPLE_BYTES]
    except zlib.error as error:
        damaged = f"the compressed file is damaged ({error}): nothing after this place can be read"
    if length:
        yield _line(offset, number + 1, rest, length, most)
        number, offset = number + 1, offset + length
    if damaged:
        yield Line(offset, number + 1, b"", damaged)


def _line(offset: int, number: int, data: bytes, length: int, most: int) -> Line:
    if length > most + 1 or (length == most + 1 and not data.endswith(b"\r")):
        problem = f"the line has {length:,} bytes, and a record has at most {most:,} (MaxPayloadInMB)"
        return Line(offset, number, data[:SAMPLE_BYTES], problem)
    return Line(offset, number, data.removesuffix(b"\r"))


def _blocks(wanted: Range, position: int) -> Iterator[bytes]:
    """The object's bytes from a position on; small blocks beyond the range, where one line is left."""
    place = Location(wanted.bucket, wanted.key)
    while position < wanted.size:
        inside = position < wanted.end
        end = min(
            wanted.size,
            max(wanted.end, position + 1) if inside else wanted.size,
            position + (_BLOCK if inside else _BLOCK_BEYOND),
        )
        yield read_bytes(place, position, end, wanted.etag)
        position = end


def _unpacked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip, of several members too, in bounded pieces.

    Raises:
        zlib.error: The data are damaged, or end too early.
    """
    unpack = zlib.decompressobj(wbits=31)
    begun = False
    for block in blocks:
        data = block
        while data:
            begun = True
            yield unpack.decompress(data, _BLOCK)
            data = unpack.unconsumed_tail
            if unpack.eof:
                data = unpack.unused_data or data
                unpack, begun = zlib.decompressobj(wbits=31), False
                data = data.lstrip(b"\0")  # padding after the last member is legal
    if begun:
        yield unpack.flush()
    if begun and not unpack.eof:
        raise zlib.error("it ends in the middle")
