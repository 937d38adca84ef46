"""How an operator runs on inputs that are not transposed yet: a table.

If v = Transpose(u, p), dimension i of v is dimension p[i] of u. For an operator f of the table,

    f(Transpose(u, p), …) = Transpose(f'(u, …), q)

where f' is f with its axes and constants written for u. Where f drops axes, q orders those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphopt.ir.constants import constant
from graphopt.tensors import Array
from passes.simplify_movement.facts import Permutation, dims, has_setting, input_of, integers, inverse, rank
from passes.simplify_movement.sinking.movements import cut, expand, gather, pad, resize, tile, unsqueeze
from passes.simplify_movement.sinking.place import Move, Place, left

SOFTMAX_IS_ALONG_ONE_AXIS = 13
"""The opset before which Softmax flattens all axes from `axis` on into one."""
SCALES_HAVE_AN_AXIS = 13
"""The opset since which QuantizeLinear and DequantizeLinear take a scale for each element of an axis."""

Layout = Callable[[Place], Move | None]


def _elementwise(place: Place) -> Move | None:
    """Broadcasting aligns trailing axes, so a constant is permuted at full rank; ones fit any order."""
    constants: dict[int, Array] = {}
    for index, value in enumerate(place.node.inputs):
        if value is None or index in place.transposed:
            continue
        known, array = dims(value), constant(value)
        if known is None or len(known) > len(place.perm):
            return None
        if all(dim == 1 for dim in known):
            continue
        if array is None:
            return None
        constants[index] = _before(array, place.perm)
    return Move(place.perm, constants=constants)


def _before(array: Array, perm: Permutation) -> Array:
    """Permute a constant that broadcasts against Transpose(u, perm) for u; without leading ones."""
    whole = array.reshape((1,) * (len(perm) - array.ndim) + array.shape).transpose(inverse(perm))
    leading = next((axis for axis, size in enumerate(whole.shape) if size != 1), whole.ndim)
    return whole.reshape(whole.shape[leading:])


def _concat(place: Place) -> Move | None:
    constants: dict[int, Array] = {}
    for index, value in enumerate(place.node.inputs):
        array = constant(value)
        if index in place.transposed:
            continue
        if array is None or array.ndim != len(place.perm):
            return None
        constants[index] = array.transpose(inverse(place.perm))
    return Move(place.perm, {"axis": place.moved(place.node.attributes.get_int("axis", 0))}, constants)


def _along(default: int, since: int = 0) -> Layout:
    """Return the layout of an operator that works along one axis."""

    def layout(place: Place) -> Move | None:
        if place.transposed != {0} or place.opset < since:
            return None
        return Move(place.perm, {"axis": place.moved(place.node.attributes.get_int("axis", default))})

    return layout


def _reduce(place: Place) -> Move | None:
    if place.transposed != {0}:
        return None
    axes, keeps = integers(place.node, "axes", 1), bool(place.node.attributes.get_int("keepdims", 1))
    if not has_setting(place.node, "axes", 1):
        axes = None if place.node.attributes.get_int("noop_with_empty_axes", 0) else tuple(range(len(place.perm)))
    return _along_axes(place, axes, keeps=keeps) if axes else None


def _arg(place: Place) -> Move | None:
    axis, keeps = place.node.attributes.get_int("axis", 0), bool(place.node.attributes.get_int("keepdims", 1))
    if place.transposed != {0}:
        return None
    return Move(left(place, [axis], keeps=keeps), {"axis": place.moved(axis)})


def _squeeze(place: Place) -> Move | None:
    axes = integers(place.node, "axes", 1)
    return _along_axes(place, axes, keeps=False) if axes and place.transposed == {0} else None


def _along_axes(place: Place, axes: Sequence[int], *, keeps: bool) -> Move:
    moved, perm = sorted(place.moved(axis) for axis in axes), left(place, axes, keeps=keeps)
    if not has_setting(place.node, "axes", 1):
        return Move(perm)
    if "axes" in place.node.attributes:
        return Move(perm, {"axes": moved})
    return Move(perm, constants={1: np.array(moved, np.int64)})


def _cumulative(place: Place) -> Move | None:
    axis = constant(input_of(place.node, 1))
    if axis is None or axis.size != 1 or place.transposed != {0}:
        return None
    return Move(place.perm, constants={1: np.full_like(axis, place.moved(int(axis.reshape(()))))})


def _quantize(place: Place) -> Move | None:
    """Quantize with one scale, or with one for each element of an axis; blocks of one stay where they are."""
    scales = rank(input_of(place.node, 1))
    if place.transposed != {0} or "block_size" in place.node.attributes or scales not in (0, 1):
        return None
    if scales == 0:
        return Move(place.perm)
    if place.opset < SCALES_HAVE_AN_AXIS:
        return None
    return Move(place.perm, {"axis": place.moved(place.node.attributes.get_int("axis", 1))})


_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Celu
    Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN
    LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink
    Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
""".split()
_REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
""".split()

LAYOUTS: Mapping[str, Layout] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), _along(-1, SOFTMAX_IS_ALONG_ONE_AXIS)),
    **dict.fromkeys(("LpNormalization", "TopK"), _along(-1)),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), _quantize),
    "Concat": _concat,
    "CumSum": _cumulative,
    "Expand": expand,
    "Gather": gather,
    "Pad": pad,
    "Resize": resize,
    "Slice": cut,
    "Split": _along(0),
    "Squeeze": _squeeze,
    "Tile": tile,
    "Unsqueeze": unsqueeze,
}
