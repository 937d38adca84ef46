"""Kernels → object code, on all cores: LLVM compiles a module on one core, so the kernels are dealt out to several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tvm
from tvm import tirx

from graphopt.targets import available_cores

KERNELS_PER_MODULE = 4
"""Few, so that the cores finish together; each module takes some milliseconds of its own."""
_LOWERING = {"s_tir.LoopPartition": {"partition_const_loop": True}}
"""How TVM lowers kernels: loops of known length are partitioned as well, where a schedule peels their last turn."""


def compile_kernels(module: tvm.IRModule, target: tvm.target.Target) -> list[Any]:
    """Return static libraries (`tvm.runtime.Module`) with the code of every PrimFunc of a module."""
    kernels = [(name, function) for name, function in module.functions.items() if isinstance(function, tirx.PrimFunc)]
    groups = [dict(kernels[start::step]) for step in [-(-len(kernels) // KERNELS_PER_MODULE)] for start in range(step)]
    with TemporaryDirectory(prefix="graphopt-") as folder, ThreadPoolExecutor(available_cores()) as pool:
        paths = [Path(folder) / f"{index}.o" for index in range(len(groups))]
        return list(pool.map(_compile, groups, [target] * len(groups), paths))


def _compile(kernels: dict[tvm.ir.GlobalVar, tirx.PrimFunc], target: tvm.target.Target, path: Path) -> Any:
    with tvm.transform.PassContext(config=_LOWERING):  # each thread has its own
        library = tvm.tirx.build(tvm.IRModule(kernels), target=target)
    library.write_to_file(str(path))
    return tvm.runtime.load_static_library(str(path), [name.name_hint for name in kernels])
