"""Bringing a model of opset 1 to 6 to opset 7, the oldest that everything else knows.

The schemas of ONNX changed little until then: operators lost what Caffe2 had asked of them, attributes became
inputs, and broadcasting became numpy's. What has no equal at opset 7 is refused. The version converter of
onnx 1.23 is no help: it puts the second operand of a broadcast at the first axis, whichever `axis` names,
takes the slopes of PRelu for those of the last axis, keeps Upsample's mode `bilinear`, and knows neither the
logical operators nor Cast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.constants import constant
from graphopt.ir.edit import Names
from graphopt.ir.materialize import tensor_of
from graphopt.ir.operators import OLDEST_OPSET
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.ir.walk import is_op, label

_INFERENCE = "set it to 1, or export the model for inference"
_CHANNELS = 1


def raise_old_opset(model: ir.Model) -> None:
    """Write a model of opset 1 to 6 in opset 7, in place; a newer one stays untouched.

    Names and order of inputs and outputs stay, and so do the answers: where the opset left a choice to its
    reader, as with training, the model is refused.

    Raises:
        ModelError: the model is broken, or a node means something that opset 7 cannot say.

    """
    version = model.opset_imports.get("")
    if version is None or not 1 <= version < OLDEST_OPSET:
        return
    names = Names(model)
    aligned: dict[ir.Node, int] = {}
    for node in tuple(model.graph.all_nodes()):
        try:
            _raise_node(node, version, names)
            axis = _broadcast_axis(node)
        except TypeError as error:  # of an attribute
            raise ModelError(f"node {label(node)} is of no opset ({str(error).rstrip('.')}); mend it") from error
        if axis is not None:
            aligned[node] = axis
    model.opset_imports[""] = OLDEST_OPSET
    if aligned:
        _align(model, aligned, names)


def _raise_node(node: ir.Node, version: int, names: Names) -> None:
    if version < 6:  # in which of its inputs the operator could work in place
        node.attributes.pop("consumed_inputs", None)
    for until, op_types, change in _CHANGES:
        if version < until and is_op(node, *op_types):
            change(node, names)


def _broadcast_axis(node: ir.Node) -> int | None:
    """Return the axis of the first operand at which the shape of the second one begins, if it is said."""
    if is_op(node, "PRelu"):
        return _CHANNELS if len(node.inputs) == 2 else None
    if not is_op(node, *_BROADCASTING):
        return None
    said = "axis" in node.attributes  # without it the last axes are meant, as in numpy
    broadcast, axis = _take_int(node, "broadcast"), _take_int(node, "axis")
    return axis if broadcast and said and len(node.inputs) == 2 else None


def _align(model: ir.Model, axes: Mapping[ir.Node, int], names: Names) -> None:
    """Give second operands as many last axes of size 1 as numpy's broadcasting needs to find their place.

    How many depends on ranks, which few old models declare. A result has the shape of its first operand, so
    the first one stands in for the second while they are inferred.
    """
    seconds = {node: node.inputs[1] for node in axes}
    for node in axes:
        node.replace_input_with(1, node.inputs[0])
    verify(model)
    infer_shapes(model)
    for node, second in seconds.items():
        node.replace_input_with(1, second)
        if second is not None:
            missing = _missing_axes(node, second, axes[node])
            if missing:
                node.replace_input_with(1, _unsqueezed(node, second, missing, names))


def _missing_axes(node: ir.Node, second: ir.Value, axis: int) -> Sequence[int]:
    first = node.inputs[0]
    if first is None or first.shape is None or second.shape is None:
        raise ModelError(f"node {label(node)} broadcasts to axis {axis} of a value of unknown rank; declare its shape")
    rank, size = len(first.shape), len(second.shape)
    if size == 0 or (is_op(node, "PRelu") and size != 1):
        return ()
    count = rank - (axis if axis >= 0 else axis + rank) - size
    if count < 0 and second.shape != ir.Shape([1]):
        raise ModelError(f"node {label(node)} broadcasts {second.shape} to axis {axis} of {first.shape}; correct it")
    return range(size, size + count)


def _unsqueezed(node: ir.Node, value: ir.Value, axes: Sequence[int], names: Names) -> ir.Value:
    return _before(node, ir.node("Unsqueeze", [value], {"axes": list(axes)}), f"{value.name}_unsqueeze", names)


def _before(node: ir.Node, new: ir.Node, name: str, names: Names) -> ir.Value:
    node.prepend(new)
    new.outputs[0].name = names.fresh(name)
    return new.outputs[0]


def _pad(node: ir.Node, _: Names) -> None:
    paddings = node.attributes.pop("paddings", None)
    if paddings is not None:
        node.attributes.add(ir.AttrInt64s("pads", paddings.as_ints()))


def _split(node: ir.Node, _: Names) -> None:
    if len(node.inputs) < 2:
        return
    sizes = constant(node.inputs[1])
    if sizes is None:
        raise ModelError(f"node {label(node)} splits by sizes known only at run time; make them constant")
    node.attributes.add(ir.AttrInt64s("split", sizes.astype(np.int64).ravel().tolist()))
    node.resize_inputs(1)


def _exponent(node: ir.Node, _: Names) -> None:
    given = node.attributes.get("p")
    if given is None:
        return
    if not given.as_float().is_integer():
        raise ModelError(f"node {label(node)} has the exponent {given.as_float()}, which has to be whole since opset 2")
    node.attributes.add(ir.AttrInt64("p", int(given.as_float())))


def _concat(node: ir.Node, _: Names) -> None:
    if "axis" not in node.attributes:
        node.attributes.add(ir.AttrInt64("axis", 1))


def _reshape(node: ir.Node, names: Names) -> None:
    given = node.attributes.pop("shape", None)
    if given is None:
        raise ModelError(f"node {label(node)} lacks its required attribute 'shape'; add it")
    shape = ir.node("Constant", [], {"value": tensor_of(np.asarray(given.as_ints(), np.int64))})
    node.resize_inputs(2)
    node.replace_input_with(1, _before(node, shape, f"{node.outputs[0].name}_shape", names))


def _cast(node: ir.Node, _: Names) -> None:
    given = node.attributes.get("to")
    if given is None:
        return
    name = given.as_string().upper()
    if name not in ir.DataType.__members__:
        raise ModelError(f"node {label(node)} casts to the unknown type {name!r}; correct it")
    node.attributes.add(ir.AttrInt64("to", ir.DataType[name].value))


def _tile(node: ir.Node, _: Names) -> None:
    raise ModelError(f"node {label(node)} tiles along one axis, as until opset 5; export the model at a later opset")


def _recurrent(node: ir.Node, _: Names) -> None:
    node.attributes.pop("output_sequence", None)  # whether the output is there says it


def _gemm(node: ir.Node, _: Names) -> None:
    node.attributes.pop("broadcast", None)


def _batch_normalization(node: ir.Node, _: Names) -> None:
    """Up to opset 13, whether it trains is told by the outputs that follow the first."""
    trains = not _take_int(node, "is_test")
    if trains != (len(node.outputs) > 1):
        state, outputs = ("trains", "one output") if trains else ("does not train", "outputs for statistics")
        raise ModelError(f"node {label(node)} {state} (is_test is {int(not trains)}) and has {outputs}; {_INFERENCE}")


def _dropout(node: ir.Node, _: Names) -> None:
    if not _take_int(node, "is_test"):
        raise ModelError(f"node {label(node)} drops elements at random (is_test is 0); {_INFERENCE}")


def _upsample(node: ir.Node, _: Names) -> None:
    scales = [node.attributes.pop(name, None) for name in ("height_scale", "width_scale")]
    if None in scales:
        raise ModelError(f"node {label(node)} lacks 'height_scale' or 'width_scale'; add both")
    node.attributes.add(ir.AttrFloat32s("scales", [1.0, 1.0, *(scale.as_float() for scale in scales if scale)]))
    if node.attributes.get_string("mode") == "bilinear":
        node.attributes.add(ir.AttrString("mode", "linear"))


def _take_int(node: ir.Node, name: str) -> int:
    attribute = node.attributes.pop(name, None)
    return 0 if attribute is None else attribute.as_int()


_BROADCASTING = frozenset({"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"})
# What changed in which opset, as the operators' change log says (onnx, docs/Changelog.md).
_CHANGES: Sequence[tuple[int, frozenset[str], Callable[[ir.Node, Names], None]]] = (
    (2, frozenset({"Pad"}), _pad),
    (2, frozenset({"Split"}), _split),
    (2, frozenset({"GlobalLpPool", "LpPool"}), _exponent),
    (4, frozenset({"Concat"}), _concat),
    (5, frozenset({"Reshape"}), _reshape),
    (6, frozenset({"Cast"}), _cast),
    (6, frozenset({"Tile"}), _tile),
    (7, frozenset({"GRU", "LSTM", "RNN"}), _recurrent),
    (7, frozenset({"Gemm"}), _gemm),
    (7, frozenset({"BatchNormalization"}), _batch_normalization),
    (7, frozenset({"Dropout"}), _dropout),
    (7, frozenset({"Upsample"}), _upsample),
)
