"""A confusion matrix as a PNG, without matplotlib, which AWS's scikit-learn image does not have."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

# three columns by five rows, a row per digit, its leftmost column worth 4
_GLYPHS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757",
    "7": "71122", "8": "75757", "9": "75717", ".": "00002", "%": "51245", ",": "00024", " ": "00000",
    "A": "25755", "C": "34443", "D": "65556", "E": "74647", "G": "34553", "I": "72227", "L": "44447",
    "N": "65555", "O": "25552", "P": "65644", "R": "65655", "S": "34216", "T": "72222", "U": "55557",
    "V": "55552",
}  # fmt: skip
_CELL, _MARGIN, _SCALE = 200, 130, 4
_BLUE = np.array([31, 95, 168])
_WHITE, _BLACK = np.array([255, 255, 255]), np.array([20, 20, 20])


def confusion_picture(counts: NDArray[np.int64]) -> bytes:
    """Return a PNG: actual label down, predicted label across, a cell darker the larger its share of the row.

    Args:
        counts: ``[[true negatives, false positives], [false negatives, true positives]]``.
    """
    size = _MARGIN + 2 * _CELL + 10
    canvas = np.full((size, size, 3), 255, np.uint8)
    _write(canvas, "PREDICTED", _MARGIN + _CELL, 30, _BLACK)
    _write(canvas, "ACTUAL", _MARGIN // 2, _MARGIN - 30, _BLACK)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for index, name in enumerate(("NEGATIVE", "POSITIVE")):
        middle = _MARGIN + index * _CELL + _CELL // 2
        _write(canvas, name, middle, 70, _BLACK)
        _write(canvas, name, _MARGIN // 2, middle, _BLACK)
    for row in range(2):
        for column in range(2):
            top, left = _MARGIN + row * _CELL, _MARGIN + column * _CELL
            share = float(shares[row, column])
            colour = _WHITE + (_BLUE - _WHITE) * share
            canvas[top : top + _CELL - 4, left : left + _CELL - 4] = colour.astype(np.uint8)
            ink = _WHITE if share > 0.5 else _BLACK
            middle = left + _CELL // 2
            _write(canvas, f"{counts[row, column]:,}", middle, top + 80, ink)
            _write(canvas, f"{share:.1%}", middle, top + 120, ink)
    return _png(canvas)


def _write(canvas: NDArray[np.uint8], text: str, middle: int, height: int, ink: NDArray[np.int64]) -> None:
    """Write a text, its middle at the given pixel."""
    glyphs = [
        [[int(digit) >> shift & 1 for shift in (2, 1, 0)] + [0] for digit in _GLYPHS[character]]
        for character in text
    ]
    scale = _SCALE if len(text) < 8 else _SCALE - 1
    bits = np.kron(np.hstack(glyphs), np.ones((scale, scale), int)).astype(bool)
    top, left = height - bits.shape[0] // 2, middle - bits.shape[1] // 2
    canvas[top : top + bits.shape[0], left : left + bits.shape[1]][bits] = ink


def _png(pixels: NDArray[np.uint8]) -> bytes:
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
