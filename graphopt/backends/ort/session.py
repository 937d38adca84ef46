"""A model loaded into onnxruntime, with our names, errors and thread counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime

from graphopt.backends.ort.values import FOREIGN, from_onnxruntime, to_onnxruntime
from graphopt.errors import ModelError, RunError
from graphopt.hardware import available_cores
from graphopt.tensors import Array, Feeds, TensorSpec

_DTYPES = {"float": "float32", "double": "float64", "string": "object"} | {
    name: element.dtype.name for name, element in FOREIGN.items()
}
_FATAL = 4
_SOURCE_LOCATION = re.compile(r"\S*/onnxruntime_src/\S+:\d+ .*?\) (?:const )?(?:\[with [^\]]*\] )?")


class Session:
    """A runnable model.

    Args:
        model: a file, or the serialized bytes of a model.
        beside: by name the files of external data that serialized bytes refer to; onnxruntime copies what it needs.
        threads: how many threads one operator may use; 0 means as many as this process may run on.
        optimize: False runs the graph as it is written, which makes it a reference for correctness.
        keep_memory: False gives what a run needed back to the system, rather than keep it for the next one.

    Raises:
        ModelError: onnxruntime does not accept the model; the message carries its reason.

    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        beside: Mapping[str, Array] = MappingProxyType({}),
        threads: int = 0,
        optimize: bool = True,
        keep_memory: bool = True,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        options.enable_cpu_mem_arena = keep_memory
        # Workers that spin between runs would take the cores away from whatever comes next: TVM's part, for one.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        source = str(model) if isinstance(model, Path) else model
        try:
            options.add_external_initializers_from_files_in_memory(
                list(beside), list(beside.values()), [content.nbytes for content in beside.values()]
            )
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class but this one
            raise ModelError(f"onnxruntime does not accept the model: {_reason(error)}") from error
        self.inputs = tuple(_spec(argument) for argument in self._session.get_inputs())
        self.outputs = tuple(_spec(argument) for argument in self._session.get_outputs())
        foreign = {element.dtype.name for element in FOREIGN.values()}
        self._has_foreign = any(spec.dtype in foreign for spec in (*self.inputs, *self.outputs))

    @property
    def threads(self) -> int:
        """How many threads one operator may use, as onnxruntime says."""
        return int(self._session.get_session_options().intra_op_num_threads)

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run on arrays by input name; return arrays by output name.

        A sequence is a list of arrays, an empty optional None, on both sides.

        Raises:
            RunError: the feeds do not fit, or an operator fails on them.

        """
        names = [spec.name for spec in self.outputs]
        try:
            results = self._run_values(names, feeds) if self._has_foreign else self._session.run(names, dict(feeds))
        except Exception as error:  # its exceptions share no base class but this one
            raise RunError(f"onnxruntime cannot run the model on these inputs: {_reason(error)}") from error
        return {name: _result(value) for name, value in zip(names, results, strict=True)}

    def _run_values(self, names: list[str], feeds: Feeds) -> list[Array]:
        values = {name: to_onnxruntime(array) for name, array in feeds.items()}
        return [from_onnxruntime(value) for value in self._session.run_with_ort_values(names, values)]


def _spec(argument: onnxruntime.NodeArg) -> TensorSpec:
    element = argument.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(argument.name, _DTYPES.get(element, element), tuple(argument.shape))


def _result(value: Any) -> Any:
    """Return a tensor as an array: onnxruntime hands out numbers of rank 0 as numpy's scalars."""
    return value if value is None or isinstance(value, list | dict) else np.asarray(value)


def _reason(error: Exception) -> str:
    """Return the last, most concrete sentence of an onnxruntime error, without its source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _SOURCE_LOCATION.sub("", lines[-1].rpartition(" : ")[2]) if lines else type(error).__name__
