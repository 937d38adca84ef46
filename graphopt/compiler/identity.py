"""What a compiled program depends on: the key under which the cache finds it again."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Sequence
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
    *,
    target: Target,
    rows: Sequence[Row],
    pipeline: str,
    decisions: DecisionTable,
) -> str:
    """Hash the model's own bytes, the request, what was measured, and the versions of all that takes part."""
    measured = json.dumps({key: dict(decided) for key, decided in decisions.items()}, sort_keys=True)
    request = [str(target), ",".join(sorted(target.features)), pipeline, repr(tuple(rows)), measured]
    machine = [platform.machine(), _own_sources(), *(version(tool) for tool in _TOOLS)]
    return key_of([_content(source), *(text.encode() for text in (*request, *machine))])


def with_external_data(key: str, model: ir.Model) -> str:
    """Return a key that depends on a model's external data as well; the same one where it has none.

    So a model whose own bytes are all of it is found without being read.
    """
    tensors = (slot.tensor for slot in slots(model))
    files = {Path(tensor.path) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
    return key_of([key.encode(), *map(file_digest, sorted(files))]) if files else key


def _content(source: Source) -> bytes:
    """Return what stands for a model's own bytes: the digest of its file, or its serialization."""
    if isinstance(source, str | PathLike):
        try:
            return file_digest(Path(source))
        except OSError:
            return b""  # no program was ever made of it; reading the model says what is wrong
    if isinstance(source, bytes):
        return source
    proto = source if isinstance(source, onnx.ModelProto) else ir.to_proto(source)
    return proto.SerializeToString(deterministic=True)


@functools.cache
def _own_sources() -> str:
    """Hash our own code, so that a checkout under development never serves yesterday's programs."""
    root = Path(str(graphopt.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted((*root.rglob("*.py"), *(root.parent / "passes").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
