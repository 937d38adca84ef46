"""onnxruntime on whatever ONNX can pass: bfloat16, float8 and packed types, sequences, optionals.

Independent of graphopt, so that what judges it does not share its mistakes.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_QUIET = 4


class RawSession:
    """A model in onnxruntime with every optimization off, called by position."""

    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = _QUIET
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    @property
    def interface(self) -> tuple[list[str], list[str]]:
        """The names of inputs and outputs, in order."""
        return [item.name for item in self._session.get_inputs()], [item.name for item in self._session.get_outputs()]

    def run(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Run on inputs in order; return an array, a list of arrays or None by output name."""
        names, outputs = self.interface
        feeds = {name: _to_onnxruntime(data) for name, data in zip(names, inputs, strict=True)}
        if all(isinstance(feed, onnxruntime.OrtValue) for feed in feeds.values()):
            results = [_from_onnxruntime(value) for value in self._session.run_with_ort_values(outputs, feeds)]
        else:
            results = self._session.run(outputs, feeds)
        return dict(zip(outputs, results, strict=True))


def _to_onnxruntime(data: Any) -> Any:
    if not isinstance(data, np.ndarray):
        return data
    if data.dtype.kind in "OSU":
        return onnxruntime.OrtValue.ortvalue_from_numpy(data.astype(object))
    kind = helper.np_dtype_to_tensor_dtype(data.dtype)
    if data.dtype.kind != "V" and data.dtype.isbuiltin == 1:
        return onnxruntime.OrtValue.ortvalue_from_numpy(data)
    # Elements of less than a byte lie packed at the front of a buffer that has a byte for each.
    packed = numpy_helper.from_array(data).raw_data.ljust(data.nbytes, b"\0")
    carrier = np.frombuffer(packed, f"u{data.dtype.itemsize}").reshape(data.shape)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(carrier, kind)


def _from_onnxruntime(value: onnxruntime.OrtValue) -> Any:
    if not value.has_value():
        return None
    if not value.is_tensor() or _is_native(value.element_type()):
        return value.numpy()
    tensor = TensorProto(dims=value.shape(), data_type=value.element_type())
    size = value.tensor_size_in_bytes() if math.prod(value.shape()) else 0
    tensor.raw_data = ctypes.string_at(value.data_ptr(), size)
    return numpy_helper.to_array(tensor)


def _is_native(element_type: int) -> bool:
    if element_type == TensorProto.STRING:
        return True
    return helper.tensor_dtype_to_np_dtype(element_type).isbuiltin == 1
