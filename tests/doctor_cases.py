"""Quantized graphs that break a rule of the doctor for onnxruntime, those that break none, and any of a kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.quantized_graphs import MIDDLE, S8, U8, Graph, per_channel

Built = tuple[Graph, str] | tuple[Graph, str, str]


def convolution(
    x: Callable[[Graph], str] = lambda g: g.both("x"),
    weight: Callable[[Graph], str] = lambda g: g.weight((8, 8, 3, 3)),
    bias: Callable[[Graph], str] | None = lambda g: g.bias(8),
    behind: Callable[[Graph, str], str] = lambda _, y: y,
    end: Callable[[Graph, str], str] = lambda g, y: g.both(y),
    opset: int = 17,
) -> Built:
    graph = Graph(opset=opset)
    operands = [x(graph), weight(graph), *([bias(graph)] if bias else [])]
    return graph, end(graph, behind(graph, graph.conv(*operands)))


def product(
    op_type: str,
    weight: Callable[[Graph], str] = lambda g: g.weight((8, 4)),
    bias: Callable[[Graph], str] | None = None,
    end: Callable[[Graph, str], str] = lambda g, y: g.both(y),
    zero: np.generic = MIDDLE,
    **attributes: Any,
) -> Built:
    graph = Graph((3, 8))
    operands = [graph.both("x", 0.05, zero), weight(graph), *([bias(graph)] if bias else [])]
    return graph, end(graph, graph.op(op_type, *operands, **attributes))


def unary(
    op_type: str,
    *inputs: Any,
    zeros: Sequence[np.generic] = (MIDDLE, MIDDLE),
    scales: Sequence[float] = (0.05, 0.05),
    opset: int = 17,
    ends: tuple[bool, bool] = (True, True),
    **attributes: Any,
) -> Built:
    graph = Graph(opset=opset)
    x = graph.both("x", scales[0], zeros[0]) if ends[0] else "x"
    y = graph.op(
        op_type, x, *(value if isinstance(value, str) else graph.constant(value) for value in inputs), **attributes
    )
    return graph, graph.both(y, scales[1], zeros[1]) if ends[1] else y


def pair(op_type: str, zeros: Sequence[np.generic] = (MIDDLE, MIDDLE, MIDDLE), **given: Any) -> Built:
    graph = Graph()
    second = given["second"](graph) if "second" in given else graph.both("x", 0.03, zeros[1])
    y = graph.op(op_type, graph.both("x", 0.05, zeros[0]), second, **given.get("attributes", {}))
    return graph, given.get("end", lambda g, y: g.both(y, 0.05, zeros[2]))(graph, y)


def shared(op_type: str, zero: np.generic, end: np.generic | None, *, one: bool = False, **attributes: Any) -> Built:
    """Build a node whose integers another node reads too, by a DQ of its own or the same."""
    graph = Graph()
    q = graph.quantize("x", 0.05, zero)
    first = graph.dequantize(q, 0.05, zero)
    second = first if one else graph.dequantize(q, 0.05, zero)
    operands = [graph.weight((8, 8, 3, 3))] if op_type == "Conv" else []
    y = graph.op(op_type, first, *operands, **attributes)
    return graph, graph.both(y, 0.05, end) if end is not None else y, graph.op("Abs", second)


def two_readers(reader: Callable[[Graph, str], str], behind: Callable[[Graph, str], str] = lambda _, y: y) -> Built:
    graph = Graph()
    y = behind(graph, graph.conv(graph.both("x"), graph.weight((8, 8, 3, 3)), graph.bias(8)))
    return graph, graph.both(y, **ZERO), reader(graph, y)


def channels(graph: Graph, value: str) -> str:
    return graph.both(value, per_channel(0.05, 8), np.zeros(8, U8), axis=1)


def relu(graph: Graph, value: str) -> str:
    return graph.op("Relu", value)


def clip(low: float, high: float) -> Callable[[Graph, str], str]:
    return lambda g, y: g.op("Clip", y, g.constant(np.float32(low)), g.constant(np.float32(high)))


def measured(graph: Graph) -> str:
    """Quantize by a scale that the run computes."""
    scale, zero = graph.op("ReduceMax", "x", keepdims=0), graph.constant(U8(3))
    return graph.op("DequantizeLinear", graph.op("QuantizeLinear", "x", scale, zero), scale, zero)


def unwritten(graph: Graph, value: str) -> str:
    scale = graph.constant(np.float32(0.05))
    return graph.op("DequantizeLinear", graph.op("QuantizeLinear", value, scale), scale)


def long(*numbers: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


SCALES = np.array([1, 1, 2, 2], np.float32)
ZERO = {"scale": 0.05, "zero": U8(0)}
MOVES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "Reshape": ("Reshape", (long(1, -1),), {}),
    "Slice": ("Slice", (long(1), long(5), long(1)), {}),
    "Squeeze": ("Squeeze", (long(0),), {}),
    "Unsqueeze": ("Unsqueeze", (long(0),), {}),
    "Transpose": ("Transpose", (), {"perm": [0, 2, 3, 1]}),
    "MaxPool": ("MaxPool", (), {"kernel_shape": [2, 2]}),
    "Flatten": ("Flatten", (), {}),
    "Gather": ("Gather", (long(0, 2),), {"axis": 1}),
    "GatherElements": ("GatherElements", (np.zeros((1, 8, 8, 8), np.int64),), {}),
    "Expand": ("Expand", (long(2, 8, 8, 8),), {}),
    "Tile": ("Tile", (long(1, 2, 1, 1),), {}),
    "DepthToSpace": ("DepthToSpace", (), {"blocksize": 2}),
    "ReduceMax": ("ReduceMax", (), {"axes": [2, 3]}),
    "Resize": ("Resize", ("", SCALES), {"mode": "nearest"}),
}
MAPS: dict[str, dict[str, Any]] = {
    "AveragePool": {"kernel_shape": [2, 2]}, "GlobalAveragePool": {}, "LeakyRelu": {}, "Sigmoid": {}, "Softmax": {},
}  # fmt: skip
FLOATS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "HardSwish": ((), {}), "Tanh": ((), {}), "Exp": ((), {}), "Abs": ((), {}), "GlobalMaxPool": ((), {}),
    "HardSigmoid": ((), {}), "ReduceMean": ((), {"axes": [2, 3]}), "SpaceToDepth": ((), {"blocksize": 2}),
}  # fmt: skip

FUSED: dict[str, Built] = {
    "conv": convolution(),
    "conv without bias": convolution(bias=None),
    "conv, float bias": convolution(bias=lambda g: g.constant(np.ones(8, np.float32))),
    "conv, float bias, scales of weight per channel": convolution(
        bias=lambda g: g.constant(np.ones(8, np.float32)),
        weight=lambda g: g.weight((8, 8, 3, 3), per_channel(0.01, 8), axis=0),
    ),
    "conv, scales of weight and bias per channel": convolution(
        weight=lambda g: g.weight((8, 8, 3, 3), per_channel(0.01, 8), axis=0),
        bias=lambda g: g.bias(8, per_channel(0.0005, 8), axis=0),
    ),
    "conv, bias scale off by a rounding": convolution(bias=lambda g: g.bias(8, 0.000500001)),
    "conv of int8": convolution(lambda g: g.both("x", 0.05, S8(0)), end=lambda g, y: g.both(y, 0.05, S8(0))),
    "conv from int8 to uint8": convolution(lambda g: g.both("x", 0.05, S8(0))),
    "conv from uint8 to int8": convolution(end=lambda g, y: g.both(y, 0.05, S8(0))),
    "conv with weight of uint8": convolution(weight=lambda g: g.weight((8, 8, 3, 3), zero=U8(3), dtype=U8)),
    "conv of int8 with weight of uint8": convolution(
        lambda g: g.both("x", 0.05, S8(0)), lambda g: g.weight((8, 8, 3, 3), zero=U8(3), dtype=U8)
    ),
    "conv without a written zero point": convolution(lambda g: unwritten(g, "x")),
    "conv, scale of one element": convolution(
        lambda g: g.both("x", np.full(1, 0.05, np.float32), np.full(1, 3, U8))
    ),
    "conv, Relu absorbed": convolution(behind=relu, end=lambda g, y: g.both(y, **ZERO)),
    "conv, Clip absorbed": convolution(behind=clip(0, 6), end=lambda g, y: g.both(y, 6 / 255, U8(0))),
    "conv, Relu and MaxPool": convolution(
        behind=lambda g, y: g.op("MaxPool", relu(g, y), kernel_shape=[2, 2]), end=lambda g, y: g.both(y, **ZERO)
    ),
    "conv behind moves": convolution(lambda g: g.op("MaxPool", g.both("x"), kernel_shape=[2, 2])),
    "conv behind Identity": convolution(lambda g: g.op("Identity", g.both("x"))),
    "conv before Transpose": convolution(behind=lambda g, y: g.op("Transpose", y, perm=[0, 2, 3, 1])),
    "conv of opset 11": convolution(opset=11),
    "conv of opset 21": convolution(opset=21),
    "conv, uint8 read twice": shared("Conv", U8(3), U8(3)),
    "conv, DQ read twice": shared("Conv", U8(3), U8(3), one=True),
    "Gemm": product("Gemm"),
    "Gemm to floats": product("Gemm", end=lambda _, y: y),
    "Gemm, int32 bias": product("Gemm", bias=lambda g: g.bias(4)),
    "Gemm, float bias": product("Gemm", bias=lambda g: g.constant(np.ones(4, np.float32))),
    "Gemm, scales per channel": product(
        "Gemm", lambda g: g.weight((4, 8), per_channel(0.01, 4), axis=0), transB=1
    ),
    "Gemm of int8": product("Gemm", zero=S8(0), end=lambda g, y: g.both(y, 0.05, S8(0))),
    "MatMul": product("MatMul"),
    "MatMul to floats": product("MatMul", end=lambda _, y: y),
    "MatMul, scales per channel": product("MatMul", lambda g: g.weight((8, 4), per_channel(0.01, 4), axis=1)),
    "MatMul of activations": product("MatMul", lambda g: g.both(g.op("Transpose", "x"))),
    "Gemm behind Reshape": (
        (graph := Graph()),
        graph.op("Gemm", graph.op("Reshape", graph.both("x"), graph.constant(long(1, -1))), graph.weight((512, 4))),
    ),
    "Add": pair("Add"), "Mul": pair("Mul"), "Concat": pair("Concat", attributes={"axis": 1}),
    "Add of int8": pair("Add", (S8(0), S8(7), S8(3))),
    "Add of a constant": pair("Add", second=lambda g: g.weight((8, 1, 1), zero=U8(3), dtype=U8)),
    "Add, Relu absorbed": pair("Add", end=lambda g, y: g.both(relu(g, y), **ZERO)),
    **{f"{name} to other parameters": unary(name, scales=(0.05, 0.07), **given) for name, given in MAPS.items()},
    **{f"{name} of int8": unary(name, zeros=(S8(3), S8(5)), **given) for name, given in MAPS.items()},
    **{name: unary(op, *inputs, **given) for name, (op, inputs, given) in MOVES.items()},
    **{
        f"{name} with one end": unary(op, *inputs, ends=(True, False), **given)
        for name, (op, inputs, given) in list(MOVES.items())[:6]
    },
    **{
        f"{name} with the other end": unary(op, *inputs, ends=(False, True), **given)
        for name, (op, inputs, given) in list(MOVES.items())[:6]
    },
}  # fmt: skip

BROKEN: dict[str, list[tuple[str, Built]]] = {
    "no integer kernel": [
        *((name, unary(name, *inputs, **given)) for name, (inputs, given) in FLOATS.items()),
        ("Gelu", unary("Gelu", opset=20)), ("Sub", pair("Sub")), ("Div", pair("Div")), ("Max", pair("Max")),
        ("ConvTranspose", ((g := Graph()), g.both(g.op("ConvTranspose", g.both("x"), g.weight((8, 8, 2, 2)))))),
    ],
    "clamp": [("Relu", unary("Relu")), ("Clip", unary("Clip", np.float32(-1), np.float32(1)))],
    "pad": [("Pad", unary("Pad", long(0, 0, 1, 1, 0, 0, 1, 1)))],
    "normalization": [("Conv", convolution(
        behind=lambda g, y: g.op("BatchNormalization", y, *(g.constant(np.ones(8, np.float32)) for _ in range(4)))
    ))],
    "old opset": [("MaxPool", unary("MaxPool", opset=11, kernel_shape=[2, 2]))],
    "interpolation": [("Resize", unary("Resize", "", SCALES, mode="linear"))],
    "scaled product": [
        ("Gemm", product("Gemm", bias=lambda g: g.bias(4), alpha=0.5)),
        ("Gemm", product("Gemm", bias=lambda g: g.bias(4), beta=0.5)),
    ],
    "parted": [
        ("Conv", convolution(lambda g: g.op("Resize", g.both("x"), "", g.constant(SCALES), mode="nearest"))),
        ("Conv", convolution(lambda g: g.op("DepthToSpace", g.both("x"), blocksize=2),
                             lambda g: g.weight((8, 2, 3, 3)))),
        ("Conv", convolution(lambda g: g.op("Concat", g.both("x"), g.both("x"), axis=1),
                             lambda g: g.weight((8, 16, 3, 3)))),
        ("Conv", convolution(behind=lambda g, y: g.op("Flatten", y))),
    ],
    "float input": [
        ("Conv", convolution(lambda _: "x")), ("Add", pair("Add", second=lambda _: "x")),
        ("Add", pair("Add", second=lambda g: g.constant(np.ones((8, 1, 1), np.float32)))),
        ("Flatten", unary("Flatten", ends=(False, True))),
    ],
    "float output": [
        ("Conv", convolution(end=lambda _, y: y)), ("Add", pair("Add", end=lambda _, y: y)),
        ("Concat", pair("Concat", attributes={"axis": 1}, end=lambda _, y: y)),
        ("Conv", convolution(behind=lambda g, y: g.op("Sigmoid", y), end=lambda g, y: g.both(y))),
        ("Conv", convolution(behind=lambda g, y: relu(g, g.op("MaxPool", y, kernel_shape=[2, 2])))),
        *((name, unary(name, ends=(True, False), **given)) for name, given in MAPS.items()),
        *((name, unary(op, *inputs, ends=(True, False), **given))
          for name, (op, inputs, given) in list(MOVES.items())[6:]),
    ],
    "float weight": [
        ("Conv", convolution(weight=lambda g: g.constant(np.ones((8, 8, 3, 3), np.float32)))),
        ("Gemm", product("Gemm", lambda g: g.constant(np.ones((8, 4), np.float32)), end=lambda _, y: y)),
        ("MatMul", product("MatMul", lambda g: g.constant(np.ones((8, 4), np.float32)))),
    ],
    "foreign numbers": [("Conv", convolution(measured))],
    "not 8 bits": [
        ("Conv", convolution(lambda g: g.both("x", 0.05, np.uint16(9)), end=lambda g, y: g.both(y, 0.05, np.uint16(9)),
                             opset=21)),
        ("Conv", convolution(weight=lambda g: g.weight((8, 8, 3, 3), dtype=np.int16), opset=21)),
    ],
    "scales per channel": [("Conv", convolution(lambda g: channels(g, "x")))],
    "weight axis": [
        ("Conv", convolution(weight=lambda g: g.weight((8, 8, 3, 3), per_channel(0.01, 8), axis=1),
                             bias=lambda g: g.constant(np.ones(8, np.float32)))),
        ("Gemm", product("Gemm", lambda g: g.weight((8, 4), per_channel(0.01, 8), axis=0))),
    ],
    "shared int8": [
        ("Conv", shared("Conv", S8(3), S8(3))), ("Conv", shared("Conv", S8(3), U8(3), one=True)),
        ("AveragePool", shared("AveragePool", S8(3), S8(3), kernel_shape=[2, 2])),
        ("AveragePool", shared("AveragePool", S8(3), U8(3), kernel_shape=[2, 2])),
    ],
    "computed bias": [("Conv", convolution(bias=lambda g: g.op("ReduceMax", "x", axes=[0, 2, 3], keepdims=0)))],
    "float bias": [
        ("Gemm", product("Gemm", bias=lambda g: g.constant(np.ones(4, np.float32)), end=lambda _, y: y)),
    ],
    "odd bias": [
        ("Conv", convolution(bias=lambda g: g.bias(8, zero=1))),
        ("Conv", convolution(bias=lambda g: g.weight((8,), 0.0005))),
    ],
    "bias scale": [("Conv", convolution(bias=lambda g: g.bias(8, 0.1)))],
    "kept clamp": [
        ("Conv", convolution(behind=relu)), ("Add", pair("Add", end=lambda g, y: g.both(relu(g, y)))),
        ("Conv", convolution(lambda g: g.both("x", 0.05, S8(0)), behind=relu, end=lambda g, y: g.both(y, 0.05, S8(0)))),
        ("Conv", convolution(behind=clip(0, 6), end=lambda g, y: g.both(y, **ZERO))),
    ],
    "two consumers": [
        ("Conv", two_readers(lambda g, y: g.op("Abs", y))), ("Conv", two_readers(lambda _, y: y)),
        ("Conv", two_readers(lambda g, y: g.both(y, 0.1))),
        ("Conv", two_readers(lambda g, y: g.op("Neg", y), relu)),
    ],
    "rounded twice": [("Conv", two_readers(lambda g, y: g.op("Neg", g.both(y, **ZERO))))],
    "result per channel": [("Conv", convolution(behind=relu, end=channels))],
    "other parameters": [
        *((name, unary(op, *inputs, scales=(0.05, 0.07), **given)) for name, (op, inputs, given) in MOVES.items()),
        *((name, unary(op, *inputs, zeros=(U8(128), U8(127)), **given)) for name, (op, inputs, given) in MOVES.items()),
        ("Reshape", ((h := Graph()), unwritten(h, h.op("Reshape", unwritten(h, "x"), h.constant(long(1, -1)))))),
    ],
}  # fmt: skip
"""By rule, graphs that break it, and the operator of the node that does."""

WRONG: dict[str, list[tuple[str, Built]]] = {
    "bias scale": [("Gemm", product("Gemm", bias=lambda g: g.bias(4, 0.1)))],
    "large bias": [("Conv", convolution(
        weight=lambda g: g.weight((8, 8, 3, 3), np.geomspace(1e-12, 0.01, 8).astype(np.float32), axis=0),
        bias=lambda g: g.constant(np.ones(8, np.float32)),
    ))],
    "weight axis": [
        ("Conv", convolution(weight=lambda g: g.weight((8, 8, 3, 3), per_channel(0.01, 8), axis=1), bias=None)),
    ],
    "scales per channel": [("Conv", convolution(lambda g: channels(g, "x"), bias=None))],
    "rounded weight": [
        ("Conv", convolution(weight=lambda g: g.constant(np.ones((8, 8, 3, 3), np.float32)), bias=None)),
        ("Gemm", product("Gemm", lambda g: g.constant(np.ones((8, 4), np.float32)))),
    ],
    "result per channel": [("Conv", convolution(end=channels))],
}  # fmt: skip
"""By rule, graphs that onnxruntime computes in integers, and otherwise than they are written."""


PARAMETERS = st.sampled_from([(0.05, U8(128)), (0.05, U8(0)), (0.05, S8(0)), (0.07, S8(-128)), (0.05, np.uint8(128))])


@st.composite
def networks(draw: st.DrawFn) -> tuple[Graph, list[str]]:
    """Draw a chain of convolutions, clamps, moves and sums with Q and DQ here and there, and readers beside it.

    No pair follows another directly: what onnxruntime makes of two in a row is its own matter (DoubleQDQPairsRemover).
    """
    graph, value, spare, spread = Graph(), "x", [], set()
    for _ in range(draw(st.integers(1, 5))):
        before = value
        match draw(st.sampled_from(["conv", "conv", "relu", "pool", "mean", "add", "read"])):
            case "conv":
                bias = draw(st.sampled_from([[], [graph.constant(np.ones(8, np.float32))]]))
                value = graph.conv(value, graph.weight((8, 8, 3, 3)), *bias)
            case "relu" if not value.startswith("Relu"):  # of two in a row one is dropped before anything else
                value = graph.op("Relu", value)
            case "pool":
                value = graph.op("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            case "mean" if value not in spread:  # with a scale for each channel onnxruntime does not load it
                value = graph.op("AveragePool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            case "add" if value not in spread:
                value = graph.op("Add", value, graph.both("x", *draw(PARAMETERS)))
            case "read" if value != "x":
                spare.append(graph.op("Abs", value))
        if value != before and draw(st.integers(0, 3)):
            by_channel = value.startswith(("Conv", "Relu")) and not draw(st.integers(0, 4))
            value = channels(graph, value) if by_channel else graph.both(value, *draw(PARAMETERS))
            spread |= {value} if by_channel else set()
    return graph, [graph.op("Neg", value), *spare]
