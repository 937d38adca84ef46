"""The same numbers in the form that a target computes in integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.ir.load import Source
from graphopt.ir.opset import convert_opset
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.quantization.doctor.carry import carry_parameters
from graphopt.quantization.doctor.channels import move_channel_scales
from graphopt.quantization.doctor.choose import nodes_in_integers, plan_of
from graphopt.quantization.doctor.diagnosis import Diagnosis, examine, runtime_of
from graphopt.quantization.doctor.faint import raise_faint_scales
from graphopt.quantization.doctor.integral import compute_on_integers
from graphopt.quantization.doctor.normalization import fold_normalizations
from graphopt.quantization.doctor.opened import open_quantized
from graphopt.quantization.doctor.quantizers import integers_of, is_dequantize, is_quantize
from graphopt.quantization.doctor.read import Reading, read
from graphopt.quantization.doctor.roundings import keep_roundings
from graphopt.quantization.doctor.signs import make_signed, make_unsigned
from graphopt.quantization.emit import emit
from graphopt.quantization.forms import FORMS

_MENDS: Mapping[str, Sequence[Callable[[Reading], int]]] = {
    "x64": (fold_normalizations, move_channel_scales, carry_parameters, raise_faint_scales, make_unsigned),
    "tensorrt": (fold_normalizations, move_channel_scales, carry_parameters, make_signed),
}
"""By target, what makes its rules hold on a model on real numbers with its plan, in order."""

_ON_INTEGERS: Mapping[str, Callable[[ir.Model], int]] = {"x64": compute_on_integers}
"""By target, what is done to the file that was written."""


_CHANNELS_SINCE, _OTHER_BITS_SINCE = 13, 21
"""The opsets of DequantizeLinear since which scales lie along an axis, and since which there are 4 and 16 bits."""


@dataclass(frozen=True)
class Treatment:
    """What became of a quantized model.

    Attributes:
        model: with the scales, zero points and integers of the old one, in the form of the target.
        before, after: what the target makes of both.

    """

    model: ir.Model
    before: Diagnosis
    after: Diagnosis


def treat(source: Source, target: str = "x64") -> Treatment:
    """Write a quantized model anew so that a target computes in integers what it can with the same numbers.

    Scales, zero points and integers are those of the source: int8 may be written as uint8 with both moved by 128, and
    factors may move between the scales of an activation and of the weights around it. Nothing else is rounded that was
    not, but for biases, which become int32 of scale sx·sw, weights too faint for that beside their bias, and factors,
    which are float32. What no mend reaches computes in float as before. Models of opset 10 to 12 come out in 13, and in
    21 where integers have not 8 bits.

    Raises:
        ModelError: it cannot be read, holds no quantized node, or its opset lacks what the form needs.
        TargetError: there is no such target.

    """
    runtime_of(target)
    model = open_quantized(source)
    before = examine(model, target)
    needed = _needed_opset(model)
    if model.opset_imports.get("", needed) < needed:
        convert_opset(model, needed)
    reading = read(model)
    for mend in _MENDS[target]:
        mend(reading)
    nodes = nodes_in_integers(reading, FORMS[target])
    keep_roundings(reading, nodes)
    emit(model, plan_of(reading, nodes), target)
    if target in _ON_INTEGERS:
        _ON_INTEGERS[target](model)
    infer_shapes(model)
    verify(model)
    return Treatment(model, before, examine(model, target))


def _needed_opset(model: ir.Model) -> int:
    """Return what emitters need for the integers that there are; com.microsoft has them in every opset."""
    kinds = {integers_of(node) for node in model.graph if is_quantize(node) or is_dequantize(node)}
    names = {kind.name for kind in kinds if kind is not None}
    return _CHANNELS_SINCE if names <= {"int8", "uint8", "int32"} else _OTHER_BITS_SINCE
