"""Taking away the mean that quantization adds to what a layer makes, with everything before it quantized.

Clipped and rounded activations have another mean: E[Ŵ x̂] is not E[W x], even where weights were rounded so that E[Ŵ x]
is (`graphopt.quantization.refine`). The difference goes into the bias, b + E[W x] - E[Ŵ x̂] (Nagel et al. 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2; on data as in Finkelstein et al.
2019, "Fighting Quantization Bias With Bias"), layer after layer: each is measured with those before it corrected.
Measured all at once, each would correct again what those before it have corrected, and the answers drift away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.errors import CalibrationError
from graphopt.ir.extract import extract
from graphopt.ir.walk import is_op
from graphopt.quantization.biases import bias_name, bias_of
from graphopt.quantization.emit import emit
from graphopt.quantization.obstacles import BIASED, clamp_of
from graphopt.quantization.partial import results_of
from graphopt.quantization.plan import Plan
from graphopt.quantization.rows import Float64, to_rows, weight_of
from graphopt.tensors import Feeds


def mean_sums(node: ir.Node, mean: Float64) -> Float64:
    """Return the mean of each channel that a layer of the model in float32 makes, [channels].

    `mean`, [groups, columns], is that of what it multiplies (`graphopt.calibration.gram.Gram.mean`). Raises ValueError
    where the node has no constant weight.
    """
    weight, bias = weight_of(node), bias_of(node)
    if weight is None:
        raise ValueError(f"{node.op_type} has no constant weight")
    sums = (to_rows(node, weight.astype(np.float64)) @ mean[:, :, None]).ravel()
    return np.asarray(sums if bias is None else sums + bias)


def checkpoints(layers: Sequence[str], count: int) -> list[str]:
    """Return that many layers, spread evenly over all, the last one among them: shifts do not grow far between."""
    ends = np.linspace(0, len(layers), min(count, len(layers)) + 1)[1:]
    return [layers[round(end) - 1] for end in ends]


def correct_biases(
    model: ir.Model,
    plan: Plan,
    form: str,
    expected: Mapping[str, Float64],
    samples: Iterable[Feeds],
    *,
    threads: int = 0,
    on_layer: Callable[[int], None] | None = None,
) -> Plan:
    """Return a plan in which layers make on average, channel by channel, what they make in float32.

    The quantized model runs once on all samples for each layer, up to that. A product that adds no bias stays.

    Args:
        model: that the plan was made for.
        plan: the decisions.
        form: how to write them (`graphopt.quantization.forms.FORMS`).
        expected: the means of the layers to correct, by the name of their first output (`mean_sums`).
        samples: feeds, samples along the leading axis; gone through again for each layer.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_layer: told how many layers are done.

    Raises:
        CalibrationError: there are no samples, or they can be gone through once only.

    """
    results = results_of(model, plan)
    layers = {str(node.outputs[0].name): node for node in model.graph if node.outputs}
    for done, name in enumerate([name for name in results if name in expected], start=1):
        if layers[name].op_type in BIASED:
            key = bias_name(layers[name])
            found = _means(_up_to(model, plan, form, results[name]), samples, threads)
            bias = plan.biases.get(key, bias_of(layers[name]))
            corrected = expected[name] - found + (0 if bias is None else bias)
            plan = dataclasses.replace(plan, biases={**plan.biases, key: corrected.astype(np.float32)})
        if on_layer is not None:
            on_layer(done)
    return plan


def _up_to(model: ir.Model, plan: Plan, form: str, result: str) -> ir.Model:
    """Return the quantized model up to the sum that a layer makes, before its integers and a clamp behind it."""
    quantized = model.clone()
    emit(quantized, plan, form)
    node = next((node for node in quantized.graph for value in node.outputs if value.name == result), None)
    while node is not None and (is_op(node, "QuantizeLinear", "DequantizeLinear") or clamp_of(node)):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None:
        raise ValueError(f"no layer makes {result!r}")
    return extract(quantized, outputs=[str(node.outputs[0].name)])


def _means(model: ir.Model, samples: Iterable[Feeds], threads: int) -> Float64:
    """Return the mean of each channel of a model's output: axis 1 of [samples, channels, …]."""
    session = reference_session(model, threads=threads, optimize=True)
    total, count = np.zeros(1), 0
    for feeds in samples:
        (array,) = session.run({spec.name: feeds[spec.name] for spec in session.inputs}).values()
        rows = array.reshape(*array.shape[:2], -1)
        total = total + rows.sum(axis=(0, 2), dtype=np.float64)
        count += rows.shape[0] * rows.shape[2]
    if not count:
        raise CalibrationError("there are no samples to correct biases by; give data that can be gone through again")
    return total / count
