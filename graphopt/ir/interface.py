"""What a model takes and returns, as far as programs and checks can handle it."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.errors import ModelError


def check_interface(model: ir.Model) -> None:
    """Check that a model takes and returns tensors alone; inside of it there may be sequences and optionals.

    Raises:
        ModelError: naming the input or output that is something else.

    """
    for role, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        for value in values:
            if value.type is not None and not isinstance(value.type, ir.TensorType):
                kind = type(value.type).__name__.removesuffix("Type").lower()
                raise ModelError(
                    f"{role} {value.name!r} is of the kind {kind}, and only tensors can go in and out; "
                    "export the model with tensors there"
                )
