"""A model with inputs, what it answers, and the three forms in which optimizers meet it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from graphopt.backends.ort.session import Session
from graphopt.errors import ModelError, RunError
from graphopt.numerics import DEFAULT_TOLERANCE, difference

_LAST_DIGIT = {np.dtype(np.float16): 2.0**-10, np.dtype(ml_dtypes.bfloat16): 2.0**-7}
_INITIALIZERS_ARE_NO_INPUTS = 4  # since this IR version

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A model with inputs in its order, those that are initializers left out.

    Inputs are arrays, lists of arrays for sequences, or None for an empty optional. `answer` comes with the
    case where onnxruntime may be unable to give one.
    """

    name: str
    model: onnx.ModelProto
    inputs: Sequence[Any]
    answer: Answer | None = None


def expected(case: Case) -> Answer | None:
    """Return what a case answers, or None where nothing tells."""
    return reference(case) if case.answer is None else case.answer


def reference(case: Case) -> Answer | None:
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


def run(session: Session, inputs: Sequence[Any]) -> Answer:
    """Run on inputs in the model's order."""
    return session.run(dict(zip((spec.name for spec in session.inputs), inputs, strict=True)))


def disagreement(wanted: Answer, actual: Answer, *, tolerance: float = DEFAULT_TOLERANCE) -> str | None:
    """Say how two answers differ beyond the tolerance, or return None; sequences are compared by element.

    The last digit of a half is free: onnxruntime computes float16 in float32 where operators meet,
    so that it rounds elsewhere when one of them is folded.
    """
    left, right = _flatten(wanted), _flatten(actual)
    if list(left) != list(right):
        return f"{', '.join(left)} became {', '.join(right)}"
    for name, array in left.items():
        found = difference(name, array, right[name])
        if found.error > (tolerance and _LAST_DIGIT.get(array.dtype, tolerance)):
            return str(found)
    return None


def fix_inputs(case: Case, *, kept: int) -> Case | None:
    """Return the case with its tensor inputs after the first `kept` made initializers; None if there are none."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = max(model.ir_version, _INITIALIZERS_ARE_NO_INPUTS)
    inputs: list[Any] = []
    defaults = {tensor.name for tensor in model.graph.initializer}
    declared = [item for item in case.model.graph.input if item.name not in defaults]
    fixed = []
    del model.graph.input[:]
    for index, (item, data) in enumerate(zip(declared, case.inputs, strict=True)):
        if index >= kept and item.type.HasField("tensor_type"):
            fixed.append(numpy_helper.from_array(data, item.name))
        else:
            model.graph.input.append(item)
            inputs.append(data)
    model.graph.initializer.extend(fixed)
    return Case(case.name, model, inputs, case.answer) if fixed else None


FORMS: Mapping[str, Callable[[Case], Case | None]] = {
    "as it is": lambda case: case,
    "one input": lambda case: fix_inputs(case, kept=1),
    "all constant": lambda case: fix_inputs(case, kept=0),
}
"""As it is written; with all inputs but the first made constants; with all of them."""


def _flatten(answer: Answer) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in answer.items():
        if isinstance(value, list):
            flat[f"{name} of length {len(value)}"] = np.zeros(())
            flat |= _flatten({f"{name}[{index}]": element for index, element in enumerate(value)})
        else:
            flat[name] = np.zeros(0) if value is None else np.asarray(value)
    return flat
