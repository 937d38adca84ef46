"""Writes a freestanding program: the files of a directory that `make` builds.

model.h, model.c   the function
kernels.c          its kernels in C99, or
kernels.o          as LLVM compiled them
weights.c          constant arrays, or
weights.bin        all bytes, and
weights.S          what includes them
run.c, Makefile    a program that runs the function on files
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from tvm import tirx

from graphopt.backends.tvm.build import plan, tvm_target
from graphopt.backends.tvm.compile import codegen_errors
from graphopt.backends.tvm.driver.bare import BareKernels, compile_bare
from graphopt.backends.tvm.driver.constants import definition
from graphopt.backends.tvm.driver.model import BLOB, Model
from graphopt.backends.tvm.driver.plain import plain_source
from graphopt.backends.tvm.driver.sequence import sequence
from graphopt.backends.tvm.driver.signature import C_TYPES, Parameter, identifiers
from graphopt.backends.tvm.lower.region import KernelOf, lower
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.backends.tvm.schedule.module import schedule
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target
from graphopt.tensors import Array

SOURCE = "model.c"


def write_program(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
    folder: Path,
    weights: WeightWriter,
    kernel_of: KernelOf,
    decisions: DecisionTable,
) -> int:
    """Write nodes in topological order as a program that needs no runtime; return the bytes of its arena.

    Raises:
        CodegenError: TVM failed, or a kernel is beyond what a program can do without TVM's runtime.

    """
    with codegen_errors():
        planned, constants = plan(schedule(lower(nodes, inputs, outputs, target, kernel_of), target, decisions), target)
        functions = planned.module.functions.items()
        kernels = {name.name_hint: kernel for name, kernel in functions if isinstance(kernel, tirx.PrimFunc)}
        bare = compile_bare(kernels, target, tvm_target(target))
        _write_kernels(bare, target, folder)
        stored = _weights(list(map(np.from_dlpack, constants)), target, folder, weights)
        model = Model(
            _parameters(inputs, "in_"),
            _parameters(outputs, "out_"),
            stored.names,
            stored.declarations,
            stored.size,
            bare.signatures,
            sequence(planned, len(inputs)),
            str(target),
        )
    for name, text in (("model.h", model.header()), (SOURCE, model.source()), ("run.c", model.runner())):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "Makefile").write_text(_makefile(target, bool(stored.names)), encoding="utf-8")
    return model.arena


@dataclass(frozen=True)
class _Stored:
    """Weights that are written: what each is in C, how that is declared, and the bytes of all."""

    names: tuple[str, ...]
    declarations: tuple[str, ...]
    size: int


def _weights(arrays: Sequence[Array], target: Target, folder: Path, weights: WeightWriter) -> _Stored:
    size = sum(array.nbytes for array in arrays)
    if target.weights == "blob":
        places = [weights.add_bytes(array.tobytes()) for array in arrays]
        names = tuple(f"({BLOB} + {place})" for place in places)
        if arrays:
            (folder / "weights.S").write_text(_BLOB_SOURCE, encoding="utf-8")
        return _Stored(names, (f"extern const unsigned char {BLOB}[];",) if arrays else (), size)
    names = tuple(f"model_weight{index}" for index in range(len(arrays)))
    declarations = tuple(
        f"extern const {C_TYPES[array.dtype.name]} {name}[{max(1, array.size)}];"
        for name, array in zip(names, arrays, strict=True)
    )
    if arrays:
        with (folder / "weights.c").open("w", encoding="utf-8") as file:
            file.write("#include <math.h>\n#include <stdbool.h>\n#include <stdint.h>\n\n")
            file.write("\n".join(declarations) + "\n")
            for name, array in zip(names, arrays, strict=True):
                file.write("\n" + definition(name, array))
    return _Stored(names, declarations, size)


def _write_kernels(bare: BareKernels, target: Target, folder: Path) -> None:
    if target.llvm:
        bare.code.write_to_file(str(folder / "kernels.o"))
    else:
        (folder / "kernels.c").write_text(plain_source(bare.code.inspect_source("c")), encoding="utf-8")


def _parameters(values: Sequence[ir.Value], prefix: str) -> tuple[Parameter, ...]:
    names = [str(value.name) for value in values]
    return tuple(
        Parameter(name, identifier, dtype_of(value), tuple(shape_of(value)))
        for name, identifier, value in zip(names, identifiers(names, prefix), values, strict=True)
    )


def _makefile(target: Target, has_weights: bool) -> str:
    compiler = f"{target.mtriple.replace('-unknown', '')}-gcc" if target.mtriple else "cc"
    objects = ["run.o", "model.o", "kernels.o", *(["weights.o"] if has_weights else [])]
    includes = "\nweights.o: weights.bin\n" if has_weights and target.weights == "blob" else ""
    return _MAKEFILE.format(compiler=compiler, objects=" ".join(objects), includes=includes)


_BLOB_SOURCE = f"""\
    .section .rodata
    .balign 64
    .globl {BLOB}
{BLOB}:
    .incbin "weights.bin"
    .section .note.GNU-stack,"",%progbits
"""
_MAKEFILE = """\
# Builds run, which runs the model on files: make, or make CC=clang and so on. The model itself is all other objects.
CC = {compiler}
CFLAGS = -std=c99 -O2 -Wall

run: {objects}
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lm

run.o model.o: model.h
{includes}"""
