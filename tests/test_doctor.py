"""Quantized files of other tools, read and mended: the same integers, scales and answers, in the form that runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from typer.testing import CliRunner

from graphopt.backends.ort.session import Session
from graphopt.cli import main as cli
from graphopt.errors import ModelError, TargetError
from graphopt.ir.constants import constant
from graphopt.ir.walk import is_op
from graphopt.quantization.doctor import Treatment, diagnose, treat
from graphopt.quantization.doctor.quantizers import is_dequantize
from graphopt.quantization.doctor.read import read
from graphopt.tensors import Array
from tests import doctor_cases as cases
from tests.networks import network
from tests.onnxruntime_graph import in_integers, optimized
from tests.quantized_graphs import S8, U8, Graph, per_channel
from tests.slow_forms import slow


def graph_of(built: cases.Built) -> onnx.ModelProto:
    graph, *outputs = built
    return graph.typed(*outputs)


def run(model: ir.Model | onnx.ModelProto, x: Array, *, optimize: bool = False) -> list[Array]:
    proto = model if isinstance(model, onnx.ModelProto) else ir.to_proto(model)
    return list(Session(proto.SerializeToString(), optimize=optimize).run({"x": x}).values())


def samples(shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def error(expected: Array, actual: Array) -> float:
    difference = np.linalg.norm(actual.astype(np.float64) - expected)
    return float(difference / max(float(np.linalg.norm(expected.astype(np.float64))), 1e-6))


def assert_within_a_step(expected: Array, actual: Array, step: float = 0.0701) -> None:
    """Check that few numbers differ, by one integer: float sums just beside a half round either way."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=step)
    assert np.sum(np.abs(actual.astype(np.float64) - expected) > step / 100) <= max(1, 0.02 * expected.size)


@pytest.mark.parametrize("name", cases.FUSED)
def test_what_runs_in_integers_still_does(name: str) -> None:
    graph, *outputs = cases.FUSED[name]
    proto = graph.typed(*outputs)
    treatment = treat(proto)
    fused, _ = in_integers(ir.to_proto(treatment.model))
    needed = in_integers(proto)[0]
    assert all(fused[op] >= needed[op] for op in needed), (needed, fused)
    x = samples(graph.shape)
    for expected, actual in zip(run(proto, x), run(treatment.model, x), strict=True):
        assert_within_a_step(expected, actual)


@pytest.mark.parametrize("name", cases.FUSED)
def test_operators_of_integers_are_read(name: str) -> None:
    """What onnxruntime makes of a file is a file of QOperators."""
    graph, *outputs = cases.FUSED[name]
    proto = graph.typed(*outputs)
    held = onnx.ModelProto()
    held.CopyFrom(proto)
    held.graph.CopyFrom(optimized(proto))
    treatment = treat(held)
    x = samples(graph.shape)
    for expected, actual in zip(run(held, x), run(treatment.model, x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=0.0701)  # a step: kernels of integers round halves up
    fused, needed = (in_integers(of)[0] for of in (ir.to_proto(treatment.model), proto))
    assert all(fused[op] >= needed[op] for op in needed), (needed, fused)


@given(cases.networks())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_network_answers_the_same(drawn: tuple[Graph, list[str]]) -> None:
    graph, outputs = drawn
    proto = graph.typed(*outputs)
    if not any(node.op_type == "QuantizeLinear" for node in proto.graph.node):
        return
    treatment = treat(proto)
    before, after = (sum(done for done, _ in counted.values()) for counted in _counts(treatment))
    assert after >= before - sum(finding.op_type in {"Relu", "MaxPool"} for finding in treatment.before.findings)
    x = samples(graph.shape)
    for expected, actual in zip(run(proto, x), run(treatment.model, x), strict=True):
        assert error(expected, actual) < 0.1


def _counts(treatment: Treatment) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    return treatment.before.counts(), treatment.after.counts()


def test_a_plan_is_read_with_its_numbers() -> None:
    graph = Graph()
    scales = per_channel(0.01, 8)
    y = graph.both(graph.conv(graph.both("x", 0.05, U8(7)), graph.weight((8, 8, 3, 3), scales, axis=0)), 0.1, S8(3))
    reading = read(graph.model(y))
    assert [node.op_type for node in reading.model.graph] == ["Conv"]
    (conv,) = reading.model.graph
    assert reading.values[reading.model.graph.inputs[0]].zero_point == 7
    assert reading.values[conv.outputs[0]].dtype == np.int8
    (affine,) = reading.weights.values()
    np.testing.assert_array_equal(affine.scale, scales)


@pytest.mark.parametrize("reader", [lambda g, y: g.op("Abs", y), lambda _, y: y, lambda g, y: g.both(y, 0.1)])
def test_what_is_read_before_it_is_rounded_stays_float(reader: Callable[[Graph, str], str]) -> None:
    graph, *outputs = cases.two_readers(reader)
    proto, x = graph.typed(*outputs), samples((1, 8, 8, 8))
    treatment = treat(proto)
    assert treatment.after.counts()["convolutions"] == (0, 1)
    for expected, actual in zip(run(proto, x), run(treatment.model, x), strict=True):
        assert_within_a_step(expected, actual)


def test_equal_quantizers_of_one_value_are_joined() -> None:
    graph, *outputs = cases.two_readers(lambda g, y: g.op("Neg", g.both(y, **cases.ZERO)))
    assert treat(graph.typed(*outputs)).after.counts()["convolutions"] == (1, 1)


@pytest.mark.parametrize(
    ("op", "inputs", "given"),
    [
        ("Relu", (), {}),
        ("Clip", (np.float32(-1), np.float32(2)), {}),
        ("Pad", (np.array([0, 0, 1, 1, 0, 0, 1, 1]),), {}),
        ("Pad", (np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(0)), {}),
    ],
)
@pytest.mark.parametrize("zero", [U8(100), S8(-3)])
def test_clamps_and_padding_are_done_on_integers(
    op: str, inputs: tuple[Array, ...], given: dict[str, int], zero: np.generic
) -> None:
    proto = graph_of(cases.unary(op, *inputs, zeros=(zero, zero), **given))
    treatment = treat(proto)
    assert in_integers(proto)[0][op] == 0
    fused, _ = in_integers(ir.to_proto(treatment.model))
    assert fused["Pad" if op == "Pad" else "Clip"] == 1
    x = samples((1, 8, 8, 8))
    np.testing.assert_array_equal(*run(proto, x), *run(treatment.model, x))


def test_padding_of_integers_writes_what_it_says() -> None:
    """A Pad of integers without a number writes the integer 0, whatever that stands for."""
    graph = Graph()
    padded = graph.op("Pad", graph.quantize("x", 0.05, U8(100)), graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    proto = graph.typed(graph.dequantize(padded, 0.05, U8(100)))
    treatment, x = treat(proto), samples((1, 8, 8, 8))
    np.testing.assert_array_equal(*run(proto, x), *run(treatment.model, x))


def test_a_shared_weight_is_read_once() -> None:
    graph = Graph()
    held = graph.integers((8, 8, 3, 3))
    x = graph.both(graph.conv(graph.both("x"), graph.dequantize(held, 0.01, S8(0))))
    y = graph.both(graph.conv(x, graph.dequantize(held, 0.01, S8(0))))
    treatment = treat(graph.typed(y))
    assert (
        len(
            [
                array
                for array in map(constant, treatment.model.graph.initializers.values())
                if array is not None and array.size == 576
            ]
        )
        == 1
    )


def test_padding_with_another_number_stays_float() -> None:
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    proto = graph_of(cases.unary("Pad", pads, np.float32(1)))
    treatment, x = treat(proto), samples((1, 8, 8, 8))
    np.testing.assert_array_equal(*run(proto, x), *run(treatment.model, x))


@pytest.mark.parametrize("rule", ["parted", "odd bias", "bias scale", "float bias", "old opset", "rounded twice"])
def test_what_a_rule_promises_to_mend_is_mended(rule: str) -> None:
    for op, built in cases.BROKEN[rule]:
        proto = graph_of(built)
        treatment, x = treat(proto), samples(built[0].shape)
        assert in_integers(ir.to_proto(treatment.model))[0][op] > in_integers(proto)[0][op], op
        for expected, actual in zip(run(proto, x), run(treatment.model, x), strict=True):
            assert_within_a_step(expected, actual)


def test_a_bias_that_does_not_fit_is_not_cut_off() -> None:
    """Onnxruntime answers otherwise than the file means: its int32 overflows."""
    ((_, built),) = cases.WRONG["large bias"]
    proto, x = graph_of(built), samples((1, 8, 8, 8))
    (meant,) = run(proto, x)
    assert error(meant, *run(proto, x, optimize=True)) > 0.1
    assert error(meant, *run(treat(proto).model, x, optimize=True)) < 0.01


@pytest.mark.parametrize("zero", [np.uint16(9), np.int16(0)])
def test_sixteen_bits_of_another_domain_are_kept(zero: np.generic) -> None:
    graph = Graph()
    microsoft = {"domain": "com.microsoft"}
    x = graph.both("x", 0.001, zero, **microsoft)
    y = graph.both(graph.conv(x, graph.weight((8, 8, 3, 3))), 0.002, zero, **microsoft)
    proto, x = graph.typed(y), samples((1, 8, 8, 8))
    treatment = treat(proto)
    assert treatment.after.findings[0].causes[0].name == "not 8 bits"
    assert error(*run(proto, x), *run(treatment.model, x)) < 1e-3


def test_weights_alone_stay_integers() -> None:
    graph = Graph((3, 64))
    proto = graph.typed(graph.op("MatMul", "x", graph.weight((64, 8), per_channel(0.01, 8), axis=1)))
    treatment, x = treat(proto), samples((3, 64))
    assert any(is_dequantize(node) for node in treatment.model.graph)
    np.testing.assert_array_equal(*run(proto, x), *run(treatment.model, x))


def test_a_constant_may_come_first() -> None:
    graph = Graph()
    y = graph.both(graph.op("Mul", graph.weight((8, 1, 1), zero=U8(3), dtype=U8), graph.both("x")))
    proto = graph.typed(y)
    assert in_integers(ir.to_proto(treat(proto).model))[0]["Mul"] == 1


def test_shapes_that_a_file_declares_wrongly_do_not_matter() -> None:
    graph = Graph()
    y = graph.both(graph.op("GlobalAveragePool", graph.both("x")))
    proto = graph.typed(y)
    proto.graph.CopyFrom(optimized(graph.typed(y)))
    (pool,) = [node for node in proto.graph.node if node.op_type == "QLinearGlobalAveragePool"]
    kept = [value for value in proto.graph.value_info if value.name != pool.output[0]]
    del proto.graph.value_info[:]
    stale = onnx.helper.make_tensor_value_info(pool.output[0], onnx.TensorProto.FLOAT, [1, 8, 8, 8])
    proto.graph.value_info.extend([*kept, stale])
    assert all(done == count for done, count in treat(proto).after.counts().values())


def test_scales_per_channel_move_and_integers_stay() -> None:
    """The integers of the activation that had a scale for each channel are those of the one that has one."""
    found = []
    proto = slow("nncf")
    for model in (proto, ir.to_proto(treat(proto).model)):
        (convs, x) = [node for node in model.graph.node if node.op_type == "Conv"], samples((1, 8, 8, 8))
        producers = {output: node for node in model.graph.node for output in node.output}
        integers = producers[convs[1].input[0]].input[0]
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        watched.graph.output.append(onnx.helper.make_tensor_value_info(integers, onnx.TensorProto.UINT8, None))
        found.append(Session(watched.SerializeToString(), optimize=False).run({"x": x})[integers].astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1
    assert np.mean(found[0] != found[1]) < 0.01


def test_integers_for_the_caller_stay() -> None:
    graph = Graph()
    q = graph.quantize(graph.conv(graph.both("x"), graph.weight((8, 8, 3, 3))), 0.05, S8(3))
    treatment = treat(graph.typed(q))
    (output,) = treatment.model.graph.outputs
    assert output.dtype is ir.DataType.INT8
    assert output.name == q


def test_tensorrt_gets_int8_around_zero_and_float_biases() -> None:
    graph, *outputs = cases.FUSED["conv"]
    treatment = treat(graph.typed(*outputs), "tensorrt")
    assert treatment.before.counts()["convolutions"] == (0, 1)
    assert treatment.after.counts()["convolutions"] == (1, 1)
    (conv,) = [node for node in treatment.model.graph if is_op(node, "Conv")]
    assert constant(conv.inputs[2]) is not None
    zeros = [constant(node.inputs[2]) for node in treatment.model.graph if is_dequantize(node)]
    assert all(zero is not None and zero.dtype == np.int8 and not zero.any() for zero in zeros)


def test_tensorrt_gets_no_other_zero_point() -> None:
    graph = Graph()
    y = graph.both(graph.conv(graph.both("x", 0.05, U8(3)), graph.weight((8, 8, 3, 3))), 0.05, U8(3))
    treatment = treat(graph.typed(y), "tensorrt")
    assert treatment.after.counts()["convolutions"] == (0, 1)
    assert not any(is_dequantize(node) for node in treatment.model.graph)


def test_tensorrt_gets_no_operators_of_integers() -> None:
    graph, *outputs = cases.FUSED["conv of int8"]
    proto = graph.typed(*outputs)
    proto.graph.CopyFrom(optimized(graph.typed(*outputs)))
    treatment = treat(proto, "tensorrt")
    assert treatment.before.summary()[0].endswith("integer operator")
    assert treatment.after.counts()["convolutions"] == (1, 1)


def test_a_float_model_is_refused() -> None:
    with pytest.raises(ModelError, match="holds no quantized node"):
        diagnose(network())


def test_an_unknown_target_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(TargetError, match=r"no target 'x46' \(did you mean 'x64'\?\); there are x64, tensorrt"):
        treat(slow("nncf"), "x46")


def test_the_command_says_what_is_wrong_and_mends_it(tmp_path: Path) -> None:
    runner, path, fixed = CliRunner(), tmp_path / "slow.onnx", tmp_path / "fast.onnx"
    onnx.save(slow("nncf"), path)
    told = runner.invoke(cli.build_app(), ["doctor", str(path)])
    assert told.exit_code == 0
    assert "of 3 convolutions run in int8; the rest: " in told.stdout
    assert f"--fix -o {path.with_name('slow.x64.onnx')}" in told.stdout
    done = runner.invoke(cli.build_app(), ["doctor", str(path), "--fix", "-o", str(fixed)])
    assert done.exit_code == 0
    assert "3 of 3 convolutions run in int8" in done.stdout
    data = json.loads(runner.invoke(cli.build_app(), ["doctor", str(fixed), "--json"]).stdout)
    assert data["counts"]["convolutions"] == {"int8": 3, "all": 3}
    assert {node["runs"] for node in data["nodes"]} <= {"int8", "absorbed"}


def test_the_command_wants_to_know_where_to_write(tmp_path: Path) -> None:
    onnx.save(slow("nncf"), tmp_path / "slow.onnx")
    assert CliRunner().invoke(cli.build_app(), ["doctor", str(tmp_path / "slow.onnx"), "--fix"]).exit_code == 2
