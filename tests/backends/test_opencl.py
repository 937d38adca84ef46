"""Programs for OpenCL, executed on whatever device there is: in CI, PoCL, whose device is the processor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.tvm.gpu.device import Limits
from graphopt.backends.tvm.gpu.executor import GpuExecutor
from graphopt.backends.tvm.gpu.opencl import OpenClDevice
from graphopt.backends.tvm.gpu.plan import GpuPlan, Launch, Tensor
from graphopt.backends.tvm.places import Copy, Place, Space
from graphopt.errors import ModelError, RunError, TargetError
from graphopt.ir.load import load
from graphopt.numerics import differences
from models import TOPOLOGIES
from tests.networks import network


def missing() -> str:
    """Say why there is nothing to execute kernels; nothing where there is."""
    try:
        OpenClDevice()
    except TargetError as error:
        return str(error)
    return ""


needs_device = pytest.mark.skipif(bool(missing()), reason=missing())

NETWORKS = {
    "windows, groups, depthwise": """
        g (float[1,32,9,9] x) => (float[1,20,5,5] y)
        <float[32,1,3,3] d, float[32,16,1,1] p, float[20,32,3,3] w, float[20] b>
        { a = Conv <group=32, pads=[1,1,1,1]> (x, d) c = Conv <group=2> (a, p)
          r = Relu (c) y = Conv <strides=[2,2], pads=[1,1,1,1]> (r, w, b) }
    """,
    "pooling, and outputs of the middle": """
        g (float[2,16,8,8] x) => (float[2,16,4,4] y, float[2,16,8,8] z, float[2,16] m)
        { y = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)
          z = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)
          m = ReduceMean <axes=[2,3], keepdims=0> (z) }
    """,
    "joins, splits, an output that is an input": """
        g (float[1,12,4,4] x, float[1,3,4,4] y) => (float[1,27,4,4] z, float[1,12,4,4] same, float[1,9,4,4] part)
        <float[12,12,1,1] w, int64[2] sizes = {3, 9}>
        { c = Conv (x, w) r = Relu (c) s = Sigmoid (c) z = Concat <axis=1> (r, y, s)
          first, part = Split <axis=1> (c, sizes) same = Identity (x) }
    """,
    "products, softmax, comparisons": """
        g (float[3,40] x) => (float[3,30] y, bool[3,30] b, float[30,3] t)
        <float[40,30] w, float[30] c>
        { m = MatMul (x, w) a = Add (m, c) y = Softmax <axis=1> (a) b = Greater (a, c)
          s = Where (b, a, y) t = Transpose <perm=[1,0]> (s) }
    """,
}


def compared(model: Any) -> float:
    """Compile and run a model, nothing of it in onnxruntime; return how far it is off that."""
    module = graphopt.compile(model, "opencl", cache=False)
    feeds = random_feeds(load(model), shapes=module.variants[0])
    found = module.run(feeds)
    assert {placement.executor for placement in module.report.placements} == {"tvm"}
    return max(one.error for one in differences(evaluate(load(model), feeds), found))


@needs_device
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_answers_as_in_onnxruntime(name: str) -> None:
    assert compared(network(NETWORKS[name])) < 1e-5


@needs_device
def test_a_known_network_answers_as_in_onnxruntime() -> None:
    assert compared(TOPOLOGIES["squeezenet1.1"](seed=0, batch=1, image=32)) < 1e-5


@needs_device
def test_a_program_is_saved_loaded_and_run_for_several_shapes_by_several_threads(tmp_path: Path) -> None:
    shapes: list[dict[str, Sequence[int]]] = [{"x": [1, 3, 8, 8]}, {"x": [2, 3, 8, 8]}]
    graphopt.compile(network(), "opencl", shapes=shapes, cache=False).save(tmp_path / "program.gopt")
    module = graphopt.load(tmp_path / "program.gopt")
    assert module.manifest.machine is None, "it has no code for a processor"
    feeds = random_feeds(network(), shapes={"x": (5, 3, 8, 8)})
    expected = evaluate(network(), feeds)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(module.run, [feeds] * 4))  # 2 + 2 + 1 each
    for one in found:
        assert differences(expected, one)[0].error < 1e-5


@needs_device
def test_a_part_that_tvm_cannot_take_runs_in_onnxruntime_between_those_on_the_device() -> None:
    model = network("""
        g (float[1,8,4,4] x) => (float[1,8,4,4] y) <float[8,8,1,1] w, float[8,8,1,1] v>
        { a = Conv (x, w) n = NonZero (a) s = Shape (n) f = Cast <to=1> (s) t = ReduceMax <keepdims=0> (f)
          c = Mul (a, t) y = Conv (c, v) }
    """)
    module = graphopt.compile(model, "opencl", cache=False)
    executors = [part.executor for part in module.manifest.variants[0].parts]
    assert executors.count("gpu") == 2
    assert "onnxruntime" in executors
    feeds = random_feeds(model, shapes=module.variants[0])
    assert differences(evaluate(model, feeds), module.run(feeds))[0].error < 1e-5


@needs_device
def test_a_device_is_chosen_by_a_part_of_its_name() -> None:
    x, name = np.zeros((1, 3, 8, 8), np.float32), OpenClDevice().name
    wanted = max(name.replace("-", " ").split(), key=len)
    module = graphopt.compile(network(), f"opencl{{device={wanted.upper()}}}", cache=False)
    assert module(x)["y"].shape == (1, 4, 8, 8)
    with pytest.raises(TargetError, match=r"a device of OpenCL whose name has 'voodoo' in it; there is '"):
        graphopt.compile(network(), "opencl{device=voodoo}", cache=False)(x)


@needs_device
def test_code_that_the_device_refuses_is_one_sentence() -> None:
    with pytest.raises(TargetError, match=r"takes no such kernels: .*error.*; compile for cpu"):
        OpenClDevice().load(b"__kernel void k(__global float* p) { this is none }", ["k"])


@needs_device
def test_a_launch_that_fails_is_one_sentence() -> None:
    device = OpenClDevice()
    kernels = device.load(b"__kernel void k(__global float* p) { p[0] = 1; }", ["k"])
    launch = Launch("k", (Place(Space.ARENA),), (1, 1, 1), (1 << 20, 1, 1), 0)
    with pytest.raises(RunError, match=r"the device .* failed: .*"):
        device.prepared(kernels["k"], launch, [device.allocate(4)])()


@needs_device
def test_more_memory_than_the_device_gives_is_one_sentence() -> None:
    with pytest.raises(RunError, match=r"gives at most \d+ bytes at once, and \d+ are needed"):
        OpenClDevice().allocate(1 << 60)


class Driverless:
    """Stands for pyopencl where its loader finds no driver."""

    class Error(Exception):
        """What it raises."""

    @classmethod
    def get_platforms(cls) -> list[Any]:
        raise cls.Error("PLATFORM_NOT_FOUND_KHR")


@pytest.mark.parametrize(
    ("stand_in", "sentence"),
    [
        (None, r"is run by pyopencl, which is not installed; run: pip install graphopt\[opencl\]"),
        (Driverless, r"has no device of OpenCL; install the driver of your GPU, or .* pocl-opencl-icd"),
        (
            SimpleNamespace(
                Error=OSError,
                get_platforms=lambda: [SimpleNamespace(get_devices=list)],
            ),
            "has no device of OpenCL",
        ),
    ],
)
def test_a_machine_without_a_device_says_what_to_install(
    stand_in: Any, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", stand_in)
    module = graphopt.compile(network(), "opencl", cache=False)
    module.save(tmp_path / "program")  # what compiles needs no device
    with pytest.raises(TargetError, match=sentence):
        graphopt.load(tmp_path / "program")(np.zeros((1, 3, 8, 8), np.float32))


ADD = Launch("add", (Place(Space.INPUT), Place(Space.ARENA, 0, 512)), (3, 1, 1), (8, 4, 1), 1024)
PLAN = GpuPlan(
    kind="opencl",
    arch="",
    device="",
    code="part-0.cl",
    inputs=(Tensor("float32", (4,)),),
    outputs=(Tensor("float32", (4,)),),
    arena=1024,
    alignment=512,
    launches=(ADD,),
    copies=(Copy(Place(Space.ARENA, 0, 512), 0, 16),),
)


class Host:
    """A device that is arrays of this process, and notes what it is asked for."""

    name = "host"

    def __init__(self, limits: Limits, alignment: int = 1) -> None:
        self.alignment, self._limits = alignment, limits
        self.did: list[str] = []

    def begin(self) -> None:
        self.did.append("begin")

    def allocate(self, size: int) -> Any:
        return np.zeros(size, np.uint8)

    def view(self, memory: Any, offset: int) -> Any:
        return memory[offset:]

    def upload(self, array: Any, memory: Any) -> None:
        memory[: array.nbytes] = array.reshape(-1).view(np.uint8)

    def download(self, memory: Any, array: Any) -> None:
        array.reshape(-1).view(np.uint8)[:] = memory[: array.nbytes]

    def copy(self, source: Any, destination: Any, size: int) -> None:
        destination[:size] = source[:size]

    def load(self, code: bytes, names: Sequence[str]) -> dict[str, Any]:
        self.did.append(f"load {code!r} {names}")
        return dict.fromkeys(names)

    def limits(self, kernel: Any) -> Limits:
        return self._limits

    def prepared(self, kernel: Any, launch: Launch, arguments: Sequence[Any]) -> Any:
        def run() -> None:
            source, result = (memory[:16].view(np.float32) for memory in arguments)
            np.add(source, 1, out=result)

        return run


def test_an_executor_does_what_the_plan_says() -> None:
    device = Host(Limits((8, 8, 8), 32, 1024))
    executor = GpuExecutor(PLAN, b"code", [], device, {})
    (found,) = executor.run([np.array([1, 2, 3, 4], np.float32)[::-1]])
    np.testing.assert_array_equal(found, [5, 4, 3, 2])
    assert device.did == ["begin", "load b'code' ['add']", "begin"]


@pytest.mark.parametrize(
    ("limits", "alignment", "sentence"),
    [
        (
            Limits((8, 8, 8), 16, 1024),
            1,
            "'add' asks for blocks of 8 × 4 × 1 threads, and the device 'host' gives it 16",
        ),
        (Limits((4, 64, 64), 64, 1024), 1, "'add' asks for blocks of 8 × 4 × 1 threads"),
        (
            Limits((8, 8, 8), 64, 512),
            1,
            "asks for 1024 bytes of memory that threads share, and the device 'host' gives 512",
        ),
        (
            Limits((8, 8, 8), 64, 1024),
            1024,
            "wants tensors at multiples of 1024 bytes, and the program has them at .* 512",
        ),
    ],
)
def test_what_a_device_does_not_give_is_refused(limits: Limits, alignment: int, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        GpuExecutor(PLAN, b"", [], Host(limits, alignment), {})


def test_a_plan_is_read_back() -> None:
    assert GpuPlan.decode(PLAN.encode(), "plan") == PLAN


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b'"opencl"', b'"glide"', "it is for 'glide'"),
        (b'"index": 0', b'"index": 7', "there is no input 7"),
        (b'"offset": 512', b'"offset": 4096', "the arena has no byte 4096"),
        (b'"size": 16', b'"size": 4096', "there is no output 0 of 4096 bytes"),
        (b'"float32"', b'"float31"', r"`\$.inputs\[0\].dtype`"),
        (b"{", b"[", "Expected `object`, got `array`"),
    ],
)
def test_a_damaged_plan_is_one_sentence(before: bytes, after: bytes, reason: str) -> None:
    text = PLAN.encode()
    assert before in text
    with pytest.raises(ModelError, match=f"plan is damaged .*{reason}.*; compile the model again"):
        GpuPlan.decode(text.replace(before, after, 1), "plan")
