"""Programs without a runtime: built by C compilers, run under sanitizers and emulators, compared with this machine."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.backends.tvm.driver.constants import definition
from graphopt.backends.tvm.driver.signature import identifiers
from graphopt.cli.main import build_app
from graphopt.compiler.quantize import quantize
from graphopt.errors import TargetError
from graphopt.ir.load import load
from graphopt.numerics import differences
from graphopt.tensors import Array
from models import TOPOLOGIES
from tests.freestanding import MACHINES, Machine, answers, built
from tests.networks import network

DIGITS = Path("models/digits/digits.onnx")
TOLERANCE = 1e-5
EVERYWHERE = ["c", "cortex-a72", "riscv64-v", "wasm32"]

pytestmark = pytest.mark.usefixtures("own_cache")


def machine_of(name: str) -> Machine:
    machine = MACHINES[name]
    if machine.missing:
        pytest.skip(machine.missing)
    return machine


def images(part: slice) -> Array:
    return np.load("models/digits/digits_test.npz")["images"][part].astype(np.float32)


def agrees(model: ir.Model, name: str, folder: Path, shapes: dict[str, list[int]] | None = None) -> None:
    """Compare a program's answers with onnxruntime's, without optimizations."""
    machine = machine_of(name)
    module = graphopt.compile(model, machine.target, shapes=shapes, cache=False)
    feeds = random_feeds(model, shapes=module.variants[0])
    expected = evaluate(model, feeds)
    found = answers(module, folder / "program", machine, feeds, expected)
    worst = differences(expected, found)[0]
    assert worst.error <= TOLERANCE, worst


@pytest.mark.parametrize("name", MACHINES)
def test_a_trained_network_answers_as_on_this_machine(name: str, tmp_path: Path) -> None:
    machine = machine_of(name)
    image = {"image": images(slice(1))}
    expected = graphopt.compile(DIGITS)(image)
    module = graphopt.compile(DIGITS, machine.target, cache=False)
    found = answers(module, tmp_path / "digits", machine, image, expected)
    assert differences(expected, found)[0].error <= TOLERANCE


@pytest.fixture(scope="module")
def in_integers() -> tuple[ir.Model, dict[str, Array]]:
    """Quantize the network; return what it answers on this machine, too."""
    model = quantize(DIGITS, {"image": images(slice(64))}, "graphopt", method="minmax").model
    return model, graphopt.compile(model, cache=False)(images(slice(64, 65)))


@pytest.mark.parametrize("name", ["c", "cortex-a72", "cortex-a76", "neoverse-v1", "riscv64-v", "x86-64-v4", "wasm32"])
def test_integers_are_the_same_to_the_last_one(
    name: str, in_integers: tuple[ir.Model, dict[str, Array]], tmp_path: Path
) -> None:
    machine = machine_of(name)
    model, expected = in_integers
    module = graphopt.compile(model, machine.target, cache=False)
    found = answers(module, tmp_path / "digits", machine, {"image": images(slice(64, 65))}, expected)
    np.testing.assert_array_equal(found["logits"], expected["logits"])


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("topology", ["squeezenet1.1", "mobilenet_v2", "resnet18"])
def test_a_known_topology_answers_as_onnxruntime(topology: str, name: str, tmp_path: Path) -> None:
    if topology != "mobilenet_v2" and name in {"riscv64-v", "wasm32"}:
        pytest.skip("one that has most kinds of kernels is enough for further machines")
    agrees(load(TOPOLOGIES[topology](seed=1, image=32, classes=10)), name, tmp_path)


NETWORKS = {
    "outputs that no kernel makes": """
        g (float[2,3] x) => (float[2,3] y, float[6] flat, float[2,3] same, float[2,3] again)
        <int64[1] s = {6}> { y = Relu (x) flat = Reshape (x, s) same = Identity (x) again = Identity (y) }
    """,
    "parts of an output": """
        g (float[1,8,6,6] x) => (float[1,16,6,6] y) { a = Relu (x) b = Sigmoid (x) y = Concat <axis=1> (a, b) }
    """,
    "functions of the C library": """
        g (float[2,3,5,7] x) => (float[2,3,5,7] y, float[2,3,5,7] whole)
        { a = Erf (x) b = Sigmoid (a) c = Exp (b) d = Sqrt (c) e = Log (d) f = Tanh (e) y = Sin (f)
          floor = Floor (x) round = Round (x) whole = Add (floor, round) }
    """,
    "truth values and integers of 64 bits": """
        g (int64[2,3] long, bool[2,3] if) => (int64[2,3] y, bool[2,3] return)
        <int64[3] least = {-9223372036854775808, 9223372036854775807, 5}>
        { y = Max (long, least) more = Greater (long, least) return = And (more, if) }
    """,
    "a number alone": "g (float x) => (float y) { y = Exp (x) }",
    "doubles": "g (double[2,8] x) => (double[2,8] y) <double[8] w> { a = Exp (x) y = Mul (a, w) }",
    "infinity": "g (float[4] x) => (float[4] y) <float[1] far = {inf}> { y = Min (x, far) }",
    "transposed convolution": """
        g (float[1,3,8,8] x) => (float[1,4,16,16] y) <float[3,4,2,2] w> { y = ConvTranspose <strides=[2,2]> (x, w) }
    """,
}


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("what", NETWORKS)
def test_a_small_network_answers_as_onnxruntime(what: str, name: str, tmp_path: Path) -> None:
    agrees(network(NETWORKS[what]), name, tmp_path)


@pytest.mark.parametrize("name", ["cortex-a76", "wasm32"])
def test_floats_of_16_bits_run_where_llvm_has_them(name: str, tmp_path: Path) -> None:
    machine = machine_of(name)
    model = network("g (float16[2,8] x) => (float16[2,8] y) { a = Exp (x) y = Add (a, x) }")
    module = graphopt.compile(model, machine.target, cache=False)
    feeds = random_feeds(model)
    expected = evaluate(model, feeds)
    found = answers(module, tmp_path / "half", machine, feeds, expected)
    np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-2)


def test_names_do_not_leave_their_comment(tmp_path: Path) -> None:
    model = network("g (float[2] x) => (float[2] y) { y = Exp (x) }")
    model.graph.inputs[0].name, model.graph.outputs[0].name = "*/ int x; /*", 'a"b\n'
    agrees(model, "c", tmp_path)


def test_a_batch_is_what_shapes_say(tmp_path: Path) -> None:
    agrees(load(DIGITS), "c", tmp_path, {"image": [3, 1, 8, 8]})


def test_memory_is_static_and_as_large_as_it_says(tmp_path: Path) -> None:
    machine = machine_of("c-arrays")
    module = graphopt.compile(DIGITS, machine.target, cache=False)
    folder = built(module, tmp_path / "digits", machine)
    header = (folder / "model.h").read_text()
    (arena,) = module.arenas
    assert f"#define MODEL_ARENA_BYTES {arena}\n" in header
    sizes = subprocess.run(
        ["size", "-A", "model.o", "kernels.o"], cwd=folder, capture_output=True, text=True, check=True
    )
    static = sum(int(size) for size in re.findall(r"^\.(?:bss|data)\s+(\d+)", sizes.stdout, re.MULTILINE))
    assert arena <= static < arena + 128
    called = subprocess.run(
        ["nm", "-u", "kernels.o", "model.o"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert not re.search(r"alloc|TVM|tvm", called.stdout)


def test_a_missing_pointer_is_an_error_of_its_own(tmp_path: Path) -> None:
    machine = machine_of("c-arrays")
    folder = tmp_path / "digits"
    graphopt.compile(DIGITS, machine.target, cache=False).save(folder)
    sources = ["model.c", "kernels.c", "weights.c"]
    command = ["gcc", "-std=c99", "-O1", "-shared", "-fPIC", "-o", "model.so", *sources, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    model_run = ctypes.CDLL(str(folder / "model.so")).model_run
    image, logits = images(slice(1)), np.full((1, 10), np.nan, np.float32)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (image, logits)]
    assert model_run(None, pointers[1]) == model_run(pointers[0], None) == 1
    assert np.isnan(logits).all()
    assert model_run(*pointers) == 0
    assert logits.argmax() == graphopt.compile(DIGITS)(image)["logits"].argmax()


@pytest.mark.parametrize(
    ("text", "target", "sentence"),
    [
        ("g (float16[2,8] x) => (float16[2,8] y) { y = Exp (x) }", "c", "computes no float16, of which 'x' is"),
        ("g (float[2,8] x) => (float[2,8] y) { y = LpNormalization (x) }", "c", r"cannot run LpNormalization \(-> y\)"),
        ("g (float[N,C] x) => (float[N,C] y) { y = Exp (x) }", "c", "needs fixed shapes: dimension 1 of input 'x'"),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(text: str, target: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        graphopt.compile(network(text), target, cache=False)


def test_several_shapes_and_threads_are_refused() -> None:
    with pytest.raises(TargetError, match="takes one set of shapes, and 2 are given"):
        graphopt.compile(DIGITS, "c", shapes=[{"image": [1, 1, 8, 8]}, {"image": [2, 1, 8, 8]}], cache=False)
    with pytest.raises(TargetError, match="threads=2 must be 1 for target c"):
        graphopt.compile(DIGITS, "c", threads=2, cache=False)


@pytest.mark.parametrize("saved", [False, True])
def test_a_program_for_another_machine_is_not_run_here(saved: bool, tmp_path: Path) -> None:
    module = graphopt.compile(DIGITS, "cpu{mtriple=aarch64-linux-gnu winograd=false}")
    if saved:
        module.save(tmp_path / "program")
        module = graphopt.load(tmp_path / "program")
    assert module.variants == ({"image": (1, 1, 8, 8)},)
    for batch in (1, 2):
        with pytest.raises(TargetError, match=r"the program is for cpu\{mtriple=aarch64-linux-gnu .*cannot run here"):
            module(np.zeros((batch, 1, 8, 8), np.float32))


def test_the_command_writes_a_directory_that_only_make_runs(tmp_path: Path) -> None:
    folder, runner = tmp_path / "sources", CliRunner()
    done = runner.invoke(build_app(), ["compile", str(DIGITS), "-o", str(folder), "--target", "c", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["arenas"][0] > 0
    files = {"Makefile", "kernels.c", "manifest.json", "model.c", "model.h", "optimized.onnx", "run.c", "weights.c"}
    assert {path.name for path in folder.iterdir()} == files
    refused = runner.invoke(build_app(), ["run", str(folder)])
    assert refused.exit_code == TargetError.exit_code
    assert "cannot run here" in refused.stderr


def test_names_become_identifiers() -> None:
    assert identifiers(["int", "a.b", "a/b", "A:B", "été", "/"], "in_") == [
        "in_int",
        "in_a_b",
        "in_a_b_2",
        "in_A_B_3",
        "in_t",
        "in_0",
    ]


def test_constants_read_back_to_the_last_bit(tmp_path: Path) -> None:
    if (machine := MACHINES["c"]).missing:
        pytest.skip(machine.missing)
    generator = np.random.default_rng(0)
    arrays = [
        np.array([0.1, -0.0, 1e-45, 3.4028235e38, np.inf, -np.inf, 1.0], np.float32),
        generator.standard_normal(50) * 10.0 ** generator.integers(-300, 300, 50),
        np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max], np.int64),
        np.array([0, np.iinfo(np.uint64).max], np.uint64),
        np.array([np.iinfo(np.int32).min], np.int32),
        np.array([True, False]),
    ]
    text = "".join(definition(f"array{index}", array) for index, array in enumerate(arrays))
    (tmp_path / "arrays.c").write_text("#include <math.h>\n#include <stdbool.h>\n#include <stdint.h>\n" + text)
    command = ["gcc", "-std=c99", "-Wall", "-Werror", "-shared", "-fPIC", "-o", "arrays.so", "arrays.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "arrays.so"))
    for index, array in enumerate(arrays):
        read = (ctypes.c_char * array.nbytes).in_dll(library, f"array{index}")
        assert bytes(read) == array.tobytes()
