"""Kernels → object code, on all cores: LLVM compiles a module on one core, so the kernels are dealt out to several."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tvm
from tvm import tirx

from graphopt.backends.tvm.pipeline import PIPELINE, register_pipeline
from graphopt.backends.tvm.vectormath.expand import expand_functions
from graphopt.hardware import available_cores

_KERNELS_PER_MODULE = 4
"""Few, so that the cores finish together; each module takes some milliseconds of its own."""
LOWERING = {"s_tir.LoopPartition": {"partition_const_loop": True}}
"""How TVM lowers kernels: loops of known length are partitioned as well, where a schedule peels their last turn."""


def compile_kernels(module: tvm.IRModule, target: tvm.target.Target) -> list[Any]:
    """Return static libraries (`tvm.runtime.Module`) with the code of every PrimFunc of a module."""
    kernels = [
        (name, expand_functions(function))
        for name, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    ]
    count = -(-len(kernels) // _KERNELS_PER_MODULE)
    groups = [dict(kernels[start::count]) for start in range(count)]
    with TemporaryDirectory(prefix="graphopt-") as folder, ThreadPoolExecutor(available_cores()) as pool:
        paths = [Path(folder) / f"{index}.o" for index in range(count)]
        return list(pool.map(partial(_compile, target=target), groups, paths))


def generate(kernels: Mapping[Any, tirx.PrimFunc], target: tvm.target.Target) -> Any:
    """Return the code of kernels as a `tvm.runtime.Module`."""
    register_pipeline()
    with tvm.transform.PassContext(config=LOWERING):  # each thread has its own
        return tvm.tirx.build(tvm.IRModule(dict(kernels)), target=target, pipeline=PIPELINE)


def _compile(kernels: dict[tvm.ir.GlobalVar, tirx.PrimFunc], path: Path, *, target: tvm.target.Target) -> Any:
    library = generate(kernels, target)
    library.write_to_file(str(path))
    return tvm.runtime.load_static_library(str(path), [name.name_hint for name in kernels])
