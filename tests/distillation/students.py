"""A teacher, what becomes of it when it is hurt, and samples, all of a size that trains in a second."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from graphopt.calibration.source import Samples, open_samples
from graphopt.distillation.recipe import Recipe
from tests.networks import network

TEACHER = """
g (float[N,2,6,6] x) => (float[N,3] y)
<float[4,2,3,3] w, float[4] b, float[3,4] v, float[3] c>
{
    a = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (a)
    p = GlobalAveragePool (r)
    f = Flatten (p)
    y = Gemm <transB = 1> (f, v, c)
}
"""

QUICK = Recipe(epochs=4, batch=8, rate=0.05, held_out=0.25)


def teacher() -> ir.Model:
    return network(TEACHER)


def student(noise: float = 1.0) -> ir.Model:
    """Return the teacher with noise on its weights."""
    model, rng = teacher(), np.random.default_rng(1)
    for name, value in model.graph.initializers.items():
        array = weights(model)[name]
        value.const_value = ir.tensor(array + noise * rng.standard_normal(array.shape).astype(np.float32), name=name)
    return model


def weights(model: ir.Model) -> Mapping[str, np.ndarray]:
    return {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }


def images(count: int = 40) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, 2, 6, 6), dtype=np.float32)


def samples(model: ir.Model, count: int = 40) -> Samples:
    return open_samples({"x": images(count)}, model)
