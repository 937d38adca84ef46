"""Corrections to the symbolic engine, where it guesses and a wrong guess would become a wrong rewrite.

Compared with the shapes that ONNX's own operator tests produce, with every dimension of every input made a
symbol, `onnx_shape_inference` 0.4 is wrong in nine places. Each correction leaves what is guessed open:
- two different symbols broadcast together: it takes the first, but either may be 1;
- Expand of a value of unknown shape: it takes the target for the result, but 1 means whatever is there;
- Split by sizes known only at run time: it takes equal parts;
- Slice of a symbolic size: it takes the length asked for, but there may be less;
- Squeeze by axes known only at run time, or of all axes of size 1 where sizes are symbols: it squeezes what
  it knows to be 1;
- Unique along an axis: it takes the flattened form;
- pooling with ceil_mode: it counts a last window that would start in the padding, which ONNX drops;
- If with one branch of unknown shape: it takes the other branch's;
- Loop: it takes the last state of the body for the result, and the largest trip count for the real one.
Of onnxruntime's operators on integers, it gives pools and means the shape of what they read, and QGemm the type float32
where that is given a zero point for the result.
It also keeps silent about sizes that do not broadcast; that becomes an error. And it writes `ceiling`, which
`onnx_ir` 1.1 prints, but neither that nor the engine reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import onnx_ir as ir
import sympy
from onnx_ir import _symbolic_shapes as ir_expressions
from onnx_shape_inference import ShapeInferenceContext, registry
from onnx_shape_inference import _symbolic_shapes as engine_expressions

from graphopt.ir.shape_memo import SHAPES_DECIDE, Infer, remember
from graphopt.ir.shape_windows import infer_convolution
from graphopt.ir.walk import label

Correction = Callable[[Infer, ShapeInferenceContext, ir.Node], None]
Dims = Sequence[int | ir.SymbolicDim]

BROADCASTING = (
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Expand Greater GreaterOrEqual Less LessOrEqual "
    "MatMul Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor"
).split()


_MICROSOFT = "com.microsoft"
_ATTRIBUTES_OF = {"AveragePool": 11, "GlobalAveragePool": 1, "ReduceMean": 13}
"""The version of the standard operators whose attributes those on integers have."""


@cache
def register_corrections() -> None:
    """Put the corrections over what the engine brings, once a process."""
    registry.collect()
    for functions in (ir_expressions._ALLOWED_FUNCTIONS, engine_expressions.ALLOWED_FUNCTIONS):  # noqa: SLF001  # the way in
        functions["ceiling"] = sympy.ceiling
    for op_type in BROADCASTING:
        _correct(op_type, _broadcast)
    _correct("Expand", _expand)
    _correct("If", _if)
    _correct("Loop", _loop)
    _correct("Split", _split)
    _correct("Slice", _slice)
    _correct("Squeeze", _squeeze)
    _correct("Unique", _unique)
    for op_type in ("AveragePool", "LpPool", "MaxPool"):
        _correct(op_type, _pool)
    _correct("Conv", infer_convolution)
    _correct("QGemm", _quantized_gemm, domain=_MICROSOFT)
    for op_type, version in _ATTRIBUTES_OF.items():
        _correct(f"QLinear{op_type}", _as_standard(op_type, version), domain=_MICROSOFT)
    for op_type in SHAPES_DECIDE:
        _correct(op_type, remember)


def _correct(op_type: str, correction: Correction, domain: str = "") -> None:
    for version in registry.version_boundaries(domain, op_type):
        original = registry.get(domain, op_type, version)

        def corrected(ctx: ShapeInferenceContext, node: ir.Node, original: Infer = original) -> None:
            correction(original, ctx, node)

        registry.register(domain, op_type, version)(corrected)


def _broadcast(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    output = node.outputs[0]
    declared = output.shape
    original(ctx, node)
    if output.shape is not None:
        rank = len(output.shape)
        _open(ctx, output, declared, frozenset(rank + axis for axis in _ambiguous_axes(ctx, node)))


def _ambiguous_axes(ctx: ShapeInferenceContext, node: ir.Node) -> frozenset[int]:
    """Return the axes, counted from the end, where different symbols meet and no size above 1 decides."""
    shapes = _broadcast_shapes(ctx, node)
    axes = set()
    for axis in range(-max(map(len, shapes), default=0), -2 if node.op_type == "MatMul" else 0):
        dims = {shape[axis] for shape in shapes if len(shape) >= -axis}
        symbols = {dim for dim in dims if not isinstance(dim, int)}
        if len(dims - symbols - {1}) > 1:
            sizes = " and ".join(str(ir.Shape(shape)) for shape in shapes)
            raise ValueError(f"{label(node)} cannot broadcast {sizes}")
        if len(symbols) > 1 and dims - symbols <= {1}:
            axes.add(axis)
    return frozenset(axes)


def _broadcast_shapes(ctx: ShapeInferenceContext, node: ir.Node) -> list[Dims]:
    shapes: list[Dims] = [value.shape.dims for value in node.inputs if value is not None and value.shape is not None]
    if node.op_type == "Expand" and node.inputs[1] is not None:
        return [*shapes[:1], ctx.get_symbolic_value(node.inputs[1]) or ()]
    return shapes


def _expand(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    data = node.inputs[0]
    if data is None or data.shape is not None:
        original(ctx, node)
    elif data.dtype is not None:
        ctx.set_dtype(node.outputs[0], data.dtype)


def _if(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    declared = [output.shape for output in node.outputs]
    original(ctx, node)
    branches = [node.attributes[name].as_graph().outputs for name in ("then_branch", "else_branch")]
    for output, shape, ends in zip(node.outputs, declared, zip(*branches, strict=True), strict=True):
        if any(end.shape is None for end in ends):
            output.shape = shape


def _loop(_: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    """Infer types alone: the body may run no time, stop early, and give a state another shape in each turn."""
    _condition, *results = node.attributes["body"].as_graph().outputs
    for output, result in zip(node.outputs, results, strict=True):
        if result.type is not None:
            ctx.set_type(output, result.type)


def _split(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    sizes = node.inputs[1] if len(node.inputs) > 1 else None
    data = node.inputs[0]
    if data is None or sizes is None or ctx.get_symbolic_value(sizes) is not None:
        original(ctx, node)
        return
    for output in node.outputs:
        _copy_opened(ctx, data, output, node.attributes.get_int("axis", 0))


def _slice(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    data, output = node.inputs[0], node.outputs[0]
    declared = output.shape
    original(ctx, node)
    if data is None or data.shape is None or output.shape is None:
        return
    dims = list(output.shape)
    for axis, (before, after) in enumerate(zip(data.shape, output.shape, strict=True)):
        if isinstance(after, int) and after and not isinstance(before, int):
            dims[axis] = declared[axis] if declared is not None else ctx.new_symbolic_dim()
    output.shape = ir.Shape(dims)


def _squeeze(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    data = node.inputs[0]
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if axes is not None:
        known = ctx.get_symbolic_value(axes) is not None
    else:
        known = "axes" in node.attributes or data is None or data.shape is None or data.shape.is_static()
    if known or data is None:
        original(ctx, node)
    elif data.dtype is not None:
        ctx.set_dtype(node.outputs[0], data.dtype)


def _unique(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    data = node.inputs[0]
    if "axis" not in node.attributes or data is None:
        original(ctx, node)
        return
    _copy_opened(ctx, data, node.outputs[0], node.attributes.get_int("axis", 0))
    for output in node.outputs[1:]:
        ctx.set_shape_and_dtype(output, ir.Shape([ctx.new_symbolic_dim()]), ir.DataType.INT64)


def _pool(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    declared = [output.shape for output in node.outputs]
    original(ctx, node)
    if node.attributes.get_int("ceil_mode", 0):
        for output, shape in zip(node.outputs, declared, strict=True):
            rank = len(output.shape) if output.shape is not None else 0
            _open(ctx, output, shape, frozenset(range(2, rank)))


def _quantized_gemm(original: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
    zero_point = node.inputs[8] if len(node.inputs) > 8 else None
    (output,) = node.outputs
    if zero_point is None:
        original(ctx, node)
        return
    output.type = None  # or float32 would contradict it
    original(ctx, node)
    output.type = None if zero_point.dtype is None else ir.TensorType(zero_point.dtype)


def _as_standard(op_type: str, version: int) -> Correction:
    """Return a correction by the standard operator of the same first input, unless the channels come last."""

    def infer(_: Infer, ctx: ShapeInferenceContext, node: ir.Node) -> None:
        standard = registry.get("", op_type, version)
        if standard is not None and node.attributes.get_int("channels_last", 0) == 0:
            standard(ctx, node)

    return infer


def _open(ctx: ShapeInferenceContext, output: ir.Value, declared: ir.Shape | None, axes: frozenset[int]) -> None:
    """Take back what was inferred of the symbolic dimensions on `axes`, in favour of what was declared."""
    if output.shape is None:
        return
    dims = list(output.shape)
    for axis in axes:
        if not isinstance(dims[axis], int):
            known = declared is not None and len(declared) == len(dims)
            dims[axis] = declared[axis] if declared is not None and known else ctx.new_symbolic_dim()
    output.shape = ir.Shape(dims)


def _copy_opened(ctx: ShapeInferenceContext, source: ir.Value, output: ir.Value, axis: int) -> None:
    """Give `output` the dtype and shape of `source`, but for one dimension that is open."""
    if source.dtype is not None:
        ctx.set_dtype(output, source.dtype)
    if source.shape is not None and -len(source.shape) <= axis < len(source.shape):
        dims = list(ctx.name_anonymous_dims_in_shape(source.shape))
        dims[axis] = ctx.new_symbolic_dim()
        ctx.set_shape(output, ir.Shape(dims))
