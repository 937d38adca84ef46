"""Moving scale from the channels of an activation into the weight that reads them, for one scale to fit them all.

A layer that reads x with weight W reads x / s as well with W · s, channel by channel (G. Xiao et al.: SmoothQuant:
Accurate and efficient post-training quantization for large language models, 2023). Where x is made of constants, by
another layer, a factor or a summand, these are divided. Elsewhere a product with a constant does it, in the kernel that
makes x.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from graphopt.calibration.extremes import Extremes
from graphopt.calibration.gram import Gram
from graphopt.calibration.statistics import Statistics
from graphopt.errors import CalibrationError
from graphopt.ir.constants import constant, is_constant
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.walk import is_op
from graphopt.quantization.affine import Reals
from graphopt.quantization.chains import HOMOGENEOUS, Layer
from graphopt.quantization.forms import Form
from graphopt.quantization.obstacles import WEIGHT
from graphopt.quantization.rows import Float64
from graphopt.quantization.selection import Selection, result_of

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of what moves: at 0 all channels of the weight become equally wide, at 1 those of the activation."""

WORTH = 0.8
"""Scale moves where it leaves no more than this of the mean square error that rounding is expected to make."""

_LARGEST = 1024.0  # no channel becomes so small or large that float32 loses it
_ACTIVATION_STEPS, _WEIGHT_STEPS = 255, 127  # between the ends of one, and on either side of zero


class Passage(NamedTuple):
    """An activation, and the layer that alone reads it."""

    value: ir.Value
    layer: Layer


def passages(selection: Selection, form: Form) -> Iterator[Passage]:
    """Yield the activations whose scale can move at no cost."""
    made = {result_of(node, form) for node in selection.products} if form.epilogues else set()
    for node in selection.products:
        value, layer = node.inputs[0], Layer.of(node)
        if value is None or layer is None or value not in selection.values or len(_weight(node).uses()) > 1:
            continue
        is_read_once = len(value.uses()) == 1 and not value.is_graph_output()
        by_channels = is_op(node, "Conv") or (value.shape is not None and len(value.shape) == 2)
        if is_read_once and by_channels and (value in made or _is_absorbed(value)):
            yield Passage(value, layer)


def divisors(selection: Selection, form: Form, statistics: Statistics) -> dict[str, Reals]:
    """Return what to divide the channels of activations by, one number each, by the name of the activation.

    Of several strengths it is that for which the error of the layer's sums that rounding both factors makes is
    expected to be least, if it is worth it.
    """
    found: dict[str, Reals] = {}
    for value, layer in passages(selection, form):
        extremes = statistics.extremes.get(str(value.name))
        gram = statistics.grams.get(str(layer.node.outputs[0].name))
        if extremes is None or gram is None or extremes.minimum.size != layer.channels_in:
            continue
        scale = _best(layer, extremes, gram)
        if scale is not None:
            found[str(value.name)] = scale.astype(np.float32)
    return found


def migrate(model: ir.Model, scales: Mapping[str, Reals]) -> frozenset[str]:
    """Divide the channels of activations, and multiply the weights that read them; names stay.

    Args:
        model: as `divisors` found it; it is edited in place.
        scales: what `divisors` returned.

    Returns:
        The names of the values that are other numbers now.

    Raises:
        CalibrationError: an activation is not read by one layer alone, or has other channels.

    """
    names = Names(model)
    values = {str(value.name): value for node in model.graph for value in node.outputs}
    changed: set[str] = set()
    for name, reals in scales.items():
        value, scale = values.get(name), reals.astype(np.float64)
        layer = None if value is None else _only_reader(value)
        if value is None or layer is None or layer.channels_in != scale.size:
            raise CalibrationError(
                f"the plan divides the channels of {name!r}, which no layer of {scale.size} channels alone reads; "
                "apply it to the model that it was made for, after the same passes"
            )
        layer.scale_inputs(scale)
        layer.store(names)
        changed.add(name)
        if _is_absorbed(value):
            changed.update(_absorb(value, scale, names))
        else:
            _multiply(value, 1 / scale, names)
    return frozenset(changed)


def _only_reader(value: ir.Value) -> Layer | None:
    readers = list(value.consumers())
    return Layer.of(readers[0]) if len(readers) == 1 and not value.is_graph_output() else None


def _best(layer: Layer, extremes: Extremes, gram: Gram) -> Float64 | None:
    """Return the best scale for the channels of an activation, None where none is worth it."""
    width = np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum))
    read = np.abs(layer.by_inputs(width.size)).max(axis=(1, 3)).ravel()
    if not width.any() or not read.any():
        return None
    scales = [_scale(_alive(width), _alive(read), strength) for strength in STRENGTHS]
    before, *errors = (_expected_error(layer, extremes, gram, scale) for scale in (np.ones_like(width), *scales))
    least = min(errors)
    return scales[errors.index(least)] if least <= WORTH * before else None


def _alive(width: Float64) -> Float64:
    """Return widths with the least of the others in place of zeros, which any scale would do."""
    return np.where(width > 0, width, width[width > 0].min())


def _scale(width: Float64, read: Float64, strength: float) -> Float64:
    """Return s = width^strength / read^(1 - strength), the greatest of which is 1."""
    scale = width**strength / read ** (1 - strength)
    return np.asarray(np.maximum(scale / scale.max(), 1 / _LARGEST))


def _expected_error(layer: Layer, extremes: Extremes, gram: Gram, scale: Float64) -> float:
    """Return the mean square error of the layer's sums that rounding x / s and W · s makes, of all channels together.

    Each is rounded to the nearest of numbers a step apart, which makes a twelfth of the step squared.
    """
    groups = layer.rows.shape[0]
    span = max((extremes.maximum / scale).max(), 0.0) - min((extremes.minimum / scale).min(), 0.0)
    weight = layer.by_inputs(scale.size) * scale.reshape(groups, 1, -1, 1)
    steps = np.abs(weight).max(axis=(2, 3)) / _WEIGHT_STEPS
    squares = gram.moment if gram.is_diagonal else np.diagonal(gram.moment, axis1=1, axis2=2)
    energy = squares.reshape(groups, scale.size // groups, -1).sum(2) / np.square(scale).reshape(groups, -1)
    of_activation = (span / _ACTIVATION_STEPS) ** 2 * np.square(weight).sum()
    of_weight = (np.square(steps) * energy.sum(1, keepdims=True)).sum()
    return float(of_activation + of_weight) / 12


def _is_absorbed(value: ir.Value) -> bool:
    """Whether to divide the channels of a value changes nothing but constants."""
    node = value.producer()
    if node is None or value.shape is None or len(value.shape) < 2 or len(value.uses()) != 1 or value.is_graph_output():
        return False
    if is_op(node, *HOMOGENEOUS):
        return node.inputs[0] is not None and _is_absorbed(node.inputs[0])
    if is_op(node, "Add", "Mul"):
        summand = _constant_operand(node)
        if summand is None or node.outputs[0].dtype is not ir.DataType.FLOAT:
            return False
        other = node.inputs[1 - summand]
        return is_op(node, "Mul") or (other is not None and _is_absorbed(other))
    layer = Layer.of(node)
    return layer is not None and layer.channels_out == value.shape[1] and len(_weight(node).uses()) == 1


def _absorb(value: ir.Value, scale: Float64, names: Names) -> Iterator[str]:
    """Divide the channels of a value by changing the constants that make it; yield the values that change before it."""
    node = value.producer()
    if node is None or not isinstance(node.graph, ir.Graph):
        raise ValueError(f"no node makes {value.name!r}")
    if not is_op(node, *HOMOGENEOUS, "Add", "Mul"):
        layer = _layer(node)
        layer.scale_outputs(1 / scale)
        layer.store(names)
        return
    index = _constant_operand(node) if is_op(node, "Add", "Mul") else None
    if index is not None:
        operand = node.inputs[index]
        divided = np.asarray(constant(operand)) / _along_channels(scale, value)
        name = names.fresh(str(operand.name if operand else value.name))
        node.replace_input_with(index, add_initializer(node.graph, name, divided.astype(np.float32)))
    before = node.inputs[0 if index is None else 1 - index]
    if not is_op(node, "Mul") and before is not None:
        yield str(before.name)
        yield from _absorb(before, scale, names)


def _multiply(value: ir.Value, factor: Float64, names: Names) -> None:
    """Multiply what a node makes by a constant; the product has the name that the value had."""
    node = value.producer()
    if node is None or not isinstance(node.graph, ir.Graph):
        raise ValueError(f"no node makes {value.name!r}")
    name = str(value.name)
    along = _along_channels(factor, value).astype(np.float32)
    product = ir.node("Mul", [value, add_initializer(node.graph, names.fresh(f"{name}_factor"), along)])
    result = product.outputs[0]
    result.type, result.shape = value.type, value.shape
    value.replace_all_uses_with(result)
    product.replace_input_with(0, value)
    value.name, result.name = names.fresh(f"{name}_unscaled"), name
    node.append(product)


def _layer(node: ir.Node) -> Layer:
    layer = Layer.of(node)
    if layer is None:
        raise ValueError(f"{node.op_type} has no constant weight")
    return layer


def _weight(node: ir.Node) -> ir.Value:
    weight = node.inputs[WEIGHT]
    if weight is None:
        raise ValueError(f"{node.op_type} has no weight")
    return weight


def _constant_operand(node: ir.Node) -> int | None:
    """Return which of two operands is a constant that spans no more axes than the result, None without exactly one."""
    output, places = node.outputs[0], [index for index, operand in enumerate(node.inputs) if is_constant(operand)]
    other = node.inputs[1 - places[0]] if len(places) == 1 else None
    return places[0] if other is not None and other.shape == output.shape else None


def _along_channels(scale: Float64, value: ir.Value) -> Float64:
    """Return one number a channel, to be broadcast along axis 1 of a value."""
    return scale.reshape(-1, *(1,) * (len(value.shape or ()) - 2))
