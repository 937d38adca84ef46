"""Writes a program as the files that a page or a program in JavaScript loads.

model.wasm    the module
weights.bin   its weights
model.mjs     the loader
"""

from __future__ import annotations

from pathlib import Path

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.driver.program import Program
from graphopt.backends.tvm.driver.web.entry import compile_entry
from graphopt.backends.tvm.driver.web.link import link, wasm_linker
from graphopt.backends.tvm.driver.web.loader import Layout, loader
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target

MODULE, LOADER = "model.wasm", "model.mjs"
MOST_BYTES = 1 << 31
"""Of memory: what a signed number of 32 bits addresses."""


def write_module(program: Program, target: Target, folder: Path, weights: WeightWriter) -> str:
    """Write a program; return the name of its module.

    Raises:
        TargetError: there is no linker.
        ValueError: a kernel calls what neither the module nor JavaScript has; or too much memory is needed.

    """
    places = [weights.add_bytes(array.tobytes()) for array in program.weights]
    layout = Layout.of(program, weights.size)
    if layout.size > MOST_BYTES:
        raise ValueError(f"it needs {-(-layout.size >> 20)} MiB of memory, and WebAssembly has {MOST_BYTES >> 20}")
    link(wasm_linker(), [program.bare.code, compile_entry(program, places, tvm_target(target))], folder / MODULE)
    (folder / LOADER).write_text(loader(program, layout), encoding="utf-8")
    return MODULE
