"""The reference: what a model answers when nothing at all is optimized."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.session import Session
from graphopt.ir.save import save
from graphopt.tensors import Array, Feeds

_PROTOBUF_LIMIT = 2**31 - 2**20
_FREE_DIMS = {0: 2, 1: 8}
_FREE_SPATIAL_DIM = 64


def evaluate(model: ir.Model, feeds: Feeds, *, threads: int = 0) -> dict[str, Array]:
    """Run `model` in onnxruntime with every optimization off; return its outputs by name.

    Raises:
        ModelError: onnxruntime does not accept the model.
        RunError: it does not run on these feeds.

    """
    return reference_session(model, threads=threads).run(feeds)


def reference_session(
    model: ir.Model, *, threads: int = 0, optimize: bool = False, keep_memory: bool = True
) -> Session:
    """Load an IR model into onnxruntime, through a file where protobuf is too small; raises ModelError."""
    if _weight_bytes(model) < _PROTOBUF_LIMIT:
        serialized = ir.to_proto(model).SerializeToString()
        return Session(serialized, threads=threads, optimize=optimize, keep_memory=keep_memory)
    with tempfile.TemporaryDirectory(prefix="graphopt-") as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        return Session(path, threads=threads, optimize=optimize, keep_memory=keep_memory)


def random_feeds(
    model: ir.Model, *, seed: int = 0, shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Array]:
    """Make one array per graph input: normal floats, small integers, fair booleans; equal for equal seeds.

    Free dimensions are 2 on axis 0, 8 on axis 1 and 64 beyond, and equal wherever they share a symbol;
    `shapes` overrides an input's shape whole.
    """
    symbols: dict[str, int] = {}
    return {
        str(value.name): _random_array(value, seed, shapes, symbols)
        for value in model.graph.inputs
        if not value.is_initializer()
    }


def _random_array(
    value: ir.Value, seed: int, shapes: Mapping[str, Sequence[int]] | None, symbols: dict[str, int]
) -> Array:
    name = str(value.name)
    shape = tuple((shapes or {}).get(name) or _concrete_shape(value.shape or ir.Shape([]), symbols))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    dtype = (value.dtype or ir.DataType.FLOAT).numpy()
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu":
        return rng.integers(0, 4, shape).astype(dtype)
    if dtype.kind in "OU":
        return rng.choice(np.array(["a", "b", "c"], dtype=object), shape)
    return rng.standard_normal(shape).astype(dtype)


def _concrete_shape(shape: ir.Shape, symbols: dict[str, int]) -> list[int]:
    dims = []
    for axis, dim in enumerate(shape):
        default = _FREE_DIMS.get(axis, _FREE_SPATIAL_DIM)
        if isinstance(dim, int):
            dims.append(dim)
        else:
            dims.append(symbols.setdefault(dim.value, default) if dim.value else default)
    return dims


def _weight_bytes(model: ir.Model) -> int:
    values = (value.const_value for graph in model.graphs() for value in graph.initializers.values())
    return sum(tensor.nbytes for tensor in values if tensor is not None)
