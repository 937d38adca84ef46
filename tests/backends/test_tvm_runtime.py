"""What TVM compiled, loaded and run: weights, alignment, threads; and what is refused, with which reason."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import tvm

from graphopt.backends.tvm import abi
from graphopt.backends.tvm.compile import compile_region
from graphopt.backends.tvm.executor import Library, TvmExecutor
from graphopt.backends.tvm.lower.support import Support
from graphopt.backends.tvm.schedule.sharing import Convolution
from graphopt.backends.tvm.tile import choose_tile
from graphopt.backends.tvm.weights import WeightWriter, read_weights
from graphopt.errors import ModelError, TargetError
from graphopt.targets import parse_target


def parse(text: str) -> ir.Model:
    return ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))


def mapped(path: Path) -> np.ndarray:
    return np.memmap(path, np.uint8, mode="c")


WEIGHTS = ",".join(str(index) for index in range(40))
SCALE = f"""<ir_version: 8, opset_import: ["" : 18]>
g (float[3,40] x, float s) => (float[3,40] y) <float[40] w = {{{WEIGHTS}}}> {{ a = Mul (x, w) y = Add (a, s) }}"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("program")
    path, weights = folder / "part-0", folder / "weights.bin"
    graph = parse(SCALE).graph
    region = compile_region(list(graph), graph.inputs, graph.outputs, parse_target("cpu"), path, WeightWriter(weights))
    yield Library(folder / region.file, read_weights(mapped(weights), region.weights))
    shutil.rmtree(folder)


def test_a_loaded_program_has_touched_its_arena(tmp_path: Path) -> None:
    graph = parse("""<ir_version: 8, opset_import: ["" : 18]>
    g (float[4,3000] x) => (float[4,1] y) { s = Softmax (x) y = ReduceSum (s) }""").graph
    weights = WeightWriter(tmp_path / "weights.bin")
    region = compile_region(list(graph), graph.inputs, graph.outputs, parse_target("cpu"), tmp_path / "part", weights)
    assert region.arena > 0
    executor = TvmExecutor(Library(tmp_path / region.file, arena=region.arena), 2)
    assert len(executor._idle) == 1  # what is ready is no part of the interface
    (y,) = executor.run([np.random.default_rng(0).standard_normal((4, 3000)).astype(np.float32)])
    np.testing.assert_allclose(y.sum(), 4, rtol=1e-5)


def whole_numbers(seed: int) -> np.ndarray:
    """Numbers on which a fused multiply-add rounds like a multiplication and an addition: not at all."""
    return np.random.default_rng(seed).integers(-8, 8, (3, 40)).astype(np.float32)


def expected(x: np.ndarray, s: np.ndarray) -> np.ndarray:
    return x * np.arange(40, dtype=np.float32) + s


@pytest.mark.parametrize("form", ["fresh", "unaligned", "read-only", "strided"])
def test_takes_arrays_of_any_memory(library: Library, form: str) -> None:
    x = whole_numbers(0)
    given = {
        "fresh": x,
        "unaligned": np.frombuffer(bytearray(b"????") + x.tobytes(), np.float32, offset=4).reshape(3, 40),
        "read-only": np.frombuffer(x.tobytes(), np.float32).reshape(3, 40),
        "strided": np.asfortranarray(x),
    }[form]
    scalar = np.float32(0.5).reshape(())
    (y,) = TvmExecutor(library, 2).run([given, scalar])
    np.testing.assert_array_equal(y, expected(x, scalar))


def test_results_outlive_later_runs(library: Library) -> None:
    executor = TvmExecutor(library, 1)
    zero, one = (np.full((3, 40), value, np.float32) for value in (0, 1))
    (first,) = executor.run([zero, np.zeros((), np.float32)])
    executor.run([one, np.ones((), np.float32)])
    assert not first.any()


def test_a_result_that_is_an_input_outlives_later_runs(tmp_path: Path) -> None:
    graph = parse("""<ir_version: 8, opset_import: ["" : 18]>
    g (float[3,40] x) => (float[120] y) <int64[1] s = {120}> { y = Reshape (x, s) }""").graph
    path, weights = tmp_path / "part-0", WeightWriter(tmp_path / "weights.bin")
    region = compile_region(list(graph), graph.inputs, graph.outputs, parse_target("cpu"), path, weights)
    executor = TvmExecutor(Library(tmp_path / region.file), 1)
    zero, one = (np.full((40, 3), value, np.float32).T for value in (0, 1))  # of no memory that a kernel reads
    (first,) = executor.run([zero])
    (second,) = executor.run([one])
    assert not first.any()
    assert second.all()


def test_each_run_has_its_own_number_of_threads(library: Library) -> None:
    """Programs of one Python thread share a pool, so that one must not leave its number to another."""
    count = tvm.get_global_func("runtime.NumThreads")
    arrays = [whole_numbers(0), np.zeros((), np.float32)]
    executors = {threads: TvmExecutor(library, threads) for threads in (1, 2)}
    counts: list[int] = []

    def run() -> None:
        for threads in (1, 2, 1, 2):
            executors[threads].run(arrays)
            counts.append(count())

    caller = threading.Thread(target=run)  # with a pool of its own: that of this one is as large as was asked for first
    caller.start()
    caller.join()
    assert counts == [1, 2, 1, 2]


def test_many_threads_share_one_executor(library: Library) -> None:
    executor = TvmExecutor(library, 2)
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = whole_numbers(seed)
        s = np.full((), seed, np.float32)
        wrong.extend(seed for _ in range(100) if not np.array_equal(executor.run([x, s])[0], expected(x, s)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_weights_come_back_aligned_and_typed(tmp_path: Path) -> None:
    arrays = [np.arange(7, dtype=np.int64), np.array(2.5), np.ones((2, 3), np.float16), np.array([True, False])]
    path = tmp_path / "weights.bin"
    writer = WeightWriter(path)
    places = [writer.add(array) for array in arrays]
    for array, back in zip(arrays, read_weights(mapped(path), places), strict=True):
        assert (back.dtype, back.shape, back.ctypes.data % 64) == (array.dtype, array.shape, 0)
        np.testing.assert_array_equal(back, array)


def test_equal_weights_lie_there_once(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    writer = WeightWriter(path)
    square = np.arange(16, dtype=np.float32).reshape(4, 4)
    first = writer.add(square)
    size = path.stat().st_size
    assert writer.add(square.copy()) == first
    assert writer.add(np.asfortranarray(square)) == first
    assert path.stat().st_size == size
    others = [writer.add(other) for other in (square.reshape(2, 8), square.view(np.int32), square + 1)]
    assert len({first, *others}) == 4
    np.testing.assert_array_equal(read_weights(mapped(path), [others[2]])[0], square + 1)


def test_what_has_no_weights_writes_no_file(tmp_path: Path) -> None:
    WeightWriter(tmp_path / "weights.bin")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 5, 70, -64])
def test_damaged_weights_are_named(length: int, tmp_path: Path) -> None:
    writer = WeightWriter(tmp_path / "weights.bin")
    place = writer.add(np.arange(40, dtype=np.float32))
    with pytest.raises(ModelError, match="are damaged"):
        read_weights(mapped(tmp_path / "weights.bin")[:length], [place])


def test_code_runs_on_the_runtime_library_alone() -> None:
    script = """
import sys
from graphopt.backends.tvm.runtime_library import load_runtime
assert load_runtime().get_global_func("runtime.NumThreads")() > 0
assert "tvm" not in sys.modules
assert "libtvm_compiler" not in open("/proc/self/maps").read()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_missing_linker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, weights = parse(SCALE).graph, WeightWriter(tmp_path / "weights.bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TargetError, match="apt install gcc"):
        compile_region(list(graph), graph.inputs, graph.outputs, parse_target("cpu"), tmp_path / "part", weights)


def test_a_crashing_ffi_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abi, "version", lambda _: "0.1.15")
    with pytest.raises(TargetError, match="apache-tvm-ffi==0.1.14.post1"):
        abi.check_abi()


REFUSED = {
    "is not static": "g (float[N,3] x) => (float[N,3] y) { y = Relu (x) }",
    "has no elements": "g (float[0,3] x) => (float[0,3] y) { y = Relu (x) }",
    "no kernel": "g (bfloat16[3] x) => (bfloat16[3] y) { y = Relu (x) }",
    "no lowering of Det": "g (float[3,3] x) => (float y) { y = Det (x) }",
    "antialiasing": """g (float[1,1,4,4] x) => (float[1,1,2,2] y) <float[4] s = {1, 1, 0.5, 0.5}>
        { y = Resize <mode="linear", antialias=1> (x, , s) }""",
    "training mode": "g (float[3] x, float r, bool t) => (float[3] y) { y = Dropout (x, r, t) }",
    "shifts by the width": """g (uint8[3] x, uint8[3] n) => (uint8[3] y) { y = BitShift <direction="LEFT"> (x, n) }""",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals_say_why(reason: str) -> None:
    model = parse(f'<ir_version: 8, opset_import: ["" : 18]> {REFUSED[reason]}')
    answer = Support()(model.graph[-1])
    assert answer is not None
    assert reason in answer


def test_a_foreign_domain_is_refused() -> None:
    model = parse('<ir_version: 8, opset_import: ["" : 18, "my" : 1]> g (float[3] x) => (float[3] y) { y = my.F (x) }')
    assert Support()(model.graph[0]) == "my.F is no standard operator"


@pytest.mark.parametrize(("blocks", "columns"), [(8, 56), (7, 7), (1, 1), (13, 29), (160, 2)])
def test_tiles_take_whole_blocks_and_fit_the_registers(blocks: int, columns: int) -> None:
    target = parse_target("cpu")
    tile = choose_tile(blocks, columns, target)
    assert blocks % tile.blocks == 0
    assert tile.columns <= columns
    assert tile.registers < target.vector_registers


@pytest.mark.parametrize(("columns", "phases"), [(56, 2), (57, 3), (1, 2), (2, 3), (64, 32)])
def test_tiles_take_whole_turns_of_phases_where_these_fit(columns: int, phases: int) -> None:
    target = parse_target("cpu{mcpu=haswell}")
    tile = choose_tile(4, columns, target, phases=phases)
    assert tile.columns % phases == 0 or phases > min(columns, target.vector_registers * 5 // 8)
    assert tile.registers < target.vector_registers


def test_of_tiles_that_take_as_long_the_one_that_loads_less_is_chosen() -> None:
    target = parse_target("cpu{mcpu=haswell}")
    assert str(choose_tile(64, 7, target)) == "5x2", "one block of seven columns loads its inputs twice as often"
    assert str(choose_tile(125, 169, target)) == "2x5", "a thousand channels are no pairs of blocks"


def test_tiles_are_narrow_in_channels_where_a_core_would_have_less_to_do() -> None:
    target = dataclasses.replace(parse_target("cpu{mcpu=haswell}"), cores=2)
    assert choose_tile(10, 49, target).blocks == 2
    assert choose_tile(10, 49, target, images=1).blocks == 1, "five tasks would keep one core waiting for the third"
    assert choose_tile(10, 49, target, images=2).blocks == 2


def test_a_processor_that_multiplies_half_a_register_at_a_time_is_known() -> None:
    wide = dataclasses.replace(parse_target("cpu"), vector_bits=512, features=frozenset({"avx512f"}))
    zen4 = dataclasses.replace(wide, features=wide.features | {"sse4a"})
    zen5 = dataclasses.replace(wide, features=zen4.features | {"avx512_vp2intersect"})
    assert [each.vectors_per_cycle for each in (wide, zen4, zen5)] == [2, 1, 2]
    assert dataclasses.replace(zen4, vector_bits=256).vectors_per_cycle == 2
    assert choose_tile(32, 4, zen4).slowness(4, zen4) == 1.0, "eight sums are enough where one is begun a cycle"
    assert choose_tile(32, 4, wide).slowness(4, wide) > 1.0


def test_tasks_go_by_what_need_not_pass_the_cache_again() -> None:
    target = dataclasses.replace(parse_target("cpu"), cores=2, l2_bytes=1 << 20)
    small, large = 1 << 18, 1 << 23

    def rows(blocks: int, data: int, weights: int, extent: int = 56) -> int | None:
        work = {"cycles": 1 << 21, "data": data, "weights": weights}
        return Convolution(1, blocks, [extent], extent, **work, target=target).rows_of_a_task()

    assert rows(16, small, small) is None
    assert rows(16, small // 2, small) is None
    assert rows(16, small, large) is None
    assert rows(16, large, small) == 2
    assert rows(1, small, small) == 28, "one tile of channels leaves a core idle"
    assert rows(64, 1 << 20, 1 << 20, extent=14) == 7, "weights that no core keeps pass by once a core"
    assert rows(8, 1 << 20, 1 << 20, extent=7) is None, "seven tasks leave a core idle"
