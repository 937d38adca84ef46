"""The runtimes that can be compared, and what a worker needs of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from graphopt.errors import MeasurementError
from graphopt.targets import Precision
from graphopt.tensors import Feeds


@dataclass(frozen=True)
class Side:
    """A model loaded into a runtime.

    Attributes:
        run: arrays by input name to arrays by output name; those may be overwritten by the next run.
        threads: how many the runtime says it uses, read back from what was loaded.
        version: of the runtime.

    """

    run: Callable[[Feeds], Feeds]
    threads: int
    version: str


@dataclass(frozen=True)
class Runtime:
    """A line of the table.

    Attributes:
        loader: "module:function", called in the worker with a path and a number of threads; returns a Side.
        package: what has to be installed.
        prepare: "module:function", called in the worker before: imports what the loader would import as it loads,
            so that it does not count as memory of the model.
        bf16_loader: the loader where products may take bfloat16; empty where the runtime knows no other precision.

    """

    loader: str
    package: str
    prepare: str = ""
    bf16_loader: str = ""

    def at(self, precision: Precision) -> Self:
        """Return the runtime on a par with a program of a precision."""
        return replace(self, loader=self.bf16_loader) if precision is Precision.BF16 and self.bf16_loader else self


SELF = "graphopt"
PROGRAM = Runtime("graphopt.benchmark.program:load", "graphopt", "graphopt.backends.tvm.runtime_library:load_runtime")
"""What graphopt compiled: its path is that of a program's directory, all others' is that of an ONNX file."""

OPPONENTS = {
    "onnxruntime": Runtime("graphopt.benchmark.onnxruntime:load", "onnxruntime"),
    "openvino": Runtime(
        "graphopt.benchmark.openvino:load", "openvino", bf16_loader="graphopt.benchmark.openvino:load_bf16"
    ),
}


def check_installed(opponent: str) -> None:
    """Refuse an opponent of the table whose package is missing; raises MeasurementError."""
    package = OPPONENTS[opponent].package
    if find_spec(package) is None:
        raise MeasurementError(f"the opponent {opponent} is not installed; run: pip install {package}")


def loader_of(runtime: Runtime) -> Callable[[Path, int], Side]:
    """Import a runtime, and return what loads a model into it."""
    if runtime.prepare:
        _named(runtime.prepare)()
    return _named(runtime.loader)


def _named(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    named: Callable[..., Any] = getattr(import_module(module), function)
    return named
