"""The regions of text that a detector finds, and which of them another detector does not.

The output of PP-OCR's detector is the probability of each pixel to be text. RapidOCR, in whose wheel the model comes,
makes boxes of it (differentiable binarization, Liao et al. 2020); here it does so with the settings of that wheel.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapidocr_onnxruntime.ch_ppocr_det.utils import DBPostProcess
from shapely import Polygon

from graphopt.tensors import Array

SETTINGS = {"thresh": 0.3, "box_thresh": 0.5, "max_candidates": 1000, "unclip_ratio": 1.6, "use_dilation": True}
"""As in `config.yaml` of rapidocr-onnxruntime 1.4.4."""
SAME = 0.5
"""Regions are one where they share this much of what they cover together."""


def text_regions(probability: Array) -> list[Polygon]:
    """Return the boxes around the text of a map, [rows, columns]."""
    boxes, _ = DBPostProcess(**SETTINGS)(probability[None, None], probability.shape)
    return [Polygon(corners) for corners in boxes]


def absent(regions: Sequence[Polygon], others: Sequence[Polygon]) -> list[Polygon]:
    """Return the regions that none of the others is the same as."""
    return [region for region in regions if all(overlap(region, other) < SAME for other in others)]


def overlap(first: Polygon, second: Polygon) -> float:
    """Return the intersection of two regions over their union."""
    return float(first.intersection(second).area / first.union(second).area)
