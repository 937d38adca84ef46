"""Opsets 1 to 6 come out in opset 7, with the meaning that their own change log gives them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate
from graphopt.errors import ModelError
from graphopt.ir.load import load
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.tensors import Array

Expected = Callable[[Array], Array]

X = np.arange(-60, 60, dtype=np.float32).reshape(2, 3, 4, 5) / 8
BIAS = np.array([1, -2, 3], np.float32)
TABLE = np.array([[1, 2, -3, 4], [5, -6, 7, 8], [-9, 10, 11, 12]], np.float32)


def at_channels(values: Array) -> Array:
    return values.reshape(3, 1, 1)


# fmt: off
MEANINGS: list[tuple[int, str, Expected]] = [
    # Broadcasting: `axis` says where the shape of the second operand begins, the last axes if it is absent.
    (6, "y = Add <broadcast = 1, axis = 1> (x, b)", lambda x: x + at_channels(BIAS)),
    (6, "y = Sub <broadcast = 1, axis = -3> (x, b)", lambda x: x - at_channels(BIAS)),
    (6, "y = Mul <broadcast = 1, axis = 1> (x, t)", lambda x: x * TABLE[:, :, None]),
    (6, "u = Transpose <perm = [2, 3, 0, 1]> (x)  y = Div <broadcast = 1> (u, b)",
     lambda x: x.transpose(2, 3, 0, 1) / BIAS),
    (6, "s = Shape (x)  r = Reshape (x, s)  y = Add <broadcast = 1, axis = 1> (r, b)", lambda x: x + at_channels(BIAS)),
    (6, "a = Abs (x)  y = Pow <broadcast = 1, axis = 1> (a, b)", lambda x: np.abs(x) ** at_channels(BIAS)),
    (6, "y = Add <broadcast = 1, axis = 0> (x, one)", lambda x: x + 1),
    (6, "y = Add <axis = 1> (x, x)", lambda x: x + x),
    (1, "a = Add <broadcast = 1, axis = 1, consumed_inputs = [0, 0]> (x, b)  y = Relu <consumed_inputs = [1]> (a)",
     lambda x: np.maximum(x + at_channels(BIAS), 0)),
    (6, "l = Greater <broadcast = 1, axis = 1> (x, b)  y = Cast <to = 1> (l)", lambda x: x > at_channels(BIAS)),
    (6, """p = Greater <broadcast = 1, axis = 1> (x, b)  q = Less <broadcast = 1, axis = 0> (b, b)
           r = Or <broadcast = 1, axis = 1> (p, q)  y = Cast <to = 1> (r)""", lambda x: x > at_channels(BIAS)),
    (6, "y = PRelu (x, b)", lambda x: np.where(x < 0, x * at_channels(BIAS), x)),
    (6, "y = PRelu (x, one)", lambda x: x),
    (6, """c = Constant <value = bool {1}> ()
           y = If (c) <then_branch = yes () => (float[2,3,4,5] v) { v = Add <broadcast = 1, axis = 1> (x, b) },
                       else_branch = no () => (float[2,3,4,5] w) { w = Identity (x) }>""",
     lambda x: x + at_channels(BIAS)),
    (6, """f = Flatten <axis = 2> (x)  w = Transpose (f)  y = Gemm <broadcast = 1, beta = 2.0> (f, w, one)""",
     lambda x: x.reshape(6, 20) @ x.reshape(6, 20).T + 2),
    # Attributes that became others, or inputs.
    (4, "y = Reshape <shape = [0, -1]> (x)", lambda x: x.reshape(2, -1)),
    (5, 'i = Cast <to = "INT32"> (x)  y = Cast <to = "float"> (i)', np.trunc),
    (3, "y = Concat (x, x)", lambda x: np.concatenate([x, x], 1)),
    (1, "y = Pad <paddings = [0, 0, 1, 0, 0, 0, 0, 2]> (x)", lambda x: np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))),
    (2, "y = Pad <pads = [0, 0, 1, 0, 0, 0, 0, 2]> (x)", lambda x: np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))),
    (1, "z, y = Split <axis = 1> (x, sizes)", lambda x: x[:, 1:]),
    (1, "y = LpPool <kernel_shape = [4, 5], p = 1.0> (x)", lambda x: np.abs(x).sum((2, 3), keepdims=True)),
    (1, "y = GlobalLpPool (x)", lambda x: np.sqrt((x * x).sum((2, 3), keepdims=True))),
    (6, "y = Upsample <height_scale = 2.0, width_scale = 3.0> (x)", lambda x: x.repeat(2, 2).repeat(3, 3)),
    (6, """r = ReduceMean <axes = [2], keepdims = 1> (x)
           y = Upsample <mode = "bilinear", height_scale = 2.0, width_scale = 1.0> (r)""",
     lambda x: x.mean(2, keepdims=True).repeat(2, 2)),
    # What does not train.
    (6, "y = BatchNormalization <is_test = 1, epsilon = 0.0> (x, b, b, b, one3)",
     lambda x: at_channels(BIAS) * (x - at_channels(BIAS)) + at_channels(BIAS)),
    (5, "y = Dropout <is_test = 1, consumed_inputs = [0]> (x)", lambda x: x),
]
REFUSALS = [
    (6, "y = BatchNormalization (x, b, b, b, b)", "trains (is_test is 0) and has one output; set it to 1"),
    (6, "y, m, v, n, w = BatchNormalization <is_test = 1> (x, b, b, b, b)", "does not train (is_test is 1) and has"),
    (6, "y = Dropout <ratio = 0.5> (x)", "drops elements at random (is_test is 0)"),
    (6, "y = Add <broadcast = 1, axis = 3> (x, b3)", "broadcasts [3,1] to axis 3 of [2,3,4,5]; correct it"),
    (6, 'y = Add <broadcast = "yes"> (x, b)', "Add (-> y) is of no opset (Attribute 'broadcast' is not of"),
    (5, "y = Tile (x, one, one)", "tiles along one axis"),
    (5, 'y = Cast <to = "FLOAT80"> (x)', "casts to the unknown type 'FLOAT80'"),
    (5, "y = Cast (x)", "lacks its required attribute 'to'"),
    (4, "y = Reshape (x)", "lacks its required attribute 'shape'"),
    (2, "y = Relu <is_test = 1> (x)", "has the attribute 'is_test', unknown at opset 7"),
    (1, "s = Shape (x)  y = Split (x, s)", "splits by sizes known only at run time"),
    (1, "y = LpPool <kernel_shape = [4, 5], p = 1.5> (x)", "has the exponent 1.5"),
    (6, "y = Upsample <height_scale = 2.0> (x)", "lacks 'height_scale' or 'width_scale'"),
    (6, "y = ATen (x)", "is unknown to opset 7"),
]
# fmt: on


def model_of(opset: int, body: str) -> ir.Model:
    """Declare no shape but the input's: old models rarely do."""
    table = ", ".join(map(str, TABLE.ravel().tolist()))
    constants = f"""float[3] b = {{1, -2, 3}}, float[3] one3 = {{1, 1, 1}}, float[1] one = {{1}},
        int64[2] sizes = {{1, 2}}, float[3,1] b3 = {{1, 2, 3}}, float[3,4] t = {{{table}}}"""
    return parse_model(f"g (float[2,3,4,5] x) => (float[] y) <{constants}> {{ {body} }}", opset=opset)


@pytest.mark.parametrize(("opset", "body", "expected"), MEANINGS)
def test_means_what_it_meant(opset: int, body: str, expected: Expected) -> None:
    model = load(model_of(opset, body))
    verify(model, types=True)
    assert model.opset_imports[""] == 7
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == ["x", "y"]
    np.testing.assert_allclose(evaluate(model, {"x": X})["y"], expected(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("opset", "body", "sentence"), REFUSALS)
def test_what_opset_7_cannot_say_is_refused(opset: int, body: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(model_of(opset, body))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("place", [(at, end) for end in range(1, 5) for at in range(end)])
def test_every_place_for_the_second_operand(place: tuple[int, int]) -> None:
    start, end = place
    shape = (2, 3, 4, 5)[start:end]
    second = np.arange(1, 1 + math.prod(shape), dtype=np.float32).reshape(shape)
    for axis in (start, start - 4):
        text = f"""g (float[2,3,4,5] x, float{list(shape)} z) => (float[] y)
            {{ h = Relu (x)  y = Mul <broadcast = 1, axis = {axis}> (h, z) }}"""
        expected = np.maximum(X, 0) * second.reshape(shape + (1,) * (4 - end))
        model = load(parse_model(text, opset=6))
        np.testing.assert_array_equal(evaluate(model, {"x": X, "z": second})["y"], expected)


def test_recurrent_networks_say_by_their_outputs_which_they_have() -> None:
    text = """g (float[5,1,2] x) => (float[1,1,4] h) <float[1,16,2] w, float[1,16,4] r>
        { y, h = LSTM <hidden_size = 4, output_sequence = 0> (x, w, r) }"""
    assert "output_sequence" not in load(parse_model(text, opset=6)).graph[0].attributes


def test_a_rank_that_nothing_tells_is_asked_for() -> None:
    text = "g (float[] x) => (float[] y) <float[3] b> { y = Add <broadcast = 1, axis = 1> (x, b) }"
    with pytest.raises(ModelError, match="axis 1 of a value of unknown rank; declare its shape"):
        load(parse_model(text, opset=6))


def test_the_given_model_stays() -> None:
    model = parse_model("g (float[2,3] x) => (float[2,3] y) { y = Dropout <is_test = 1> (x) }", opset=6)
    load(model)
    assert model.opset_imports[""] == 6
    assert "is_test" in model.graph[0].attributes
