"""Which values of two models are their answers: what a loss compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.inspect.statistics import tensor_spec
from graphopt.ir.walk import is_op


@dataclass(frozen=True)
class Answer:
    """One output of both models.

    Attributes:
        output: its name.
        teacher, student: the value to compare in each: what a Softmax reads that makes the output, or the output.

    """

    output: str
    teacher: str
    student: str


def answers(teacher: ir.Model, student: ir.Model) -> tuple[Answer, ...]:
    """Pair the outputs of floating-point numbers.

    Raises:
        ModelError: the models have other inputs or outputs, or no output is of floating-point numbers.

    """
    _check_alike(teacher, student)
    pairs = zip(teacher.graph.outputs, student.graph.outputs, strict=True)
    found = tuple(
        Answer(str(theirs.name), _logits(theirs), _logits(ours))
        for theirs, ours in pairs
        if ours.dtype is not None and ours.dtype.is_floating_point()
    )
    if not found:
        raise ModelError(
            f"model {student.graph.name!r} has no output of floating-point numbers, so nothing in it can be learnt; "
            "give one whose outputs are scores"
        )
    return found


def check_features(teacher: ir.Model, student: ir.Model, names: Sequence[str]) -> None:
    """Refuse values to compare that one of the models lacks; raises ModelError."""
    for role, model in (("teacher", teacher), ("student", student)):
        made = {value.name for node in model.graph for value in node.outputs}
        if missing := [name for name in names if name not in made]:
            raise ModelError(
                f"the {role} has no value {missing[0]!r} to compare; name values of both models in features"
            )


def _logits(output: ir.Value) -> str:
    """Return what the output's scores are made from: a loss of probabilities has hardly a gradient at its ends."""
    producer = output.producer()
    while is_op(producer, "Identity") and producer is not None and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    if producer is not None and is_op(producer, "Softmax") and producer.inputs[0] is not None:
        return str(producer.inputs[0].name)
    return str(output.name)


def _check_alike(teacher: ir.Model, student: ir.Model) -> None:
    sides = (teacher.graph.inputs, student.graph.inputs), (teacher.graph.outputs, student.graph.outputs)
    for what, (theirs, ours) in zip(("inputs", "outputs"), sides, strict=True):
        if _names(theirs) != _names(ours):
            raise ModelError(
                f"the teacher has the {what} {_listed(theirs)}, and the student {_listed(ours)}; give models of "
                f"the same {what}, `graphopt rename` changes names"
            )


def _names(values: Sequence[ir.Value]) -> list[tuple[str | None, ir.DataType | None]]:
    return [(value.name, value.dtype) for value in values]


def _listed(values: Sequence[ir.Value]) -> str:
    return ", ".join(str(tensor_spec(value)) for value in values)
