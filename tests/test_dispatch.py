"""Several shapes in one program: the table that the user writes, what is compiled for it, and who serves a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.cli.main import build_app
from graphopt.compiler.table import common, rows_of
from graphopt.errors import ModelError, RunError
from graphopt.ir.save import save
from graphopt.numerics import differences
from graphopt.runtime.dispatch import DispatchTable, Step, cut
from tests.networks import CONV_BN_RELU, network

TALL = """
g (float[N,3,H,8] x) => (float[N,4,H,8] y)
<float[4,3,3,3] w> { c = Conv <pads = [1,1,1,1]> (x, w)  y = Relu (c) }
"""
MIXED_PARTS = """
g (float[N,3,8,8] x) => (float[N,3] y, int64[N,2] places)
<float[4,3,3,3] w, float[4,3] m, int64[1] two = {2}>
{
    c = Conv <pads = [1,1,1,1]> (x, w)  r = Relu (c)  p = GlobalAveragePool (r)  f = Flatten (p)
    u = LpNormalization (f)  y = MatMul (u, m)  top, places = TopK (y, two)
}
"""
TWO_INPUTS = "g (float[N,4] a, float[N,4] b, float[4] c) => (float[N,4] y) { d = Sub (a, b)  y = Mul (d, c) }"
HEAVY = """
g (float[N,3,64,64] x) => (float[N,3,64,64] y)
<float[3,64,64] a, float[3,64,64] b> { p = Mul (x, a)  r = Relu (p)  y = Add (r, b) }
"""


pytestmark = pytest.mark.usefixtures("own_cache")


def agree(model: ir.Model, module: graphopt.CompiledModule, **shapes: tuple[int, ...]) -> None:
    feeds = random_feeds(model, seed=1, shapes=shapes)
    worst = differences(evaluate(model, feeds), module.run(feeds))[0]
    assert worst.error <= 1e-5, worst


def used_onnxruntime(module: graphopt.CompiledModule) -> bool:
    """Whether the whole model was ever loaded into onnxruntime."""
    return "_whole_model" in vars(module)


def test_each_set_of_shapes_has_native_code() -> None:
    model = network(TALL)
    shapes = [(1, 3, 8, 8), (2, 3, 8, 8), (2, 3, 5, 8)]
    module = graphopt.compile(model, shapes=[{"x": shape} for shape in shapes], cache=False)
    assert module.variants == tuple({"x": shape} for shape in shapes) == module.report.shapes
    assert module.inputs[0].shape == ("N", 3, "H", 8)
    for shape in shapes:
        agree(model, module, x=shape)
    assert not used_onnxruntime(module)
    agree(model, module, x=(2, 3, 7, 8))
    assert used_onnxruntime(module)


def test_sets_bind_several_inputs_together() -> None:
    model = network(TWO_INPUTS)
    module = graphopt.compile(model, shapes=[{"a": [3, 4]}, {"b": [2, None]}], cache=False)
    assert module.variants == ({"a": (3, 4), "b": (3, 4), "c": (4,)}, {"a": (2, 4), "b": (2, 4), "c": (4,)})
    for batch in (2, 3):
        agree(model, module, a=(batch, 4), b=(batch, 4))
    assert not used_onnxruntime(module)


def test_variants_share_their_weights(tmp_path: Path) -> None:
    def size(name: str, *batches: int) -> int:
        module = graphopt.compile(network(HEAVY), shapes=[{"x": [batch, 3, 64, 64]} for batch in batches])
        module.save(tmp_path / name)
        return sum(path.stat().st_size for path in (tmp_path / name).iterdir())

    one, two, both = size("one", 1), size("two", 2), size("both", 1, 2)
    weights = 2 * 4 * 3 * 64 * 64
    assert both < one + two - 2 * weights  # neither the optimized model nor the packed weights are there twice
    assert (tmp_path / "both" / "weights.bin").stat().st_size < 1.1 * weights


def test_parts_of_onnxruntime_share_their_weights(tmp_path: Path) -> None:
    text = """
    g (float[5,N,16] x) => (float[5,1,N,32] y)
    <float[1,128,16] w, float[1,128,32] r> { a = Relu (x)  h = LSTM <hidden_size = 32> (a, w, r)  y = Tanh (h) }
    """
    model = network(text)
    module = graphopt.compile(model, shapes=[{"x": [5, 1, 16]}, {"x": [5, 2, 16]}], cache=False)
    assert {place.executor for place in module.report.placements} == {"tvm", "onnxruntime"}
    module.save(tmp_path / "program")
    loaded = graphopt.load(tmp_path / "program")
    for batch in (1, 2):
        agree(model, loaded, x=(5, batch, 16))
    assert not used_onnxruntime(loaded)
    weights = 4 * 128 * (16 + 32)
    assert weights <= (tmp_path / "program" / "weights.bin").stat().st_size < 1.1 * weights
    assert all(path.stat().st_size < 2000 for path in (tmp_path / "program").glob("part-*.onnx"))


def test_a_program_needs_no_file_of_the_model_that_it_is_made_from(tmp_path: Path) -> None:
    text = """
    g (float[5,1,16] x) => (float[5,1,1,4] y)
    <float[1,16,16] large, float[1,16,4] small>
    { a = Relu (x)  h = LSTM <hidden_size = 4> (a, large, small)  y = Tanh (h) }
    """
    (tmp_path / "from").mkdir()
    save(network(text), tmp_path / "from" / "m.onnx", external_data=True, smallest_external=1)
    module = graphopt.compile(tmp_path / "from" / "m.onnx", cache=False)
    shutil.rmtree(tmp_path / "from")
    module.save(tmp_path / "program")
    agree(network(text), graphopt.load(tmp_path / "program"), x=(5, 1, 16))


def test_equal_sets_make_one_variant() -> None:
    model = network(TALL)
    shapes = [{"x": [None, 3, 8, 8]}, {"x": [1, 3, 8, 8]}, {"x": (1, 3, np.int64(8), 8)}, {"x": ["M", 3, 8, 8]}]
    module = graphopt.compile(model, shapes=shapes, cache=False)
    assert module.variants == ({"x": (1, 3, 8, 8)},)
    assert module.inputs[0].shape == ("N", 3, 8, 8)


def test_the_cache_knows_one_table_in_all_its_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    rows = [{"x": [1, 3, 8, 8]}, {"x": [2, 3, 8, 8]}]
    graphopt.compile(network(TALL), shapes=rows, on_stage=stages.append)
    assert stages.count("generate code") == 2
    stages.clear()
    again = [{"x": (1, 3, 8, 8)}, {"x": (np.int64(2), 3, 8, 8)}, rows[0]]
    assert len(graphopt.compile(network(TALL), shapes=again, on_stage=stages.append).variants) == 2
    assert stages == []
    graphopt.compile(network(TALL), shapes=rows[1], on_stage=stages.append)
    assert stages


def test_a_saved_program_keeps_its_table(tmp_path: Path) -> None:
    model = network(TALL)
    rows = [{"x": [1, 3, 8, 8]}, {"x": [2, 3, 8, 8]}]
    module = graphopt.compile(model, shapes=rows)
    module.save(tmp_path / "program")
    loaded = graphopt.load(tmp_path / "program")
    assert (loaded.variants, loaded.report) == (module.variants, module.report)
    agree(model, loaded, x=(2, 3, 8, 8))
    assert not used_onnxruntime(loaded)


def test_the_target_onnxruntime_has_no_variants() -> None:
    module = graphopt.compile(network(TALL), "onnxruntime", shapes=[{"x": [1, 3, 8, 8]}, {"x": [2, 3, 8, 8]}])
    assert module.variants == ()
    assert "native" not in repr(module)
    agree(network(TALL), module, x=(2, 3, 8, 8))


def test_a_dimension_that_one_set_leaves_free_is_named() -> None:
    module = graphopt.compile(network(TALL), shapes=[{"x": [1, 3, 8, 8]}, {"x": [2, 3, None, 8]}], cache=False)
    assert module.report.notes == ("dimension 2 of input 'x' is free; fix it with shapes= or --input-shape",)
    assert module.variants == ()


def test_the_repr_says_what_is_native() -> None:
    module = graphopt.compile(network(TALL), shapes=[{"x": [1, 3, 8, 8]}, {"x": [2, 3, 5, 8]}])
    assert "native code is there for x: [1, 3, 8, 8] or x: [2, 3, 5, 8]" in repr(module)


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ({"x": [[1, 3, 8, 8], [8, 3, 8, 8]]}, "'x' has several shapes in one set; give a set for each: shapes=.{'x'"),
        ([{"x": [1, 3, 8, 8]}, {"z": [8]}], "there is no input 'z'"),
        ([{"x": [1, 3, 8, 8]}, {"x": [8, 3, 8]}], "has rank 4"),
        ([{"x": [1, 3, 8, 8]}, {"x": [8, 3, 8, 9]}], "is fixed at 8 and cannot become 9"),
        ([{"x": [1, 3, 8, 8]}, {"x": [-8, 3, 8, 8]}], "dimension of size -8"),
    ],
)
@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
def test_tables_that_do_not_fit_are_one_sentence(shapes, sentence: str, target: str) -> None:  # type: ignore[no-untyped-def]  # tables of all kinds
    stages: list[str] = []
    with pytest.raises(ModelError, match=sentence):
        graphopt.compile(network(TALL), target, shapes=shapes, on_stage=stages.append)
    assert stages == []


@pytest.mark.parametrize("target", ["cpu", "onnxruntime"])
def test_a_shape_that_the_model_refuses_is_told_those_that_are_there(target: str) -> None:
    text = "g (float[N,H] x) => (float[N,H] y) <float[4] w> { y = Add (x, w) }"
    module = graphopt.compile(network(text), target, shapes=[{"x": [1, 4]}, {"x": [2, 4]}], cache=False)
    native = "; native code is there for x: [1, 4] or x: [2, 4]" if target == "cpu" else ""
    for shape, sentence in (((2, 3), "dimension 1 must be 4"), ((4,), "has 1 dimension")):
        with pytest.raises(RunError, match=sentence) as caught:
            module(np.zeros(shape, np.float32))
        assert native in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_shape_that_onnxruntime_refuses_is_told_those_that_are_there() -> None:
    text = "g (float[N,H] x) => (float[M,4] y) <int64[2] t = {-1, 4}> { r = Relu (x)  y = Reshape (r, t) }"
    module = graphopt.compile(network(text), shapes=[{"x": [1, 4]}, {"x": [2, 8]}], cache=False)
    agree(network(text), module, x=(3, 12))
    with pytest.raises(RunError, match="onnxruntime cannot run.*; native code is there for x: .1, 4. or x: .2, 8."):
        module(np.zeros((1, 3), np.float32))


def test_rows_and_what_they_have_in_common() -> None:
    assert rows_of(None) == rows_of([]) == ({},)
    assert rows_of({"x": [1, "N"]}) == ({"x": (1, "N")},)
    rows = rows_of([{"y": [2], "x": [1, 3, None]}, {"x": [8, 3, None], "y": [2]}, {"y": [2], "x": [1, 3, None]}])
    assert rows == ({"x": (1, 3, None), "y": (2,)}, {"x": (8, 3, None), "y": (2,)})
    assert common(rows) == {"x": (None, 3, None), "y": (2,)}
    assert common([{"x": (1,)}, {"y": (2,)}]) == common([{"x": (1,)}, {"x": (1, 2)}]) == {}


@given(st.integers(0, 200), st.sets(st.integers(1, 20), max_size=4))
def test_a_batch_is_cut_into_sizes_where_it_can_be(batch: int, sizes: set[int]) -> None:
    reachable = {0} if sizes else set()
    for total in range(1, batch + 1):
        reachable |= {total} if any(total - size in reachable for size in sizes) else set()
    falling = tuple(sorted(sizes, reverse=True))
    counts = cut(batch, falling)
    assert (counts is not None) == (batch in reachable)
    if counts is not None:
        assert min(counts) >= 0
        assert sum(size * count for size, count in zip(falling, counts, strict=True)) == batch


def test_large_sizes_go_first_and_large_batches_are_cut_at_once() -> None:
    assert cut(11, (8, 1)) == (1, 3)
    assert cut(10, (8, 5)) == (0, 2)
    assert cut(10**6 + 1, (8, 4, 2)) is None
    counts = cut(10**6 + 1, (64, 48, 9))
    assert counts is not None
    assert sum(size * count for size, count in zip((64, 48, 9), counts, strict=True)) == 10**6 + 1


def test_a_table_cuts_only_along_the_batch() -> None:
    rows = [{"x": (4, 5), "z": (2,)}, {"x": (1, 5), "z": (2,)}, {"x": (1, 6), "z": (2,)}]

    def steps(table: DispatchTable, x: tuple[int, ...], z: int = 2) -> tuple[Step, ...]:
        return table.steps({"x": np.zeros(x), "z": np.zeros(z)})

    table = DispatchTable(rows, ["x"])
    assert steps(table, (4, 5)) == (Step(0),)
    assert steps(table, (6, 5)) == (Step(0, slice(0, 4)), Step(1, slice(4, 5)), Step(1, slice(5, 6)))
    assert steps(table, (2, 6)) == (Step(2, slice(0, 1)), Step(2, slice(1, 2)))
    for x, z in (((0, 5), 2), ((2, 7), 2), ((2, 5), 3)):
        assert steps(table, x, z) == ()
    both = DispatchTable([{"x": (1, 5), "z": (1,)}], ["x", "z"])
    assert steps(both, (2, 5), 2) == (Step(0, slice(0, 1)), Step(0, slice(1, 2)))
    assert steps(both, (2, 5), 3) == ()
    assert steps(DispatchTable(rows, []), (6, 5)) == steps(DispatchTable([], []), (4, 5)) == ()


@pytest.fixture(scope="module")
def any_batch() -> tuple[ir.Model, graphopt.CompiledModule]:
    model = network(MIXED_PARTS)
    return model, graphopt.compile(model, shapes=[{"x": [8, 3, 8, 8]}, {"x": [1, 3, 8, 8]}], cache=False)


@pytest.mark.parametrize("batch", range(1, 18))
def test_any_batch_runs_natively(any_batch: tuple[ir.Model, graphopt.CompiledModule], batch: int) -> None:
    model, module = any_batch
    assert module.batched == ("x",)
    assert module.report.notes == ()
    assert {place.executor for place in module.report.placements} == {"tvm", "onnxruntime"}
    agree(model, module, x=(batch, 3, 8, 8))
    assert not used_onnxruntime(module)


def test_an_empty_batch_and_one_that_is_no_sum_run_in_onnxruntime() -> None:
    model = network(TALL)
    module = graphopt.compile(model, shapes=[{"x": [2, 3, 8, 8]}, {"x": [4, 3, 8, 8]}], cache=False)
    assert "native code is there for x: [2, 3, 8, 8] or x: [4, 3, 8, 8], and for batches that are sums" in repr(module)
    agree(model, module, x=(6, 3, 8, 8))
    assert not used_onnxruntime(module)
    assert module(np.zeros((0, 3, 8, 8), np.float32))["y"].shape == (0, 4, 8, 8)
    assert used_onnxruntime(module)
    agree(model, module, x=(3, 3, 8, 8))


def test_without_shapes_a_batch_is_a_run_a_sample() -> None:
    model = network(CONV_BN_RELU)
    module = graphopt.compile(model, cache=False)
    agree(model, module, x=(3, 3, 8, 8))
    assert not used_onnxruntime(module)


def test_inputs_without_a_batch_go_to_every_part_of_it() -> None:
    model = network("g (float[N,4] a, float[4] w, float[N,4] b) => (float[N,4] y) { d = Mul (a, w)  y = Sub (d, b) }")
    module = graphopt.compile(model, shapes=[{"a": [1, 4]}, {"a": [2, 4]}], cache=False)
    assert module.batched == ("a", "b")
    agree(model, module, a=(5, 4), w=(4,), b=(5, 4))
    assert not used_onnxruntime(module)
    with pytest.raises(RunError, match="'b' has shape .4, 4., but dimension 0 must be 5"):
        module(np.zeros((5, 4), np.float32), np.zeros(4, np.float32), np.zeros((4, 4), np.float32))


def test_samples_that_touch_each_other_stay_together() -> None:
    model = network("g (float[N,4] x) => (float[N,4] y) { r = Relu (x)  y = Softmax <axis = 0> (r) }")
    module = graphopt.compile(model, shapes=[{"x": [1, 4]}, {"x": [2, 4]}], cache=False)
    assert module.batched == ()
    assert module.report.notes == (
        "other batches than those of native code run in onnxruntime: node Softmax (-> y) works along the batch",
    )
    agree(model, module, x=(2, 4))
    assert not used_onnxruntime(module)
    agree(model, module, x=(3, 4))
    assert used_onnxruntime(module)


def test_a_fixed_batch_needs_no_proof() -> None:
    module = graphopt.compile(network("g (float[2,4] x) => (float[2,4] y) { y = Softmax <axis = 0> (x) }"), cache=False)
    assert (module.batched, module.report.notes) == ((), ())


def command(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(build_app(), [*arguments])
    assert done.exit_code == code, done.stderr
    return done.stderr if code else done.stdout


def test_the_command_makes_variants_and_runs_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(network(TALL), "m.onnx")
    shapes = ["--input-shape", "x:2,3,8,8", "--input-shape", "x:1,3,5,8"]
    text = command("compile", "m.onnx", "-o", "p", *shapes)
    assert "native for" in text
    assert "x: [2, 3, 8, 8]" in text
    told = json.loads(command("compile", "m.onnx", "-o", "p", *shapes, "--json"))
    assert told["shapes"] == [{"x": [2, 3, 8, 8]}, {"x": [1, 3, 5, 8]}]
    assert told["batched"] == ["x"]
    assert len(told["arenas"]) == 2
    assert told["arenas"][0] > told["arenas"][1] > 0
    assert "a run, beside weights, inputs and outputs" in text
    assert "and batches that are sums of these" in text
    assert json.loads(command("run", "p", "--json"))["outputs"][0]["shape"] == [2, 4, 8, 8]
    assert "given twice" in command("run", "m.onnx", *shapes, code=2)


def test_shapes_of_several_inputs_go_together_in_the_order_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(network("g (float[N,H] a, float[H] b) => (float[N,H] y) { y = Sub (a, b) }"), "m.onnx")
    line = ["compile", "m.onnx", "-o", "p", "--json"]
    several = ["--input-shape", "a:1,4", "--input-shape", "b:4", "--input-shape", "a:2,5", "--input-shape", "b:5"]
    assert json.loads(command(*line, *several))["shapes"] == [{"a": [1, 4], "b": [4]}, {"a": [2, 5], "b": [5]}]
    once = ["--input-shape", "a:1,4", "--input-shape", "a:2,4", "--input-shape", "b:4"]
    assert json.loads(command(*line, *once))["shapes"] == [{"a": [1, 4], "b": [4]}, {"a": [2, 4], "b": [4]}]
    said = command(*line, *several, "--input-shape", "a:3,4", code=2)
    assert "given 2 times for 'b' and 3 times for 'a'" in " ".join(said.replace("│", " ").split())
