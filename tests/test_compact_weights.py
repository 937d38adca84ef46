"""Weights stored in fewer bytes: bit by bit the same when they are expanded, in onnxruntime and by folding."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphopt
from graphopt.backends.ort.reference import evaluate
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.text.parser import parse_model
from graphopt.tensors import Array
from passes.compact_weights.forms import CodeBook, Masked, smallest_form
from passes.compact_weights.packing import digit_table, digits_in_a_byte, pack, packed_size

KINDS = ["few values", "zeros", "zeros and few values", "few values a row", "few values a column", "zeros of uint8"]


def product(weight: Array, opset: int = 17) -> ir.Model:
    """Return x·w, with x such that the output is w itself."""
    rows, columns = weight.shape
    model = parse_model(
        f"g (float[N,{rows}] x) => (float[N,{columns}] y) <float[{rows},{columns}] w> {{ y = MatMul (x, w) }}",
        opset=opset,
    )
    model.graph.initializers["w"].const_value = ir.tensor(weight, name="w")
    return model


def weight_of_kind(kind: str, shape: tuple[int, int] = (96, 50), values: int = 16) -> Array:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal(shape).astype(np.float32)
    book = rng.standard_normal(values).astype(np.float32)
    zeros = rng.random(shape) < 0.6
    match kind:
        case "few values":
            return rng.choice(book, shape)
        case "zeros":
            return np.where(zeros, np.float32(0), dense)
        case "zeros and few values":
            return np.where(zeros, np.float32(0), rng.choice(book, shape))
        case "few values a row":
            return np.take_along_axis(dense[:, :values], rng.integers(0, values, shape), axis=1)
        case "few values a column":
            return np.take_along_axis(dense[:values], rng.integers(0, values, shape), axis=0)
        case _:
            raise ValueError(kind)


def compacted(model: ir.Model) -> ir.Model:
    return graphopt.optimize(model, "compact-weights").model


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize("shape", [(96, 50), (97, 51)])
def test_expands_to_the_same_bits(tmp_path: Path, kind: str, shape: tuple[int, int]) -> None:
    weight = weight_of_kind(kind, shape)
    model = product(weight)
    small = compacted(model)
    for name, one in (("dense", model), ("small", small)):
        save(one, tmp_path / name)
    assert (tmp_path / "small").stat().st_size < 0.8 * (tmp_path / "dense").stat().st_size
    onnx.checker.check_model(str(tmp_path / "small"), full_check=True)
    answer = evaluate(load(tmp_path / "small"), {"x": np.eye(shape[0], dtype=np.float32)})["y"]
    assert np.array_equal(answer, weight)
    folded, _ = graphopt.optimize(tmp_path / "small", "fold-constants{max-bytes=16}")
    assert [node.op_type for node in folded.graph] == ["MatMul"]
    held = folded.graph.initializers["w"].const_value
    assert held is not None
    assert held.numpy().tobytes() == weight.tobytes()


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_second_run_changes_nothing(kind: str) -> None:
    assert graphopt.optimize(compacted(product(weight_of_kind(kind))), "compact-weights").report.changes == 0


def test_a_compiled_program_has_dense_weights() -> None:
    weight = weight_of_kind("zeros and few values")
    feeds = {"x": np.eye(96, dtype=np.float32)[:1]}
    module = graphopt.compile(compacted(product(weight)), cache=False)
    assert np.array_equal(module(feeds)["y"], weight[:1])
    assert not [place for place in module.report.placements if "Gather" in place.node]


def test_tells_zeros_and_nans_apart() -> None:
    weight = weight_of_kind("zeros").astype(np.float32)
    weight[0, :4] = [0.0, -0.0, np.nan, np.inf]
    folded, _ = graphopt.optimize(compacted(product(weight)), "fold-constants")
    held = folded.graph.initializers["w"].const_value
    assert held is not None
    assert held.numpy().tobytes() == weight.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_other_types(dtype: type) -> None:
    weight = weight_of_kind("zeros and few values").astype(dtype)
    model = parse_model(
        "g (int64[N] x) => (float[N,50] y) <float[96,50] w> { r = Gather (w, x) y = Cast <to = 1> (r) }"
    )
    value = model.graph.initializers["w"]
    value.const_value = ir.tensor(weight, name="w")
    value.dtype = value.const_value.dtype
    small = compacted(model)
    assert "w" not in small.graph.initializers
    assert np.array_equal(evaluate(small, {"x": np.arange(96)})["y"], weight.astype(np.float32))


def test_quantized_weights_with_a_zero_point() -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((96, 50)) < 0.8, 128, rng.integers(0, 256, (96, 50))).astype(np.uint8)
    model = parse_model(
        "g (float[N,96] x) => (float[N,50] y) <uint8[96,50] w, float s = {0.5}, uint8 z = {128}>"
        "{ d = DequantizeLinear (w, s, z) y = MatMul (x, d) }"
    )
    model.graph.initializers["w"].const_value = ir.tensor(weight, name="w")
    small = compacted(model)
    assert "w" not in small.graph.initializers
    answer = evaluate(small, {"x": np.eye(96, dtype=np.float32)})["y"]
    assert np.array_equal(answer, (weight.astype(np.float32) - 128) / 2)


def test_what_a_caller_overrides_stays() -> None:
    model = product(weight_of_kind("few values"))
    model.graph.inputs.append(model.graph.initializers["w"])
    small, _ = graphopt.optimize(model, "compact-weights", overridable_initializers=True)
    assert len(small.graph) == 1


def test_shared_tables_are_written_once() -> None:
    model = parse_model(
        "g (float[N,50] x) => (float[N,50] z) <float[50,50] v, float[50,50] w> { y = MatMul (x, v) z = MatMul (y, w) }"
    )
    for name in "vw":
        model.graph.initializers[name].const_value = ir.tensor(weight_of_kind("few values", (50, 50)), name=name)
    tables = [name for name in compacted(model).graph.initializers if "digits" in name]
    assert tables == ["compact_digits_of_base_16"]


@given(base=st.integers(2, 256), count=st.integers(1, 40), seed=st.integers(0, 99))
def test_packing(base: int, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, base, count)
    packed = pack(codes, base)
    assert packed.size == packed_size(count, base)
    assert base ** digits_in_a_byte(base) <= 256 < base ** (digits_in_a_byte(base) + 1)
    assert np.array_equal(digit_table(base)[packed].ravel()[:count], codes)


@settings(deadline=None, max_examples=30)
@given(
    share=st.floats(0, 1),
    values=st.integers(1, 300),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_any_weight(share: float, values: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = np.where(rng.random((rows, columns)) < share, 0, rng.choice(rng.standard_normal(values), (rows, columns)))
    weight = weight.astype(np.float32)
    answer = evaluate(compacted(product(weight)), {"x": np.eye(rows, dtype=np.float32)})["y"]
    assert np.array_equal(answer, weight)


def test_the_smallest_form_is_found() -> None:
    forms = {kind: smallest_form(weight_of_kind(kind, (400, 300)), "w") for kind in KINDS[:-1]}
    assert {kind: type(form) for kind, form in forms.items()} == {
        "few values": CodeBook,
        "zeros": Masked,
        "zeros and few values": Masked,
        "few values a row": CodeBook,
        "few values a column": CodeBook,
    }
    both = forms["zeros and few values"]
    assert isinstance(both, Masked)
    assert isinstance(both.rest, CodeBook)
    axes = [forms[f"few values{where}"].axis for where in ("", " a row", " a column")]  # type: ignore[union-attr]
    assert axes == [None, 0, 1]
    assert smallest_form(np.random.default_rng(0).standard_normal((99, 99)), "w") is None
