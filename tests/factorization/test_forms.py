"""Every form at its full ranks computes what the layer did, for every shape class of layers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.calibration.collect import collect
from graphopt.factorization.chain import Chain, macs, macs_of
from graphopt.factorization.factor import factor
from graphopt.factorization.forms import FORMS, Ranks
from graphopt.factorization.layer import Layer, layer_of
from graphopt.factorization.moment import Moment
from graphopt.factorization.write import write
from graphopt.inspect.operations import count_operations
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.numerics import difference, differences

IMAGE = "float[2,4,9,8] x"
CONVOLUTIONS = {
    "1×1": ("float[2,4,9,8] x", "float[6,4,1,1] w", ""),
    "1×1 with strides and pads": (IMAGE, "float[6,4,1,1] w", "strides = [2,3], pads = [1,0,2,1]"),
    "3×3": (IMAGE, "float[6,4,3,3] w", "pads = [1,1,1,1]"),
    "unlike sizes, strides, pads and dilations": (
        IMAGE,
        "float[5,4,3,2] w",
        "strides = [2,1], pads = [2,0,1,3], dilations = [1,2]",
    ),
    "padded as TensorFlow does": (IMAGE, "float[5,4,3,2] w", 'strides = [2,3], auto_pad = "SAME_UPPER"'),
    "padded at the lower end": (IMAGE, "float[5,4,2,3] w", 'strides = [3,2], auto_pad = "SAME_LOWER"'),
    "not padded": (IMAGE, "float[5,4,3,3] w", 'auto_pad = "VALID"'),
    "groups": (IMAGE, "float[6,2,3,3] w", "group = 2, pads = [1,1,1,1], strides = [1,2]"),
    "depthwise": (IMAGE, "float[4,1,3,3] w", "group = 4, pads = [1,1,1,1], strides = [2,2]"),
    "one axis": ("float[2,4,9] x", "float[6,4,3] w", "strides = [2], pads = [2,1], dilations = [2]"),
    "three axes": ("float[1,4,5,6,4] x", "float[5,4,2,3,2] w", "strides = [1,2,1], pads = [1,0,1,0,2,0]"),
    "a row": (IMAGE, "float[6,4,1,3] w", "pads = [1,1,0,1], strides = [2,1]"),
    "a column": (IMAGE, "float[6,4,3,1] w", "pads = [1,1,0,1], strides = [2,2]"),
}
MATRICES = {
    "MatMul": ("float[3,5] x", "float[5,4] w", "MatMul (r, w)"),
    "MatMul of many axes": ("float[2,3,5] x", "float[5,4] w", "MatMul (r, w)"),
    "Gemm": ("float[3,5] x", "float[5,4] w, float[4] b", "Gemm (r, w, b)"),
    "Gemm turned": ("float[5,3] x", "float[4,5] w, float[4] b", "Gemm <transA = 1, transB = 1> (r, w, b)"),
    "Gemm scaled": ("float[3,5] x", "float[5,4] w, float[1,4] b", "Gemm <alpha = 0.5, beta = 2.0> (r, w, b)"),
    "Gemm with one bias for all": ("float[3,5] x", "float[5,4] w, float b", "Gemm <beta = 3.0> (r, w, b)"),
    "Gemm with a bias a row": ("float[3,5] x", "float[5,4] w, float[3,1] b", "Gemm <beta = 3.0> (r, w, b)"),
    "Gemm with a bias that is computed": ("float[3,5] x, float[3,4] d", "float[5,4] w", "Gemm <beta = 3.0> (r, w, d)"),
}


def model_of(kind: str) -> ir.Model:
    """Make a network of one layer and a Relu before it, with the shape of its output inferred."""
    x, constants, call = MATRICES[kind] if kind in MATRICES else _convolution(*CONVOLUTIONS[kind])
    model = parse_model(f"g ({x}) => (float[1] y) <{constants}> {{ r = Relu (x) y = {call} }}")
    model.graph.outputs[0].shape = None
    infer_shapes(model)
    return model


def _convolution(x: str, weight: str, attributes: str) -> tuple[str, str, str]:
    outputs = weight.partition("[")[2].partition(",")[0]
    given = f"<{attributes}> " if attributes else ""
    return x, f"{weight}, float[{outputs}] b", f"Conv {given}(r, w, b)"


def the_layer(model: ir.Model) -> Layer:
    layers = [layer for node in model.graph if isinstance(layer := layer_of(node), Layer)]
    assert len(layers) == 1
    return layers[0]


def factored(model: ir.Model, form: str, ranks: Ranks, moment: Moment | None = None) -> ir.Model:
    changed = model.clone()
    layer = the_layer(changed)
    write(changed.graph, layer, factor(layer, moment or Moment.of(layer, None), form, ranks), Names(changed))
    infer_shapes(changed)
    verify(changed, types=True)
    return changed


def data_moment(model: ir.Model) -> tuple[Layer, Moment]:
    """Return the layer and what three batches of noise say of it."""
    layer = the_layer(model)
    feeds = [random_feeds(model, seed=seed) for seed in range(3)]
    statistics = collect(model, feeds, (), [layer.name], threads=1)
    return layer, Moment.of(layer, statistics.grams[layer.name])


def having(form: str) -> list[str]:
    """Return the kinds of layers that can have a form."""
    kinds = [*CONVOLUTIONS, *MATRICES]
    return [kind for kind in kinds if FORMS[form].largest(the_layer(model_of(kind))) is not None]


EVERY = [(form, kind) for form in FORMS for kind in having(form)]


@pytest.mark.parametrize(("form", "kind"), EVERY)
@pytest.mark.parametrize("with_data", [False, True])
def test_full_ranks_are_exact(form: str, kind: str, with_data: bool) -> None:
    model = model_of(kind)
    layer = the_layer(model)
    moment = data_moment(model)[1] if with_data else None
    ranks = FORMS[form].largest(layer)
    assert ranks is not None
    changed = factored(model, form, ranks, moment)
    assert len(changed.graph) > len(model.graph)
    for seed in range(2):
        feeds = random_feeds(model, seed=seed)
        for found in differences(evaluate(model, feeds), evaluate(changed, feeds)):
            assert found.error < 1e-5, found


@pytest.mark.parametrize(("form", "kind"), EVERY)
def test_operations_are_counted_as_they_are(form: str, kind: str) -> None:
    model = model_of(kind)
    layer = the_layer(model)
    largest = FORMS[form].largest(layer)
    assert largest is not None
    ranks = tuple(max(rank // 2, 1) for rank in largest)
    chain = factor(layer, Moment.of(layer, None), form, ranks)
    changed = factored(model, form, ranks)
    batch = model.graph.inputs[0].shape[0] if layer.kernel else 1
    assert count_operations(changed).macs == batch * macs(chain.stages, layer)
    assert count_operations(model).macs == batch * macs_of(layer)


@pytest.mark.parametrize(("form", "kind"), EVERY)
def test_what_is_written_is_the_map_that_is_judged(form: str, kind: str) -> None:
    """Below full ranks the network answers as the layer with the weight that the chain says it is."""
    model = model_of(kind)
    layer, moment = data_moment(model)
    largest = FORMS[form].largest(layer)
    assert largest is not None
    ranks = tuple(max(rank // 2, 1) for rank in largest)
    chain = factor(layer, moment, form, ranks)
    changed = factored(model, form, ranks, moment)
    feeds = random_feeds(model, seed=5)
    expected = evaluate(with_map(model, chain), feeds)["y"]
    assert difference("y", expected, evaluate(changed, feeds)["y"]).error < 1e-5


def with_map(model: ir.Model, chain: Chain) -> ir.Model:
    """Return the model with a layer of another weight, and with the shift behind it."""
    changed = model.clone()
    layer = the_layer(changed)
    rows = chain.rows / layer.node.attributes.get_float("alpha", 1.0)
    weight = layer.node.inputs[1]
    transposed = layer.node.attributes.get_int("transB", 0)
    array = rows.reshape(weight.shape.numpy()) if layer.kernel else rows[0] if transposed else rows[0].T
    weight.const_value = ir.tensor(np.ascontiguousarray(array.astype(np.float32)), name=weight.name)
    if layer.takes_bias:
        beta = layer.node.attributes.get_float("beta", 1.0)
        bias = ((layer.bias + chain.shift) / beta).astype(np.float32)
        layer.node.replace_input_with(2, add_initializer(changed.graph, "shifted", bias))
    return changed


@pytest.mark.parametrize(("form", "kind"), EVERY)
@pytest.mark.parametrize("share", [0.25, 0.6])
def test_data_make_no_larger_error_than_the_weight_alone(form: str, kind: str, share: float) -> None:
    layer, moment = data_moment(model_of(kind))
    largest = FORMS[form].largest(layer)
    assert largest is not None
    ranks = tuple(max(int(rank * share), 1) for rank in largest)
    blind, seeing = (factor(layer, each, form, ranks) for each in (Moment.of(layer, None), moment))
    errors = [moment.energy(chain.rows - layer.rows) for chain in (blind, seeing)]
    assert errors[1] <= errors[0] * (1 + 1e-9) + 1e-12 * moment.energy(layer.rows)
