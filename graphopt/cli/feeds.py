"""Arrays on their way in: from files, or made up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort import reference
from graphopt.cli.elements import decode
from graphopt.errors import CalibrationError
from graphopt.npz import read_arrays
from graphopt.runtime.module import CompiledModule
from graphopt.tensors import Array, TensorSpec

_FORMS = "write name=file.npy, or feeds.npz for several"


def read_feeds(sources: Sequence[str]) -> dict[str, Array]:
    """Read inputs by name: `name=file.npy` gives one, `feeds.npz` those that it holds; see `elements` for bfloat16.

    Raises:
        CalibrationError: another form, an unreadable file, or one input twice.

    """
    feeds: dict[str, Array] = {}
    for source in sources:
        for name, array in itertools.starmap(decode, _read(source).items()):
            if name in feeds:
                raise CalibrationError(f"input {name!r} is given twice, the second time by {source!r}; keep one")
            feeds[name] = array
    return feeds


def random_feeds(specs: Sequence[TensorSpec], *, seed: int, batch: int | None = None) -> dict[str, Array]:
    """Make the arrays that the reference makes for inputs like these; `batch` sizes free leading dimensions."""
    graph = ir.Graph([_value(spec, batch) for spec in specs], [], nodes=[], opset_imports={"": 1})
    return reference.random_feeds(ir.Model(graph, ir_version=10), seed=seed)


def random_feeds_of(module: CompiledModule, *, seed: int) -> dict[str, Array]:
    """Make inputs of the first shapes that a program has native code for; free ones are small where it has none."""
    shapes = next(iter(module.variants), {})
    specs = [replace(spec, shape=shapes.get(spec.name, spec.shape)) for spec in module.inputs]
    return random_feeds(specs, seed=seed, batch=1)


def _read(source: str) -> dict[str, Array]:
    if source.endswith(".npz") and (Path(source).is_file() or "=" not in source):
        return read_arrays(source)
    name, equals, path = source.partition("=")
    if not (name and equals and path.endswith(".npy")):
        raise CalibrationError(f"{source!r} gives no input; {_FORMS}")
    return {name: read_arrays(path)[""]}


def _value(spec: TensorSpec, batch: int | None) -> ir.Value:
    dtype = ir.DataType.STRING if spec.dtype == "object" else ir.DataType.from_numpy(np.dtype(spec.dtype))
    dims = list(spec.shape or ())
    if dims and batch is not None and not isinstance(dims[0], int):
        dims = [batch if dim is dims[0] or (dim == dims[0] and dim is not None) else dim for dim in dims]
    return ir.Value(name=spec.name, type=ir.TensorType(dtype), shape=ir.Shape(dims))
