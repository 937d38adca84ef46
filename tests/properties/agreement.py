"""Does an optimized model answer as the original does, to within the noise of the original?

An answer may differ by the tolerance of `graphopt.numerics`, relative to the output's scale. Beyond it, as in
`graphopt.pipeline.numeric_check`, by a multiple of the model's own noise; but that is measured where it arises:
each value that an operator rounds is moved by a unit in its last place, as one that rounds otherwise may move it.
Moving the inputs alone does not show what cancels: x - x is 0 then, and noise where x is computed twice.
What is not rounded is not moved: integers, and what is compared or rounded to whole numbers, must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from graphopt.backends.ort.reference import random_feeds
from graphopt.backends.ort.session import Session
from graphopt.errors import ModelError, RunError
from graphopt.numerics import DEFAULT_TOLERANCE, difference
from graphopt.pipeline.numeric_check import NOISE_FACTOR
from graphopt.tensors import Feeds
from tests.properties.random_graphs import RandomModel

MEASUREMENTS = 3
_ROUNDED = {
    element: np.dtype(name)
    for name, element in (
        ("float16", onnx.TensorProto.FLOAT16),
        ("float32", onnx.TensorProto.FLOAT),
        ("float64", onnx.TensorProto.DOUBLE),
    )
}


class Reference:
    """A model's answers, nothing optimized, to ordinary inputs, to halves and zeros, and at other sizes.

    Attributes:
        answers: pairs of inputs and outputs.
        resized: whether the model runs at other sizes than those it was built for.

    Raises:
        ModelError, RunError: onnxruntime does not run the model as it was built.

    """

    def __init__(self, model: RandomModel) -> None:
        self._model = model
        session = _session(model.proto)
        self.answers = [(feeds, session.run(feeds)) for feeds in _feeds(model.proto, model.shapes[0])]
        self.resized = False
        for shapes in model.shapes[1:]:
            try:
                feeds = next(_feeds(model.proto, shapes))
                self.answers.append((feeds, session.run(feeds)))
                self.resized = True
            except RunError:
                continue

    def disagreement(self, optimized: onnx.ModelProto) -> str | None:
        """Say how the answers of another model differ, or return None."""
        try:
            session = _session(optimized)
            actual = [session.run(feeds) for feeds, _ in self.answers]
        except (ModelError, RunError) as error:
            return f"{type(error).__name__}: {error}"
        for (feeds, expected), found in zip(self.answers, actual, strict=True):
            if list(expected) != list(found):
                return f"outputs {', '.join(expected)} became {', '.join(found)}"
            for name in expected:
                gap = difference(name, expected[name], found[name])
                if gap.error > DEFAULT_TOLERANCE and gap.error > NOISE_FACTOR * self._noise(name, feeds, expected):
                    return f"{gap}, its noise being {self._noise(name, feeds, expected):.2g}"
        return None

    def _noise(self, name: str, feeds: Feeds, expected: Feeds) -> float:
        """Return how far an output moves where every rounded value moves by a unit in the last place."""
        return max(difference(name, expected[name], session.run(feeds)[name]).error for session in self._noisy)

    @cached_property
    def _noisy(self) -> list[Session]:
        return [_session(noisy(self._model, seed)) for seed in range(MEASUREMENTS)]


def noisy(model: RandomModel, seed: int) -> onnx.ModelProto:
    """Return a model in which every float that is rounded is scaled by one and at most a unit in its last place.

    All up with seed 0, which adds up along a chain; else up or down, which shows where two values cancel.
    """
    rng = np.random.default_rng(seed)
    inferred = onnx.shape_inference.infer_shapes(model.proto).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    made = onnx.ModelProto()
    made.CopyFrom(model.proto)
    del made.graph.node[:]
    for node in model.proto.graph.node:
        moved = made.graph.node.add()
        moved.CopyFrom(node)
        for index, name in enumerate(node.output):
            dtype = _ROUNDED.get(types.get(name, 0))
            if dtype is not None and name not in model.exact and node.op_type != "Constant":
                moved.output[index], factor = f"{name}_exact", f"{name}_factor"
                number = np.asarray(1 + (rng.choice([-1, 1]) if seed else 1) * np.finfo(dtype).eps, dtype)
                made.graph.initializer.append(numpy_helper.from_array(number, factor))
                made.graph.node.append(helper.make_node("Mul", [moved.output[index], factor], [name]))
    return made


def _session(model: onnx.ModelProto) -> Session:
    return Session(model.SerializeToString(), threads=1, optimize=False)


def _feeds(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> Iterator[Feeds]:
    """Yield ordinary inputs, then inputs of halves, many of them zero and equal."""
    loaded = ir.from_proto(model)
    yield random_feeds(loaded, seed=0, shapes=shapes)
    yield {name: _halves(array) for name, array in random_feeds(loaded, seed=1, shapes=shapes).items()}


def _halves(array: np.ndarray) -> np.ndarray:
    return (np.round(array * 2) / 2).astype(array.dtype) if array.dtype.kind == "f" else array
