"""graphopt: a compiler-style graph optimizer over ONNX.

    module = graphopt.compile("model.onnx", target="cpu")
    outputs = module(x)

The public names are found on first use, so that importing the package stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphopt.compiler.bisect import bisect
    from graphopt.compiler.compile import compile  # noqa: A004  # the name that the tool is known by
    from graphopt.compiler.diff import diff
    from graphopt.compiler.distill import distill
    from graphopt.compiler.factorize import factorize
    from graphopt.compiler.optimize import optimize
    from graphopt.compiler.prune import prune
    from graphopt.compiler.quantize import quantize
    from graphopt.compiler.reshape import rebatch, reshape
    from graphopt.compiler.share import share
    from graphopt.compiler.shorten import shorten
    from graphopt.compiler.sparsify import sparsify
    from graphopt.compiler.tune import tune
    from graphopt.errors import (
        CalibrationError,
        GraphoptError,
        MeasurementError,
        ModelError,
        OutputError,
        PassFailureError,
        PipelineError,
        RunError,
        ServingError,
        TargetError,
        TrainingError,
    )
    from graphopt.ir.extract import extract
    from graphopt.ir.rename import rename
    from graphopt.pipeline.numeric_check import NumericCheck
    from graphopt.pipeline.rewrite_check import RewriteCheck
    from graphopt.report.history import History
    from graphopt.report.view import view
    from graphopt.runtime.inference_session import InferenceSession
    from graphopt.runtime.module import CompiledModule, load

__all__ = [
    "CalibrationError",
    "CompiledModule",
    "GraphoptError",
    "History",
    "InferenceSession",
    "MeasurementError",
    "ModelError",
    "NumericCheck",
    "OutputError",
    "PassFailureError",
    "PipelineError",
    "RewriteCheck",
    "RunError",
    "ServingError",
    "TargetError",
    "TrainingError",
    "bisect",
    "compile",
    "diff",
    "distill",
    "extract",
    "factorize",
    "load",
    "optimize",
    "prune",
    "quantize",
    "rebatch",
    "rename",
    "reshape",
    "share",
    "shorten",
    "sparsify",
    "tune",
    "view",
]
__version__ = "0.1.0"

_HOMES = {
    "CompiledModule": "graphopt.runtime.module",
    "History": "graphopt.report.history",
    "InferenceSession": "graphopt.runtime.inference_session",
    "NumericCheck": "graphopt.pipeline.numeric_check",
    "RewriteCheck": "graphopt.pipeline.rewrite_check",
    "bisect": "graphopt.compiler.bisect",
    "compile": "graphopt.compiler.compile",
    "diff": "graphopt.compiler.diff",
    "distill": "graphopt.compiler.distill",
    "extract": "graphopt.ir.extract",
    "factorize": "graphopt.compiler.factorize",
    "load": "graphopt.runtime.module",
    "optimize": "graphopt.compiler.optimize",
    "prune": "graphopt.compiler.prune",
    "quantize": "graphopt.compiler.quantize",
    "rebatch": "graphopt.compiler.reshape",
    "rename": "graphopt.ir.rename",
    "reshape": "graphopt.compiler.reshape",
    "share": "graphopt.compiler.share",
    "shorten": "graphopt.compiler.shorten",
    "sparsify": "graphopt.compiler.sparsify",
    "tune": "graphopt.compiler.tune",
    "view": "graphopt.report.view",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'graphopt' has no attribute {name!r}")
    home = _HOMES.get(name, "graphopt.errors")
    try:
        return getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name is None or not home.startswith(error.name):
            raise
        raise ImportError(
            f"graphopt-runtime only runs programs, and has no {name}; run: pip install graphopt"
        ) from error


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
