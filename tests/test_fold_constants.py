"""What the Markdown cases of fold-constants cannot say: forms without a text, functions, bits, failures, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from graphopt.ir.constants import constant
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.pipeline.context import Context
from graphopt.pipeline.remark import Verdict
from graphopt.targets import host
from graphopt.tensors import Array
from passes.fold_constants import FoldConstants, evaluation


def fold(model: ir.Model, folding: FoldConstants | None = None) -> tuple[int, list[str]]:
    """Fold a model; return the number of changes and what was missed."""
    context = Context(host(), pass_name=FoldConstants.name)
    changes = (folding or FoldConstants()).run(model, context)
    verify(model)
    return changes, [str(remark) for remark in context.remarks if remark.verdict is Verdict.MISSED]


def constants(model: ir.Model) -> dict[str, Array | None]:
    return {name: constant(value) for name, value in model.graph.initializers.items()}


def sparse(values: list[float], indices: list[int], shape: list[int]) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.asarray(values, np.float32), "values"),
        numpy_helper.from_array(np.asarray(indices, np.int64), "indices"),
        shape,
    )


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"value": numpy_helper.from_array(np.eye(2, dtype=np.float16))}, np.eye(2, dtype=np.float16)),
        ({"value_float": 0.5}, np.float32(0.5)),
        ({"value_floats": [0.5, 1.0]}, np.array([0.5, 1], np.float32)),
        ({"value_int": 3}, np.int64(3)),
        ({"value_ints": [3, 4]}, np.array([3, 4], np.int64)),
        ({"value_string": "a"}, np.array("a", object)),
        ({"value_strings": ["a", "b"]}, np.array(["a", "b"], object)),
        ({"sparse_value": sparse([5, 6], [1, 2], [4])}, np.array([0, 5, 6, 0], np.float32)),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_every_form_of_constant(attribute: dict[str, object], expected: Array) -> None:
    node = helper.make_node("Constant", [], ["c"], **attribute)
    output = helper.make_tensor_value_info("c", helper.np_dtype_to_tensor_dtype(np.asarray(expected).dtype), None)
    graph = helper.make_graph([node], "g", [], [output])
    model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10))
    assert fold(model) == (1, [])
    (array,) = constants(model).values()
    assert array is not None
    assert array.dtype == expected.dtype
    decoded = [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    assert decoded == np.asarray(expected).ravel().tolist()
    assert array.shape == np.shape(expected)


FUNCTION = """
<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
g (float[2] x) => (float[2] y) { y = local.scale <factor = 2.0> (x) }
<domain: "local", opset_import: ["" : 17]>
scale <factor> (a) => (b) {
  one = Constant <value = float[2] {1, 4}> ()
  root = Sqrt (one)
  half = Neg (root)
  given = Constant <value_float: float = @factor> ()
  c = Mul (a, given)
  b = Add (c, half)
}
"""


def test_functions_keep_constant_nodes() -> None:
    model = parse_model(FUNCTION)
    assert fold(model) == (3, [])
    (function,) = model.functions.values()
    assert [node.op_type for node in function] == ["Constant", "Constant", "Mul", "Add"]
    np.testing.assert_array_equal(constant(function[3].inputs[1]), np.array([-1, -2], np.float32))
    assert fold(model)[0] == 0


def test_results_are_exact_to_the_bit() -> None:
    bits = np.array([0x7FC00001, 0x80000000, 0x7F800000, 0x00000001], np.uint32)
    model = parse_model("g () => (float[2,2] y) <int64[2] s = {2, 2}, float[4] c> { y = Reshape (c, s) }")
    model.graph.initializers["c"].const_value = ir.tensor(bits.view(np.float32), name="c")
    fold(model)
    array = constants(model)["y"]
    assert array is not None
    np.testing.assert_array_equal(array.view(np.uint32).ravel(), bits)


def test_one_failing_node_spoils_nothing_else() -> None:
    model = parse_model(
        "g () => (float[2] y, float[2] z, float b) <float[2] c, int64 i = {9}>"
        "{ b = Gather (c, i) y = Exp (c) z = Neg (y) }"
    )
    changes, remarks = fold(model)
    assert set(constants(model)) == {"c", "i", "y", "z"}
    assert changes == 2
    assert [remark.partition(": it cannot")[0] for remark in remarks] == ["missed: fold-constants: Gather (-> b)"]


def test_chains_longer_than_one_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_CHUNK", 4)
    steps = " ".join(f"c{i + 1} = Neg (c{i})" for i in range(11))
    model = parse_model(f"g (float[2] x) => (float[2] y) <float[2] c0 = {{1, 2}}> {{ {steps} y = Add (x, c11) }}")
    fold(model)
    assert [node.op_type for node in model.graph] == ["Add"]
    np.testing.assert_array_equal(constants(model)["c11"], np.array([-1, -2], np.float32))


def test_what_would_fill_the_memory_is_not_tried() -> None:
    model = parse_model(
        "g (float[N] x) => (float[N] y) <int64[3] s = {100000, 100000, 100000}>"
        "{ big = ConstantOfShape (s) sum = ReduceSum <keepdims=0> (big) y = Add (x, sum) }"
    )
    changes, remarks = fold(model)
    assert changes == 0
    assert "its result has 4000000000000000 bytes" in remarks[0]


def test_sizes_found_by_evaluation_are_guarded_too() -> None:
    model = parse_model(
        "g (float[N] x) => (float[N,16] y) <float n = {16}, float zero = {0}, float one = {1}, int64[1] axis = {1}>"
        "{ r = Range (zero, n, one) u = Unsqueeze (x, axis) y = Add (u, r) }"
    )
    changes, remarks = fold(model, FoldConstants(max_bytes=32))
    assert changes == 0
    assert "its result has 64 bytes" in remarks[0]


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    model = parse_model("g (float[N,64] x) => (float[N,32] y) <float[32,64] w> { t = Transpose (w) y = MatMul (x, t) }")
    expected = np.array(constants(model)["w"]).T
    save(model, tmp_path / "model.onnx", external_data=True)
    loaded = load(tmp_path / "model.onnx")
    fold(loaded)
    np.testing.assert_array_equal(constants(loaded)["t"], expected)


def test_overridable_defaults_are_kept_on_request(tmp_path: Path) -> None:
    model = parse_model("g (float[2] x, float[2] a = {1, 4}) => (float[2] y) { r = Sqrt (a) y = Add (x, r) }")
    save(model, tmp_path / "model.onnx")
    assert fold(load(tmp_path / "model.onnx", overridable_initializers=True))[0] == 0
    assert fold(load(tmp_path / "model.onnx"))[0] > 0


def test_many_nodes_are_one_pass_over_them() -> None:
    steps = " ".join(f"c{i} = Neg (w) y{i + 1} = Add (y{i}, c{i})" for i in range(2000))
    model = parse_model(f"g (float[2] y0) => (float[2] y2000) <float[2] w = {{1, 2}}> {{ {steps} }}")
    assert fold(model)[0] == 2001
    assert len(model.graph) == 2000


def test_floats_of_eight_bits_keep_their_type() -> None:
    model = parse_model("g () => (float8e4m3fn[2] y) <float[2] c = {1, 0.5}> { y = Cast <to = 17> (c) }", opset=19)
    fold(model)
    array = constants(model)["y"]
    assert array is not None
    assert array.dtype == ir.DataType.FLOAT8E4M3FN.numpy()
    np.testing.assert_array_equal(array.astype(np.float32), np.array([1, 0.5], np.float32))
