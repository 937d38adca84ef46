"""Requests for weights: each line of what comes next is asked for, and nothing else."""

from __future__ import annotations

import math
import platform
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import s_tir, tirx

import graphopt
from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.lower.region import lower
from graphopt.backends.tvm.machine import LINE_BYTES
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.compiler.kernels import kernels_of
from graphopt.ir.text.parser import parse_model
from graphopt.targets import Precision, Target, host
from graphopt.tensors import Array

DIRECT = replace(host(), cores=2, winograd=False, vector_bits=256, l2_bytes=1 << 20)
PAIRS = replace(DIRECT, precision=Precision.BF16, features=DIRECT.features - {"avx512_bf16"})
WINOGRAD = replace(DIRECT, winograd=True)
ONE_CORE = replace(WINOGRAD, cores=1)
CASES = {
    "a task for a tile of channels": ("float[1,64,6,6] x", "float[64,64,3,3] w", "pads = [1,1,1,1]", DIRECT),
    "a task for rows": ("float[1,256,40,14] x", "float[64,256,1,1] w", "pads = [0,0,0,0]", DIRECT),
    "several images": ("float[3,64,6,6] x", "float[64,64,1,1] w", "pads = [0,0,0,0]", DIRECT),
    "groups": ("float[1,64,6,6] x", "float[64,16,3,3] w", "group = 4", DIRECT),
    "pairs": ("float[1,64,14,14] x", "float[64,64,3,3] w", "strides = [2,2]", PAIRS),
    "Winograd, a task for a product": ("float[1,128,8,8] x", "float[128,128,3,3] w", "pads = [1,1,1,1]", WINOGRAD),
    "Winograd, a few channels": ("float[1,256,14,14] x", "float[256,256,3,3] w", "pads = [1,1,1,1]", ONE_CORE),
    "Winograd, a task for tiles": ("float[1,64,32,32] x", "float[32,64,3,3] w", "pads = [1,1,1,1]", WINOGRAD),
}


def scheduled(data: str, weights: str, attributes: str, target: Target) -> tirx.PrimFunc:
    """Return the kernel of a convolution."""
    text = f"g ({data}) => (float[N,O,H,W] y) <{weights}> {{ y = Conv <{attributes}> (x, w) }}"
    model = graphopt.optimize(parse_model(text), "infer-shapes").model
    graph = model.graph
    module = schedule(lower(list(graph), graph.inputs, graph.outputs, target, kernels_of(model, target)), target)
    (kernel,) = (function for name, function in module.functions.items() if "conv" in name.name_hint)
    return kernel


Nest = tuple[tirx.For, ...]
MARKS = {"graphopt.turns", "graphopt.rounds"}
OPERATIONS = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Min": np.minimum,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
}


def nested(stmt: tirx.Stmt, loops: Nest = ()) -> Iterator[tuple[Nest, tirx.Stmt]]:
    """Yield what stands in the loops of a kernel, each with the loops around it."""
    if isinstance(stmt, tirx.For):
        yield from nested(stmt.body, (*loops, stmt))
    elif isinstance(stmt, tirx.SeqStmt):
        for each in stmt.seq:
            yield from nested(each, loops)
    elif isinstance(stmt, s_tir.SBlockRealize) and stmt.block.name_hint == "root":
        yield from nested(stmt.block.body)
    else:
        yield loops, stmt


def lines(loops: Nest, place: Sequence[tirx.Expr], tensor: tirx.Var) -> dict[int, Counter[int]]:
    """Return for each turn of the marked loops how often it names each cache line of a tensor."""
    counted = [loop for loop in loops if MARKS & loop.annotations.keys()]
    used = [loop for loop in loops if loop in counted or any(uses(index, loop.loop_var) for index in place)]
    grid = np.indices([int(loop.extent) for loop in used]).reshape(len(used), -1)
    values = {loop.loop_var: numbers for loop, numbers in zip(used, grid, strict=True)}
    strides = [math.prod(map(int, tensor.shape[axis + 1 :])) for axis in range(len(tensor.shape))]
    element = sum(evaluated(index, values) * stride for index, stride in zip(place, strides, strict=True))
    line = element // (LINE_BYTES * 8 // tvm.DataType(tensor.dtype).bits)
    turns = np.ravel_multi_index([values[loop.loop_var] for loop in counted], [int(loop.extent) for loop in counted])
    return {int(turn): Counter(line[turns == turn].tolist()) for turn in np.unique(turns)}


def uses(index: tirx.Expr, variable: tirx.Var) -> bool:
    found: list[tirx.Var] = []
    tvm_ffi.structural_walk(index, (tirx.Var, found.append))
    return variable in found


def substituted(index: tirx.Expr, values: Mapping[tirx.Var, tirx.Expr]) -> tirx.Expr:
    return tvm_ffi.structural_map(index, (tirx.Var, lambda variable: values.get(variable, variable)))


def evaluated(index: tirx.Expr, values: Mapping[tirx.Var, Array]) -> Array:
    if isinstance(index, tirx.Var):
        return values[index]
    if isinstance(index, tirx.IntImm):
        return np.asarray(int(index))
    return OPERATIONS[type(index).__name__](evaluated(index.a, values), evaluated(index.b, values))


def requested(kernel: tirx.PrimFunc) -> tuple[tirx.Var, dict[int, Counter[int]]]:
    """Return the weights, and for each turn the lines that it asks for."""
    asked: dict[int, Counter[int]] = defaultdict(Counter)
    tensor = None
    for loops, stmt in nested(kernel.body):
        if isinstance(stmt, tirx.Evaluate):
            (load,) = stmt.value.args[0].args
            tensor = load.source
            for turn, count in lines(loops, load.indices, tensor).items():
                asked[turn] += count
    return tensor, asked


def read(kernel: tirx.PrimFunc, weights: tirx.Var) -> dict[int, Counter[int]]:
    """Return for each turn the lines that its sums read, or that weights for them are made of."""
    found: dict[int, Counter[int]] = defaultdict(Counter)
    for loops, stmt in nested(kernel.body):
        for region in stmt.block.reads if isinstance(stmt, s_tir.SBlockRealize) else ():
            if region.source.same_as(weights):
                values = {axis.var: at for axis, at in zip(stmt.block.iter_vars, stmt.iter_values, strict=True)}
                for offsets in np.ndindex(*(int(each.extent) for each in region.region)):
                    place = [substituted(each.min, values) + o for each, o in zip(region.region, offsets, strict=True)]
                    for turn, count in lines(loops, place, weights).items():
                        found[turn] += count
    return found


@pytest.mark.parametrize("name", CASES)
def test_all_of_what_comes_next_is_asked_for(name: str) -> None:
    kernel = scheduled(*CASES[name])
    weights, asked = requested(kernel)
    turns = read(kernel, weights)
    last = max(turns)
    assert last > 0
    for turn in turns:
        assert asked[turn].keys() == turns[min(turn + 1, last)].keys()
        assert max(asked[turn].values()) <= 2, "where lines do not divide by steps"


@pytest.mark.parametrize(
    ("data", "weights", "attributes"),
    [
        pytest.param("float[1,16,64,64] x", "float[64,16,3,3] w", "pads = [1,1,1,1]", id="few lines"),
        pytest.param("float[1,64,6,6] x", "float[64,64,3,3] w", "strides = [2,2]", id="nothing to do meanwhile"),
    ],
)
def test_what_would_not_pay_is_not_asked_for(data: str, weights: str, attributes: str) -> None:
    tensor, asked = requested(scheduled(data, weights, attributes, DIRECT))
    assert tensor is None
    assert not asked


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an instruction of x86")
def test_the_processor_is_asked() -> None:
    kernel = scheduled(*CASES["pairs"]).with_attr("global_symbol", "conv")
    library = tvm.tirx.build(tvm.IRModule({"conv": kernel}), target=tvm_target(PAIRS))
    assert "prefetcht1" in str(library.inspect_source("asm"))
