"""What kind of file a body is, and whether all of it is there, from the structure of the file alone.

Only MP4 (QuickTime included) and AVI go on to the decoder. FFmpeg guesses formats from content, and some of
those it knows, such as playlists, make it open other files and addresses: not for a request to decide.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from http import HTTPStatus

from client_errors import RequestError, refuse

#: What the first box of an MP4 or QuickTime file may be.
_MP4_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
_OTHERS = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"OggS", "an Ogg file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"FLV", "a Flash video"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"#EXTM3U", "a playlist"),
    (b"{", "JSON"),
)
# a stream header's name, its size, and the stream's kind
_STREAM_KIND = re.compile(rb"strh....(....)", re.DOTALL)
_WANTED = "send a video as MP4, MOV or AVI"


def file_suffix(body: bytes | bytearray) -> str:
    """Return ``.mp4`` or ``.avi``, after a look at the whole file's structure.

    Raises:
        RequestError: 415, the file is of another kind; 400, it is cut off or holds no video.
    """
    if body[:4] == b"RIFF" and body[8:12] == b"AVI ":
        _check_avi(body)
        return ".avi"
    if bytes(body[4:8]) in _MP4_FIRST_BOXES:
        _check_mp4(body)
        return ".mp4"
    if body[:4] == b"RIFF" and body[8:12] == b"WAVE":
        refuse(f"the body is WAV audio: {_WANTED}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    for magic, name in _OTHERS:
        if body.startswith(magic):
            refuse(f"the body is {name}: {_WANTED}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    raise RequestError(
        HTTPStatus.BAD_REQUEST, f"the body is not a video: it begins with {body[:12].hex(' ')}; {_WANTED}"
    )


def _check_mp4(body: bytes | bytearray) -> None:
    boxes = list(_boxes(body, 0, len(body)))
    found = {kind: (start, end) for kind, start, end in boxes}
    for kind, start, end in boxes:
        if end > len(body):
            _refuse_truncated(f"its {_name(kind)} box begins at byte {start:,}", end, len(body))
    if b"moov" not in found:
        refuse(f"the MP4 file has no index (moov box): it is truncated or damaged; {_WANTED}")
    handlers = _handlers(body, *found[b"moov"])
    if handlers and b"vide" not in handlers:
        what = "only audio" if b"soun" in handlers else "no video"
        refuse(f"the MP4 file holds {what}: send one with a video track")


def _handlers(body: bytes | bytearray, start: int, end: int) -> set[bytes]:
    """Kinds of the tracks: ``moov`` > ``trak`` > ``mdia`` > ``hdlr``."""
    found = set()
    for track, track_start, track_end in _boxes(body, start, end, inside=True):
        if track != b"trak":
            continue
        for media, media_start, media_end in _boxes(body, track_start, track_end, inside=True):
            if media != b"mdia":
                continue
            for kind, first, _ in _boxes(body, media_start, media_end, inside=True):
                if kind == b"hdlr":
                    found.add(bytes(body[first + 16 : first + 20]))
    return found


def _boxes(
    body: bytes | bytearray, start: int, end: int, inside: bool = False
) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each box in a stretch of an MP4 file; the last may reach beyond the file.

    Args:
        body: The file.
        start: Where to begin.
        end: Where to stop.
        inside: The stretch is a box; skip its own header.
    """
    if inside:
        end = min(end, len(body))
        start += 16 if body[start : start + 4] == b"\x00\x00\x00\x01" else 8
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", body, start)
        if size == 1 and start + 16 <= len(body):
            (size,) = struct.unpack_from(">Q", body, start + 8)
        elif size == 0:
            size = end - start
        if size < 8:
            return  # nothing sensible follows; the decoder may know better
        yield kind, start, start + size
        start += size


def _check_avi(body: bytes | bytearray) -> None:
    start = 0
    while start + 12 <= len(body) and body[start : start + 4] == b"RIFF":
        (size,) = struct.unpack_from("<I", body, start + 4)
        if start + 8 + size > len(body):
            _refuse_truncated(f"its RIFF chunk begins at byte {start:,}", start + 8 + size, len(body))
        start += 8 + size + size % 2
    header = bytes(body[: max(0, body.find(b"movi"))])
    kinds = set(_STREAM_KIND.findall(header))
    if kinds and b"vids" not in kinds:
        what = "only audio" if b"auds" in kinds else "no video"
        refuse(f"the AVI file holds {what}: send one with a video stream")


def _name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalnum() else repr(kind)


def _refuse_truncated(where: str, wanted: int, there: int) -> None:
    refuse(
        f"the file is truncated: {where} and ends at byte {wanted:,}, but there are only {there:,} bytes; "
        "send the whole file"
    )
