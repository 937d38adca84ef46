"""What works along axes as a whole: sums, in which zeros do not count, and all else, in which they do."""

from __future__ import annotations

from collections.abc import Collection

from graphopt.coupling.operands import is_given
from graphopt.coupling.site import Operand, Site
from graphopt.ir.walk import is_op

AXES = 1  # the input that names them
_LATE_AXIS = 13
"""The opset in which Softmax and its kin got -1 for a default; before, they flattened from axis 1 on."""
_SUMS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSum", "ReduceSumSquare")


def reduce(site: Site) -> None:
    """Let the axes end that are summed over, freeze those reduced otherwise (ONNX operator spec, ReduceSum-13)."""
    axes = site.integers("axes", AXES)
    if axes is None and is_given(site.node, "axes", AXES):
        return site.freeze_all("reduces axes that are not known")
    if not axes:
        axes = [] if site.node.attributes.get_int("noop_with_empty_axes", 0) else list(range(site.data.rank))
    reduced = {axis % site.data.rank for axis in axes}
    for axis in reduced:
        if is_op(site.node, *_SUMS):
            site.sums(0, axis)
        else:
            site.freeze(site.data, axis, "reduces it by more than a sum")
    return _keep(site, reduced)


def arg(site: Site) -> None:
    """Freeze the axis that it searches (ONNX operator spec, ArgMax-13)."""
    axis = site.axis(0)
    site.freeze(site.data, axis, "numbers it")
    _keep(site, {axis})


def softmax(site: Site) -> None:
    """Freeze the axes that it normalizes: one, in older opsets all from it on (ONNX operator spec, Softmax-13)."""
    if site.opset >= _LATE_AXIS:
        return along(site, {site.axis(-1)})
    return along(site, range(site.axis(1), site.data.rank))


def lp_normalization(site: Site) -> None:
    """Freeze the axis that it normalizes (ONNX operator spec, LpNormalization-1)."""
    along(site, {site.axis(-1)})


def cumulation(site: Site) -> None:
    """Freeze the axis along which it adds up (ONNX operator spec, CumSum-14)."""
    axis = site.integers("axis", 1)
    if axis is None:
        return site.freeze_all("adds up along an axis that is not known")
    return along(site, {axis[0] % site.data.rank})


def top(site: Site) -> None:
    """Freeze the axis that it searches (ONNX operator spec, TopK-11)."""
    along(site, {site.axis(-1)})


def along(site: Site, axes: Collection[int]) -> None:
    """Freeze some axes of the first input and of all outputs, and tie the others."""
    for result in site.outputs:
        if result is not None:
            for axis in range(site.data.rank):
                _tie_or_freeze(site, result, axis, frozen=axis in axes)


def _tie_or_freeze(site: Site, result: Operand, axis: int, *, frozen: bool) -> None:
    if not frozen:
        site.tie(site.data, axis, result, axis)
        return
    for operand in (site.data, result):
        site.freeze(operand, axis, "works along it as a whole")


def _keep(site: Site, reduced: Collection[int]) -> None:
    """Tie the axes that are left; the others are 1 or gone."""
    kept = bool(site.node.attributes.get_int("keepdims", 1))
    others = [axis for axis in range(site.data.rank) if axis not in reduced]
    for number, axis in enumerate(others):
        site.tie(site.data, axis, site.result, axis if kept else number)
