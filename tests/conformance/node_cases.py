"""The operator cases that come with ONNX, and what onnxruntime answers to them as they are written."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from graphopt.backends.ort.session import Session
from graphopt.errors import ModelError, RunError
from graphopt.numerics import DEFAULT_TOLERANCE, difference

# The newest that onnxruntime 1.31 reads. Cases are written for the newest there is, mostly without need.
_NEWEST_IR = 13
_NEWEST_OPSET = 27
_LAST_DIGIT = {np.dtype(np.float16): 2.0**-10, np.dtype(ml_dtypes.bfloat16): 2.0**-7}


@dataclass(frozen=True)
class NodeCase:
    """A model of one operator, or of the function it stands for, with inputs in the model's order.

    Inputs are arrays, lists of arrays for sequences, or None for an empty optional.
    """

    name: str
    model: onnx.ModelProto
    inputs: Sequence[Any]


@functools.cache
def node_cases() -> tuple[NodeCase, ...]:
    """Generate every case with its data; takes seconds, once a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cases overflow and divide by zero on purpose
        cases = collect_testcases(None)
    return tuple(_case(case) for case in sorted(cases, key=lambda case: str(case.name)))


def reference(case: NodeCase) -> Mapping[str, Any] | None:
    """Return onnxruntime's answer, or None where it cannot run the model or answers differently each time."""
    try:
        session = reference_of(case.model)
        first, second = run(session, case.inputs), run(session, case.inputs)
    except (ModelError, RunError):
        return None
    return None if disagreement(first, second, tolerance=0) else first


def reference_of(model: onnx.ModelProto) -> Session:
    """Load a model into onnxruntime with every optimization off."""
    return Session(model.SerializeToString(), threads=1, optimize=False)


def run(session: Session, inputs: Sequence[Any]) -> Mapping[str, Any]:
    """Run on inputs in the model's order."""
    return session.run(dict(zip((spec.name for spec in session.inputs), inputs, strict=True)))


def disagreement(
    expected: Mapping[str, Any], actual: Mapping[str, Any], *, tolerance: float = DEFAULT_TOLERANCE
) -> str | None:
    """Say how two answers differ beyond the tolerance, or return None; sequences are compared by element.

    The last digit of a half is free: onnxruntime computes float16 in float32 where operators meet,
    so that it rounds elsewhere when one of them is folded.
    """
    left, right = _flatten(expected), _flatten(actual)
    if list(left) != list(right):
        return f"{', '.join(left)} became {', '.join(right)}"
    for name, array in left.items():
        found = difference(name, array, right[name])
        if found.error > (tolerance and _LAST_DIGIT.get(array.dtype, tolerance)):
            return str(found)
    return None


def fix_inputs(case: NodeCase, *, kept: int) -> NodeCase | None:
    """Return the case with its tensor inputs after the first `kept` made initializers; None if there are none."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs: list[Any] = []
    del model.graph.input[:]
    for index, (declared, data) in enumerate(zip(case.model.graph.input, case.inputs, strict=True)):
        if index >= kept and declared.type.HasField("tensor_type"):
            model.graph.initializer.append(numpy_helper.from_array(data, declared.name))
        else:
            model.graph.input.append(declared)
            inputs.append(data)
    return NodeCase(case.name, model, inputs) if model.graph.initializer else None


def _case(case: Any) -> NodeCase:
    model = case.model
    model.ir_version = min(model.ir_version, _NEWEST_IR)
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = min(opset.version, _NEWEST_OPSET)
    (inputs, _), *_ = case.data_sets
    return NodeCase(case.name, model, [_data(item) for item in inputs])


def _data(item: Any) -> Any:
    if isinstance(item, onnx.TensorProto):
        return numpy_helper.to_array(item)
    if isinstance(item, list):
        return [_data(element) for element in item]
    return item if item is None else np.asarray(item)


def _flatten(answer: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in answer.items():
        if isinstance(value, list):
            flat[f"{name} of length {len(value)}"] = np.zeros(())
            flat |= _flatten({f"{name}[{index}]": element for index, element in enumerate(value)})
        else:
            flat[name] = np.zeros(0) if value is None else np.asarray(value)
    return flat
