"""The C function that is a model: its calls, its header, and a small program that runs it on files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from graphopt.backends.tvm.abi import ALIGNMENT
from graphopt.backends.tvm.driver.bare import PREFIX, Signature
from graphopt.backends.tvm.driver.sequence import Call, Sequence
from graphopt.backends.tvm.driver.signature import C_TYPES, Parameter
from graphopt.backends.tvm.places import Copy, Place, Space

BLOB = "model_weights"
"""The name of the weights in C, where they are one array of bytes."""
_LANES = re.compile(r"x\d+$")


@dataclass(frozen=True)
class Model:
    """A freestanding program.

    Attributes:
        inputs, outputs: in the order of the model.
        weights: by their indices what begins with each, in C.
        declarations: of the weights.
        weight_bytes: of all of them together.
        kernels: what they take, by their names in C.
        sequence: their calls, with what they work on.
        target: as text.

    """

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    weights: tuple[str, ...]
    declarations: tuple[str, ...]
    weight_bytes: int
    kernels: Mapping[str, Signature]
    sequence: Sequence
    target: str

    @property
    def parameters(self) -> str:
        """Return the parameters of the function."""
        taken = [f"const {one.c_type} *{one.identifier}" for one in self.inputs]
        return ", ".join([*taken, *(f"{one.c_type} *{one.identifier}" for one in self.outputs)])

    def header(self) -> str:
        """Return model.h."""
        described = "\n".join(map(_described, (*self.inputs, *self.outputs)))
        sizes = "\n".join(
            f"#define MODEL_{one.identifier.upper()}_ELEMENTS {one.elements}" for one in (*self.inputs, *self.outputs)
        )
        return _HEADER.format(
            target=self.target,
            described=described,
            sizes=sizes,
            arena=self.sequence.arena,
            weights=self.weight_bytes,
            parameters=self.parameters,
        )

    def source(self) -> str:
        """Return model.c."""
        prototypes = "\n".join(
            f"void {name}({', '.join(f'{_c_type(dtype)} *' for dtype in one.dtypes)});"
            for name, one in self.kernels.items()
        )
        pointers = [one.identifier for one in (*self.inputs, *self.outputs)]
        return _SOURCE.format(
            prototypes=prototypes,
            weights="\n".join(self.declarations),
            memory=_MEMORY.format(slack=ALIGNMENT - 1) if self.sequence.arena else "",
            parameters=self.parameters,
            missing=" || ".join(f"!{pointer}" for pointer in pointers) or "0",
            arena=_ARENA.format(slack=ALIGNMENT - 1) if self.sequence.arena else "",
            calls="\n".join((*map(self._call, self.sequence.calls), *map(self._copy, self.sequence.copies))),
        )

    def runner(self) -> str:
        """Return run.c."""
        everything = (*self.inputs, *self.outputs)
        return _RUNNER.format(
            usage=" ".join(f"{one.identifier}.bin" for one in everything),
            tensors="\n".join(f"static {one.c_type} {one.identifier}[{max(1, one.elements)}];" for one in everything),
            count=len(everything) + 1,
            reads="\n".join(_transfer("read", one, place) for place, one in enumerate(self.inputs, 1)),
            arguments=", ".join(one.identifier for one in everything),
            writes="\n".join(
                _transfer("write", one, place) for place, one in enumerate(self.outputs, 1 + len(self.inputs))
            ),
        )

    def _call(self, call: Call) -> str:
        name = PREFIX + call.kernel
        taken = zip(self.kernels[name].dtypes, call.arguments, strict=True)
        pointers = (f"({_c_type(dtype)} *){self._at(place)}" for dtype, place in taken)
        return f"  {name}({', '.join(pointers)});"

    def _copy(self, copy: Copy) -> str:
        return f"  memcpy({self.outputs[copy.output].identifier}, {self._at(copy.source)}, {copy.size});"

    def _at(self, place: Place) -> str:
        if place.space is Space.ARENA:
            return f"(arena + {place.offset})"
        if place.space is Space.WEIGHT:
            return self.weights[place.index]
        if place.space is Space.INPUT:
            return self.inputs[place.index].identifier
        own = self.outputs[place.index].identifier
        return f"((unsigned char *){own} + {place.offset})" if place.offset else own


def _c_type(dtype: str) -> str:
    return C_TYPES[_LANES.sub("", dtype)]


def _described(one: Parameter) -> str:
    extents = "".join(f"[{extent}]" for extent in one.shape) or "[1]"
    name = repr(one.name).replace("/*", "/ *").replace("*/", "* /")  # it stands in a comment
    return f"     {one.identifier}: {one.c_type}{extents}, {name} of the model, {one.dtype}"


def _transfer(verb: str, one: Parameter, place: int) -> str:
    return (
        f"  if ({verb}_file(arguments[{place}], {one.identifier}, {one.elements} * sizeof *{one.identifier})) return 2;"
    )


_HEADER = """\
/* A neural network as one function of C99, for {target}.

{described}

   Tensors are as in C: the last axis runs fastest. Floats of 16 bits are known by their bits.
   Outputs must not overlap with inputs, nor with each other.

   Nothing is allocated: intermediate results lie in MODEL_ARENA_BYTES of static memory, and weights are
   MODEL_WEIGHT_BYTES of constants. So one thread at a time may run the model. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_ARENA_BYTES {arena}
#define MODEL_WEIGHT_BYTES {weights}
{sizes}

#ifdef __cplusplus
extern "C" {{
#endif

/* Fills the outputs. Returns 0, or 1 where a pointer is NULL, and then does nothing. */
int model_run({parameters});

#ifdef __cplusplus
}}
#endif

#endif
"""
_SOURCE = """\
#include "model.h"

#include <string.h>

{prototypes}

{weights}

{memory}int model_run({parameters}) {{
  if ({missing}) return 1;
{arena}{calls}
  return 0;
}}
"""
_MEMORY = """\
static unsigned char memory[MODEL_ARENA_BYTES + {slack}];

"""
_ARENA = """\
  unsigned char *const arena = (unsigned char *)(((uintptr_t)memory + {slack}) & ~(uintptr_t){slack});
"""
_RUNNER = """\
/* Runs the model on files of plain numbers:

     run {usage} */
#include <stdio.h>

#include "model.h"

{tensors}

static int read_file(const char *name, void *content, size_t size) {{
  FILE *file = fopen(name, "rb");
  const int failed = !file || fread(content, 1, size, file) != size;
  if (failed) fprintf(stderr, "cannot read %lu bytes from %s\\n", (unsigned long)size, name);
  if (file) fclose(file);
  return failed;
}}

static int write_file(const char *name, const void *content, size_t size) {{
  FILE *file = fopen(name, "wb");
  const int failed = !file || fwrite(content, 1, size, file) != size;
  if (failed) fprintf(stderr, "cannot write %lu bytes to %s\\n", (unsigned long)size, name);
  if (file) fclose(file);
  return failed;
}}

int main(int count, char **arguments) {{
  if (count != {count}) {{
    fprintf(stderr, "usage: run {usage}\\n");
    return 2;
  }}
{reads}
  const int failed = model_run({arguments});
  if (failed) return failed;
{writes}
  return 0;
}}
"""
