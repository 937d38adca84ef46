"""Writes a program as the files of a directory that `make` builds.

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

from graphopt.backends.tvm.driver.bare import BareKernels
from graphopt.backends.tvm.driver.constants import definition
from graphopt.backends.tvm.driver.model import BLOB, Model
from graphopt.backends.tvm.driver.plain import plain_source
from graphopt.backends.tvm.driver.program import Program
from graphopt.backends.tvm.driver.signature import C_TYPES
from graphopt.backends.tvm.weights import WeightWriter
from graphopt.targets import Target
from graphopt.tensors import Array

SOURCE = "model.c"


def write_sources(program: Program, target: Target, folder: Path, weights: WeightWriter) -> str:
    """Write a program as what a C compiler builds; return the name of the file with its function.

    Raises:
        ValueError: a kernel needs TVM's runtime.

    """
    _write_kernels(program.bare, target, folder)
    stored = _weights(program.weights, target, folder, weights)
    model = Model(
        program.inputs,
        program.outputs,
        stored.names,
        stored.declarations,
        stored.size,
        program.bare.signatures,
        program.sequence,
        str(target),
    )
    for name, text in (("model.h", model.header()), (SOURCE, model.source()), ("run.c", model.runner())):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "Makefile").write_text(_makefile(target, bool(stored.names)), encoding="utf-8")
    return SOURCE


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
