"""The regions of text that a detector finds, and which of them another detector does not.

Its output is the probability of each pixel to be text. As PP-OCR does (DBPostProcess of PaddleOCR, with its defaults),
pixels above 0.3 that touch, corners too, make a region, and one of less than 3 pixels across is none. Boxes are upright
here, which tells as much of the difference between two detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from graphopt.tensors import Array

THRESHOLD = 0.3
LEAST_SIDE = 3
SAME = 0.5
"""Boxes are of one region where they share this much of what they cover together."""


class Box(NamedTuple):
    """Pixels from the top row and the left column on, up to the bottom and the right, which are outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """How many pixels it covers."""
        return (self.bottom - self.top) * (self.right - self.left)


def text_regions(probability: Array) -> list[Box]:
    """Return the boxes around the regions of a map, [rows, columns]."""
    labels, _ = ndimage.label(probability > THRESHOLD, structure=np.ones((3, 3)))
    boxes = [Box(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in ndimage.find_objects(labels)]
    return [box for box in boxes if min(box.bottom - box.top, box.right - box.left) >= LEAST_SIDE]


def absent(boxes: Sequence[Box], others: Sequence[Box]) -> list[Box]:
    """Return the boxes that none of the others is the same as."""
    return [box for box in boxes if all(overlap(box, other) < SAME for other in others)]


def overlap(first: Box, second: Box) -> float:
    """Return the intersection of two boxes over their union."""
    rows = min(first.bottom, second.bottom) - max(first.top, second.top)
    columns = min(first.right, second.right) - max(first.left, second.left)
    common = max(rows, 0) * max(columns, 0)
    return common / (first.area + second.area - common)
