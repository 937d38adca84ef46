"""The side of OpenVINO's CPU plugin, set to answer one request at a time as soon as it can."""

from __future__ import annotations

from pathlib import Path

import openvino

from graphopt.benchmark.runtimes import Side
from graphopt.errors import ModelError, RunError
from graphopt.tensors import Array, Feeds


def load(path: Path, threads: int) -> Side:
    """Load an ONNX file.

    The precision is float32, as on the other sides: by itself the plugin takes bfloat16 where the processor
    has it, and answers otherwise. Threads are not pinned, since others are not.

    Raises:
        ModelError: OpenVINO does not accept the model.

    """
    return _load(path, threads, "f32")


def load_bf16(path: Path, threads: int) -> Side:
    """Load an ONNX file as `load` does, beside a program that multiplies in bfloat16: the plugin may do so too."""
    return _load(path, threads, "bf16")


def _load(path: Path, threads: int, precision: str) -> Side:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        compiled = openvino.Core().compile_model(path, "CPU", options)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO does not accept the model: {_reason(error)}") from error
    used = int(compiled.get_property("INFERENCE_NUM_THREADS")) * int(compiled.get_property("NUM_STREAMS"))
    return Side(_Request(compiled), used, openvino.__version__.partition("-")[0])


class _Request:
    """Runs a compiled model; inputs are read in place, outputs are views of memory that the next run reuses."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        # A value that is also the input of an Identity has two names: the model's own is that of the Result.
        self._outputs = [output.node.friendly_name.removesuffix("/sink_port_0") for output in compiled.outputs]

    def __call__(self, feeds: Feeds) -> Feeds:
        try:
            results = self._request.infer(dict(feeds), share_inputs=True, share_outputs=True)
        except (RuntimeError, TypeError) as error:
            raise RunError(f"OpenVINO cannot run the model on these inputs: {_reason(error)}") from error
        arrays: list[Array] = [results[index] for index in range(len(self._outputs))]
        return dict(zip(self._outputs, arrays, strict=True))


def _reason(error: Exception) -> str:
    """Return the last line of an error that says something: the first ones name source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
