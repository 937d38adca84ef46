"""Memory of compiled regions: who shares it, what is copied, and that no run disturbs another's results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import te

from graphopt.backends.tvm.build import Program, build
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.memory.in_place import in_place
from graphopt.backends.tvm.memory.overwrite import overwritable
from graphopt.backends.tvm.schedule.module import schedule, schedule_kernel
from graphopt.backends.tvm.timing import TimingExecutor
from graphopt.ir.constants import is_constant
from graphopt.targets import parse_target

COPIES = ("concatenate", "split")


@dataclass
class Compiled:
    """A model in native code and in onnxruntime, its weights random."""

    program: Program
    session: ort.InferenceSession
    executor: TimingExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.executor = TimingExecutor(self.program, 2)

    def feeds(self, seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {value.name: rng.standard_normal(value.shape, dtype=np.float32) for value in self.session.get_inputs()}

    def check(self) -> list[str]:
        """Run twice on different inputs, compare everything in the end; return the kernels that copy."""
        feeds = [self.feeds(seed) for seed in range(2)]
        runs = [self.executor.time(list(one.values())) for one in feeds]
        for one, (results, _) in zip(feeds, runs, strict=True):
            for result, expected in zip(results, self.session.run(None, one), strict=True):
                np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
        return [call.kernel for call in runs[0][1] if any(name in call.kernel for name in COPIES)]


def compiled(proto: onnx.ModelProto) -> Compiled:
    rng = np.random.default_rng(0)
    for weight in proto.graph.value_info:
        shape = [dim.dim_value for dim in weight.type.tensor_type.shape.dim]
        values = rng.standard_normal(shape, dtype=np.float32) / 8
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, weight.name))
    del proto.graph.value_info[:]
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    target = parse_target("cpu")
    inputs = [value for value in model.graph.inputs if not is_constant(value)]
    region = lower(list(model.graph), inputs, list(model.graph.outputs), target)
    return Compiled(build(schedule(region, target), target), session)


def parsed(inputs: str, outputs: str, body: str, weights: str = "") -> onnx.ModelProto:
    declared = f"<{weights}>" if weights else ""
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => ({outputs}) {declared} {{ {body} }}'
    )


WEIGHTS = "float[16,16,3,3] v, float[16,16,1,1] w, float[16,32,1,1] u, float[16,48,1,1] t"
IMAGE = "float[1,16,8,8] x"

CASES = {
    "parts are written into their places": (
        IMAGE,
        "float[1,16,8,8] y",
        "a = Conv (x, w) b = Conv <pads=[1,1,1,1]> (x, v) c = Concat <axis=1> (a, b) y = Conv (c, u)",
        0,
    ),
    "a part is read beside": (
        IMAGE,
        "float[1,16,8,8] y, float[1,16,8,8] z",
        "a = Conv (x, w) b = Conv (a, w) c = Concat <axis=1> (a, b) y = Conv (c, u) z = Sigmoid (a)",
        0,
    ),
    "joined values grow": (
        IMAGE,
        "float[1,16,8,8] y",
        (
            "a = Conv (x, w) b = Conv (a, w) c = Concat <axis=1> (a, b) d = Conv (c, u)"
            " e = Concat <axis=1> (c, d) y = Conv (e, t)"
        ),
        0,
    ),
    "joined values begin alike": (
        IMAGE,
        "float[1,16,8,8] y",
        (
            "a = Conv (x, w) b = Conv (a, w) c = Concat <axis=1> (a, b) d = Conv (c, u)"
            " e = Concat <axis=1> (a, b, d) y = Conv (e, t)"
        ),
        0,
    ),
    "the result of all is joined": (
        "float[1,4,8] x",
        "float[1,12,8] y",
        "a = Sigmoid (x) b = Tanh (x) c = Relu (x) y = Concat <axis=1> (a, b, c)",
        0,
    ),
    "two orders of the same parts": (
        IMAGE,
        "float[1,16,8,8] y, float[1,16,8,8] z",
        (
            "a = Conv (x, w) b = Conv (a, w) c = Concat <axis=1> (a, b) d = Concat <axis=1> (b, a)"
            " y = Conv (c, u) z = Conv (d, u)"
        ),
        1,
    ),
    "one part twice": (
        IMAGE,
        "float[1,16,8,8] y",
        "a = Conv (x, w) c = Concat <axis=1> (a, a) y = Conv (c, u)",
        1,
    ),
    "an input is a part": (
        "float[1,4,8] x",
        "float[1,8,8] y",
        "a = Sigmoid (x) c = Concat <axis=1> (a, x) y = Tanh (c)",
        1,
    ),
    "an output is a part": (
        "float[1,4,8] x",
        "float[1,8,8] y, float[1,4,8] a",
        "a = Sigmoid (x) b = Tanh (x) c = Concat <axis=1> (a, b) y = Tanh (c)",
        1,
    ),
    "a part begins within a line": (
        "float[1,3,8] x, float[1,3,1] s",
        "float[1,3,9] y",
        "a = Sigmoid (x) b = Tanh (s) c = Concat <axis=2> (a, b) y = Tanh (c)",
        1,
    ),
    "two images": (
        "float[2,16,8,8] x",
        "float[2,16,8,8] y",
        "a = Conv (x, w) b = Conv (a, w) c = Concat <axis=1> (a, b) y = Conv (c, u)",
        1,
    ),
    "pieces are views": (
        IMAGE,
        "float[1,8,8,8] y",
        "a = Conv (x, w) b, c = Split <axis=1, num_outputs=2> (a) d = Mul (b, c) y = Add (d, b)",
        0,
    ),
    "what is split stays whole while a piece is needed": (
        "float[1,8,8] x",
        "float[1,8,8] y",
        "a = Sigmoid (x) b, c = Split <axis=1, num_outputs=2> (a) d = Tanh (b) e = Concat <axis=1> (d, c) y = Tanh (e)",
        1,
    ),
    "a piece is a result": (
        "float[1,8,8] x",
        "float[1,4,8] y, float[1,4,8] b",
        "a = Sigmoid (x) b, c = Split <axis=1, num_outputs=2> (a) y = Mul (b, c)",
        1,
    ),
    "pieces of an input": (
        "float[1,8,8] x",
        "float[1,4,8] y",
        "b, c = Split <axis=1, num_outputs=2> (x) y = Mul (b, c)",
        1,
    ),
    "images are split and joined": (
        "float[2,16,8,8] x",
        "float[2,16,8,8] y",
        (
            "a = Sigmoid (x) b, c = Split <axis=0, num_outputs=2> (a) d = Relu (b) e = Tanh (c)"
            " f = Concat <axis=0> (d, e) y = Tanh (f)"
        ),
        0,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_copied(name: str) -> None:
    inputs, outputs, body, copies = CASES[name]
    weights = ", ".join(one for one in WEIGHTS.split(", ") if f" {one[-1]})" in body)
    assert len(compiled(parsed(inputs, outputs, body, weights)).check()) == copies


def test_a_sum_is_written_over_an_operand() -> None:
    body = "a = Conv (x, w) b = Conv <pads=[1,1,1,1]> (a, v) c = Add (a, b) y = Conv (c, w)"
    sum_ = compiled(parsed(IMAGE, "float[1,16,8,8] y", body, "float[16,16,3,3] v, float[16,16,1,1] w"))
    sum_.check()
    image = 16 * 8 * 8 * 4
    assert sum_.program.arena < 3 * image, "a, over which c comes, and what leaves the blocked layout"


def test_one_kernel_in_place_and_not_is_two() -> None:
    """Two equal sums of a product and a value: one value is read no more, the other is an output."""
    body = "a = Relu (x) b = Conv (x, w) c = Add (b, a) d = Tanh (c) e = Conv (d, v) f = Add (e, d) y = Tanh (f)"
    outputs = "float[1,16,8,8] y, float[1,16,8,8] d"
    program = compiled(parsed(IMAGE, outputs, body, "float[16,16,1,1] w, float[16,16,1,1] v"))
    assert program.check() == []
    _, calls = program.executor.time(list(program.feeds(0).values()))
    assert len({call.kernel for call in calls if "conv" in call.kernel}) == 2


def test_a_run_looks_at_no_types() -> None:
    """What the caller gives is checked by the runtime, and weights are what they were when they were written."""
    program = compiled(parsed(IMAGE, "float[1,16,8,8] y", "y = Conv (x, w)", "float[16,16,1,1] w"))
    text = program.program.executable.as_text()
    assert "call  conv" in text
    assert "check_tensor_info" not in text
    assert "match_shape" not in text


def test_a_second_run_finds_its_memory() -> None:
    """Where every kernel of a run reads and writes: a second run allocates its results alone."""
    inputs, outputs, body, _ = CASES["joined values grow"]
    program = compiled(parsed(inputs, outputs, body, "float[16,16,1,1] w, float[16,32,1,1] u, float[16,48,1,1] t"))
    machine = tvm.relax.VirtualMachine(program.program.executable.jit(), tvm.cpu())
    seen: list[int] = []

    def instrument(_function: object, name: str, before: bool, _result: object, *arguments: object) -> int:
        if before and not name.startswith("vm."):
            seen.extend(one.data_ptr() for one in arguments if isinstance(one, tvm.runtime.Tensor))
        return 0

    machine.set_instrument(instrument)
    feeds = [tvm.runtime.tensor(array) for array in program.feeds(0).values()]
    kept, places = [], []
    for _ in range(3):
        kept.append(machine["main"](*feeds, *program.program.weights))
        places.append(list(seen))
        seen.clear()
    results = [{tensor.data_ptr() for tensor in one} for one in kept]
    inner = [[place for place in run if place not in own] for run, own in zip(places, results, strict=True)]
    assert inner[0] == inner[1] == inner[2]
    assert len(inner[0]) < len(places[0]), "the results are seen"
    assert len(set().union(*results)) == 3, "they are new in each run"


def kernel(compute: object, *shapes: Sequence[int]) -> tvm.tirx.PrimFunc:
    tensors = [te.placeholder(shape, "float32", name=f"p{index}") for index, shape in enumerate(shapes)]
    function = te.create_prim_func([*tensors, compute(*tensors)])  # type: ignore[operator]  # any function of tensors
    return schedule_kernel(function, parse_target("cpu"))


K = te.reduce_axis((0, 8), "k")


def less_sums(matrix: te.Tensor, summed: te.Tensor) -> te.Tensor:
    sums = te.compute((8,), lambda i: te.sum(summed[i, K], axis=K), name="sums")
    return te.compute(matrix.shape, lambda i, j: matrix[i, j] - sums[i])


KERNELS = {
    "single elements": (lambda a: te.compute(a.shape, lambda *i: a(*i) * a(*i)), [(7, 8)], {(0, 1)}),
    "both operands": (lambda a, b: te.compute(a.shape, lambda *i: a(*i) + b(*i)), [(64, 8)] * 2, {(0, 2), (1, 2)}),
    "a broadcast operand": (
        lambda a, b: te.compute(a.shape, lambda i, j: a[i, j] + b[i, 0]),
        [(8, 8), (8, 1)],
        {(0, 2)},
    ),
    "a fused chain": (
        lambda a: te.compute(a.shape, lambda *i: te.compute(a.shape, lambda *j: te.exp(a(*j)))(*i) + 1.0),
        [(8, 8)],
        {(0, 1)},
    ),
    "transposed elements": (lambda a: te.compute(a.shape, lambda i, j: a[j, i]), [(8, 8)], set()),
    "elements and their neighbours": (
        lambda a: te.compute(a.shape, lambda i, j: a[i, j] + a[i, te.max(j - 1, 0)]),
        [(8, 8)],
        set(),
    ),
    "sums": (lambda a: te.compute((8, 8), lambda i, j: te.sum(a[i, K] * a[K, j], axis=K)), [(8, 8)], set()),
    "elements, and sums before": (lambda a, b: less_sums(b, a), [(8, 8), (8, 8)], {(1, 2)}),
    "elements, and sums of them before": (lambda a: less_sums(a, a), [(8, 8)], set()),
    "another shape": (lambda a: te.compute((64,), lambda i: a[i // 8, i % 8]), [(8, 8)], set()),
    "another type": (lambda a: te.compute(a.shape, lambda *i: a(*i).astype("int32")), [(8, 8)], set()),
}


@pytest.mark.parametrize("name", KERNELS)
def test_over_which_operands_a_kernel_may_write(name: str) -> None:
    compute, shapes, expected = KERNELS[name]
    assert overwritable(kernel(compute, *shapes)) == expected


def test_a_kernel_that_computes_elements_again_writes_over_none() -> None:
    twice = te.placeholder((8,), "float32")
    function = te.create_prim_func([twice, te.compute((8,), lambda i: twice[i] * 2.0, name="double")])
    plan = tvm.s_tir.Schedule(function)
    (loop,) = plan.get_loops(plan.get_sblock("double"))
    assert overwritable(plan.mod["main"]) == {(0, 1)}
    again = tvm.tirx.For(tvm.tirx.Var("again", "int32"), 0, 2, tvm.tirx.ForKind.SERIAL, plan.get(loop))
    root = plan.get(plan.get_sblock("root"))
    block = tvm.s_tir.SBlock([], root.reads, root.writes, root.name_hint, again)
    assert overwritable(function.with_body(tvm.s_tir.SBlockRealize([], True, block))) == set()


def test_a_kernel_that_overwrites_takes_the_place_once() -> None:
    """Its parameters then share no memory, which LLVM has to be told: without it sums do not stay in registers."""
    add = kernel(lambda a, b: te.compute(a.shape, lambda *i: a(*i) + b(*i)), (64,), (64,))
    merged = in_place(add, ((0, 2),))
    assert len(add.params) == 3
    assert [str(parameter.ty) for parameter in merged.params] == [str(parameter.ty) for parameter in add.params[1:]]
    assert merged.attrs["tirx.noalias"]
    values = np.arange(64, dtype=np.float32)
    other, result = tvm.runtime.tensor(np.ones_like(values)), tvm.runtime.tensor(values)
    tvm.compile(merged, "llvm")(other, result)
    np.testing.assert_array_equal(result.numpy(), values + 1.0)


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw a graph of convolutions, elementwise operators, and what joins and splits their values."""
    batch = draw(st.sampled_from([1, 1, 1, 2]))
    channels = {"x": 16}
    nodes, weights = [], {}
    for index in range(draw(st.integers(3, 10))):
        known = st.sampled_from(sorted(channels))
        name, value = f"v{index}", draw(known)
        match draw(st.sampled_from(["conv", "unary", "binary", "concat", "concat", "split"])):
            case "conv":
                made = draw(st.sampled_from([8, 16, 12]))
                weights[f"w{index}"] = f"float[{made},{channels[value]},1,1] w{index}"
                nodes.append(f"{name} = Conv ({value}, w{index})")
                channels[name] = made
            case "unary":
                nodes.append(f"{name} = {draw(st.sampled_from(['Relu', 'Sigmoid', 'Tanh']))} ({value})")
                channels[name] = channels[value]
            case "binary":
                other = draw(st.sampled_from([one for one in channels if channels[one] == channels[value]]))
                nodes.append(f"{name} = {draw(st.sampled_from(['Add', 'Mul']))} ({value}, {other})")
                channels[name] = channels[value]
            case "concat":
                parts = [value, *draw(st.lists(known, min_size=1, max_size=2))]
                nodes.append(f"{name} = Concat <axis=1> ({', '.join(parts)})")
                channels[name] = sum(channels[part] for part in parts)
            case "split" if channels[value] % 2 == 0:
                nodes.append(f"{name}, {name}b = Split <axis=1, num_outputs=2> ({value})")
                channels[name] = channels[f"{name}b"] = channels[value] // 2
            case _:
                nodes.append(f"{name} = Neg ({value})")
                channels[name] = channels[value]
    made = [name for name in channels if name != "x"]
    outputs = dict.fromkeys([made[-1], *draw(st.lists(st.sampled_from(made), max_size=2))])
    return parsed(
        f"float[{batch},16,4,4] x",
        ", ".join(f"float[{batch},{channels[name]},4,4] {name}" for name in outputs),
        " ".join(nodes),
        ", ".join(weights.values()),
    )


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_random_graphs_give_the_answers_of_onnxruntime(proto: onnx.ModelProto) -> None:
    compiled(proto).check()
