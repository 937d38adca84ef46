"""The operator cases that come with ONNX: models of one operator, or of the function that it stands for."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from tests.conformance.cases import Case

# The newest that onnxruntime 1.31 reads. Cases are written for the newest there is, mostly without need.
_NEWEST_IR = 13
_NEWEST_OPSET = 27


@functools.cache
def node_cases() -> tuple[Case, ...]:
    """Generate every case with its data; takes seconds, once a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cases overflow and divide by zero on purpose
        cases = collect_testcases(None)
    return tuple(_case(case) for case in sorted(cases, key=lambda case: str(case.name)))


def _case(case: Any) -> Case:
    model = case.model
    model.ir_version = min(model.ir_version, _NEWEST_IR)
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = min(opset.version, _NEWEST_OPSET)
    (inputs, _), *_ = case.data_sets
    return Case(case.name, model, [_data(item) for item in inputs])


def _data(item: Any) -> Any:
    if isinstance(item, onnx.TensorProto):
        return numpy_helper.to_array(item)
    if isinstance(item, list):
        return [_data(element) for element in item]
    return item if item is None else np.asarray(item)
