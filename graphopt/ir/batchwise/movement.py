"""Rules for operators that move, repeat and select elements."""

from __future__ import annotations

import numpy as np

from graphopt.ir.batchwise.operands import ALONG, UNKNOWN, alike, data, off_batch, others
from graphopt.ir.batchwise.site import Kind, Site

_SHAPES = frozenset({Kind.SAME, Kind.SIZE})
_TO_THE_END = 2**31 - 1
_ALIGNED = frozenset({"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners"})
"""Modes of Resize in which a scale of 1 leaves every element where it is; tf_half_pixel_for_nn may take the next."""


def reshape(site: Site) -> str | None:
    """Row-major order: if the leading dimension stays the batch, the others rearrange each sample."""
    return others(site, 1, _SHAPES)


def expand(site: Site) -> str | None:
    """Check x broadcast to a shape that has no batch of its own, or (1, …) to (N, …): a sample like the next."""
    rank, result = site.rank(), site.node.outputs[0].shape
    if rank is None or result is None:
        return "broadcasts to a shape of unknown rank"
    if site.kind(0) is Kind.SIZE:
        return "repeats the size of the batch"
    if site.kind(0) is Kind.SAME:
        shape = site.shape(0)
        return None if rank < len(result) or (shape is not None and shape[0] == 1) else "repeats along the batch"
    if rank != len(result):
        return "lines up the batch with another axis"
    target = site.array("shape", 1)
    if site.kind(1) is Kind.SAME and (target is None or (target.size == rank and target[0] != 1)):
        return "gives the batch a fixed size"
    return others(site, 1, _SHAPES)


def transpose(site: Site) -> str | None:
    """Check that axis 0 stays in front; without `perm` the axes turn around."""
    order = site.node.attributes.get_ints("perm", ())
    return data(site) or (None if (order and order[0] == 0) or site.rank() == 1 else "moves the batch axis")


def squeeze(site: Site) -> str | None:
    """Check the axes; left out they are all of size 1, and so the batch where it is one."""
    axes = site.axes(1)
    return data(site) or ("drops axes that are not known" if axes is None else ALONG if 0 in axes else None)


def unsqueeze(site: Site) -> str | None:
    """Check the axes, which count in the result."""
    count = site.array("axes", 1)
    axes = None if count is None else site.axes(1, added=count.size)
    return data(site) or (UNKNOWN if axes is None else "puts an axis before the batch" if 0 in axes else None)


def slice_(site: Site) -> str | None:
    """Check the axes; left out they begin with the batch. The whole batch may be taken."""
    axes = site.axes(3)
    if (reason := data(site)) is not None or axes is None:
        return reason or UNKNOWN
    if 0 not in axes:
        return None
    starts, ends, steps = (site.array(name, index) for name, index in (("starts", 1), ("ends", 2), ("steps", 4)))
    if starts is None or ends is None or (steps is None and site.kind(4) is not None):
        return ALONG
    at = axes.index(0)
    whole = starts[at] == 0 and ends[at] >= _TO_THE_END and (steps is None or steps[at] == 1)
    return None if whole else "selects from the batch"


def pad(site: Site) -> str | None:
    """Check that nothing is put before or behind the batch; the amounts are (begins, ends), by axis or by `axes`."""
    amounts, rank = site.array("pads", 1), site.rank()
    if (reason := data(site)) is not None or amounts is None or rank is None:
        return reason or UNKNOWN
    axes = list(range(rank)) if site.kind(3) is None else site.axes(3)
    if axes is None:
        return UNKNOWN
    return "pads the batch" if 0 in axes and amounts.reshape(2, -1)[:, axes.index(0)].any() else None


def tile(site: Site) -> str | None:
    """Check that the batch is there once."""
    repeats = site.array("repeats", 1)
    return data(site) or (None if repeats is not None and repeats[0] == 1 else "repeats the batch")


def gather(site: Site) -> str | None:
    """Check y = x[:, …, indices, …] with axis > 0, or rows of a table by indices that are samples."""
    axis = site.node.attributes.get_int("axis", 0)
    if site.kind(0) is Kind.SAMPLES:
        return others(site, 1) or off_batch(site.axis(0))
    return None if site.kind(0) is Kind.SAME and site.counted(axis) == 0 else "moves the batch axis"


def gather_nd(site: Site) -> str | None:
    """Check that the batch is one of the `batch_dims` of data and indices."""
    if any(kind is not Kind.SAMPLES for kind in site.kinds):
        return "selects from samples by what is no sample, or the other way round"
    return None if site.node.attributes.get_int("batch_dims", 0) > 0 else ALONG


def concat(site: Site) -> str | None:
    """Check that samples are joined along another axis."""
    return alike(site) or off_batch(site.axis(1))


def split(site: Site) -> str | None:
    """Check the axis, 0 by default."""
    return data(site) or off_batch(site.axis(0))


def gather_elements(site: Site) -> str | None:
    """Check the axis, 0 by default; the indices are samples too, since their shape is the result's."""
    return alike(site) or off_batch(site.axis(0))


def resize(site: Site) -> str | None:
    """Check that the scale of the batch axis is 1, in a mode in which that moves nothing."""
    attributes = site.node.attributes
    mode = attributes.get_string("coordinate_transformation_mode", "half_pixel" if site.opset > 10 else "asymmetric")
    if site.kind(0) is not Kind.SAMPLES or mode not in _ALIGNED:
        return f"resizes in the mode {mode}, which may move samples"
    axes = site.axes(len(site.inputs)) if "axes" in attributes else None
    scales = site.array("scales", 2 if site.opset > 10 else 1)
    sized = site.kind(3) is not None
    stretched = attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    if axes is not None and 0 not in axes:
        return others(site, 1, _SHAPES)
    if sized and axes is None and stretched:
        return others(site, 1, _SHAPES)
    at = 0 if axes is None else axes.index(0)
    one = not sized and scales is not None and np.ravel(scales).size > at and scales[at] == 1
    return others(site, 1) or (None if one else "resizes the batch")
