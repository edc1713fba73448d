"""A frame while its blobs are being shared out among objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from background import Image
from blobs import Blobs
from numpy.typing import NDArray


@dataclass
class Scene:
    """A frame, and what of it is explained by objects that were recognised.

    Args:
        picture: The frame.
        blobs: What was found in it.
    """

    picture: Image
    blobs: Blobs

    def __post_init__(self) -> None:
        self._labels = len(self.blobs.found)

    @cached_property
    def taken(self) -> NDArray[np.bool_]:
        """Pixels that are explained; none at first."""
        return np.zeros(self.picture.shape[:2], bool)

    @cached_property
    def planes(self) -> NDArray[np.int16]:
        """``[3, pixels]``: the picture's channels."""
        return np.asarray(self.picture.reshape(-1, 3).T.astype(np.int16, order="C"))

    def new_label(self) -> int:
        """A number that no blob has yet."""
        self._labels += 1
        return self._labels
