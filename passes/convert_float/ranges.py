"""Which activations leave the range of float16, found by running the model."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.errors import CalibrationError, ModelError, RunError
from graphopt.npz import read_arrays
from graphopt.pipeline.context import Context

LARGEST_FLOAT16 = 65504.0


def too_large(model: ir.Model, data: str, seed: int, ctx: Context) -> dict[ir.Value, float]:
    """Return the values of the main graph that get larger than float16 can say, with their largest magnitude.

    A model that does not run on random arrays is not measured; that is remarked.

    Raises:
        CalibrationError: the given data cannot be read, or the model does not run on them.

    """
    # onnxruntime is heavy, and other passes run without
    from graphopt.backends.ort.reference import random_feeds, reference_session  # noqa: PLC0415

    exposed = model.clone()
    pairs = list(zip(_floats(model), _floats(exposed), strict=True))
    outputs = set(exposed.graph.outputs)
    exposed.graph.outputs.extend(copy for _, copy in pairs if copy not in outputs)
    try:
        feeds = read_arrays(data) if data else random_feeds(model, seed=seed)
        answers = reference_session(exposed).run(feeds)
    except (ModelError, RunError, MemoryError) as error:
        if data:
            raise CalibrationError(f"the model does not run on {data!r}: {error}; give inputs that fit") from error
        first = next(iter(model.graph))
        ctx.missed(first, f"activations are not measured, since the model does not run on random inputs: {error}")
        return {}
    found = {value: _largest(answers[str(copy.name)]) for value, copy in pairs}
    return {value: largest for value, largest in found.items() if largest > LARGEST_FLOAT16}


def _floats(model: ir.Model) -> list[ir.Value]:
    """Return the float32 values that nodes of the main graph compute."""
    made = (value for node in model.graph for value in node.outputs if value.name)
    return [value for value in made if value.type == ir.TensorType(ir.DataType.FLOAT)]


def _largest(array: np.ndarray) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max(initial=0.0))
