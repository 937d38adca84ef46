"""From a planned module to a program of bare kernels, before it is written in any form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from tvm import tirx

from graphopt.backends.tvm.build import tvm_target
from graphopt.backends.tvm.driver import sequence as runs
from graphopt.backends.tvm.driver.bare import PREFIX, BareKernels, compile_bare
from graphopt.backends.tvm.driver.signature import Parameter, identifiers
from graphopt.backends.tvm.lower.types import dtype_of, shape_of
from graphopt.backends.tvm.memory.plan import Planned
from graphopt.targets import Target
from graphopt.tensors import Array


@dataclass(frozen=True)
class Program:
    """A model as calls of kernels.

    Attributes:
        inputs, outputs: in the order of the model.
        weights: by their indices in `sequence`.
        bare: the kernels.
        sequence: their calls, with what they work on.

    """

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    weights: tuple[Array, ...]
    bare: BareKernels
    sequence: runs.Sequence


def compile_program(
    planned: Planned,
    constants: Sequence[Any],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    target: Target,
) -> Program:
    """Compile a planned module, whose weights are `constants`, tensors of TVM's runtime.

    Raises what TVM raises, and ValueError where a kernel needs TVM's runtime.
    """
    functions = planned.module.functions.items()
    kernels = {name.name_hint: kernel for name, kernel in functions if isinstance(kernel, tirx.PrimFunc)}
    bare = compile_bare(kernels, target, tvm_target(target))
    return Program(
        _parameters(inputs, "in_"),
        _parameters(outputs, "out_"),
        tuple(map(np.from_dlpack, constants)),
        bare,
        runs.with_workspaces(
            runs.sequence(planned, len(inputs)), {name: bare.signatures[PREFIX + name].workspace for name in kernels}
        ),
    )


def _parameters(values: Sequence[ir.Value], prefix: str) -> tuple[Parameter, ...]:
    names = [str(value.name) for value in values]
    return tuple(
        Parameter(name, identifier, dtype_of(value), tuple(shape_of(value)))
        for name, identifier, value in zip(names, identifiers(names, prefix), values, strict=True)
    )
