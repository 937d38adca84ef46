"""What a compiled program depends on: the key under which the cache finds it again."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from os import PathLike
from pathlib import Path

import onnx
import onnx_ir as ir

import graphopt
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.compiler.table import Row
from graphopt.digests import file_digest
from graphopt.ir.load import Source
from graphopt.ir.tensors import slots
from graphopt.runtime.cache import key_of
from graphopt.targets import Target

_TOOLS = ("apache-tvm", "onnx", "onnx-ir", "onnxruntime")


def cache_key(
    source: Source,
    loaded: ir.Model,
    *,
    target: Target,
    rows: Sequence[Row],
    pipeline: str,
    decisions: DecisionTable,
) -> str:
    """Hash the model's content, the request, what was measured, and the versions of all that takes part."""
    measured = json.dumps({key: dict(decided) for key, decided in decisions.items()}, sort_keys=True)
    request = [str(target), ",".join(sorted(target.features)), pipeline, repr(tuple(rows)), measured]
    machine = [platform.machine(), _own_sources(), *(version(tool) for tool in _TOOLS)]
    return key_of([*_content(source, loaded), *(text.encode() for text in (*request, *machine))])


def _content(source: Source, loaded: ir.Model) -> Iterator[bytes]:
    """Yield the bytes a model is made of: its file and external data, or its serialization."""
    if isinstance(source, str | PathLike):
        yield file_digest(Path(source))
        for path in sorted(_external_files(loaded)):
            yield file_digest(path)
    elif isinstance(source, bytes):
        yield source
    else:
        proto = source if isinstance(source, onnx.ModelProto) else ir.to_proto(source)
        yield proto.SerializeToString(deterministic=True)


def _external_files(model: ir.Model) -> set[Path]:
    tensors = (slot.tensor for slot in slots(model))
    return {Path(tensor.path) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}


@functools.cache
def _own_sources() -> str:
    """Hash our own code, so that a checkout under development never serves yesterday's programs."""
    root = Path(str(graphopt.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted((*root.rglob("*.py"), *(root.parent / "passes").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
