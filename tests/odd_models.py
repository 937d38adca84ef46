"""Valid models of odd kinds with what to run them on, and those that mutations begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.parser

from tests.arrangements import F32, GOOD, X, nested, proto


@dataclass(frozen=True)
class Working:
    """A valid model of an odd kind, and what to run it on."""

    id: str
    model: onnx.ModelProto
    feeds: Mapping[str, Any]

    @property
    def data(self) -> bytes:
        return self.model.SerializeToString()


WORKING = [
    Working("zero-size-batch", proto(), {"x": np.ones((0, 3), F32)}),
    Working(
        "zero-size-declared",
        proto(
            "g (float[0,3] x) => (float[0,3] y, float[1,3] s) { y = Relu (x)  s = ReduceSum (y, zero) }".replace(
                "{ y", "<int64[1] zero = {0}> { y"
            )
        ),
        {"x": np.ones((0, 3), F32)},
    ),
    Working(
        "zero-size-weight",
        proto("g (float[2,0] x) => (float[2,3] y) <float[0,3] w = {}> { y = MatMul (x, w) }"),
        {"x": np.ones((2, 0), F32)},
    ),
    Working("nan-weights", proto(GOOD.replace("1, 2", "nan, inf")), {"x": X}),
    Working("nan-inputs", proto(), {"x": np.full((1, 3), np.nan, F32)}),
    Working("scalars", proto("g (float x) => (float y) { h = Neg (x)  y = Mul (h, x) }"), {"x": np.array(3, F32)}),
    Working("no-nodes", proto("g (float[2] x) => (float[2] x) {}"), {"x": F32([1, 2])}),
    Working(
        "no-inputs", proto("g () => (float[2] y) { c = Constant <value_floats = [1.0, 2.0]> ()  y = Neg (c) }"), {}
    ),
    Working(
        "one-output-twice",
        proto("g (float[2] x) => (float[2] y, float[2] z) { y = Neg (x)  z = Identity (y) }"),
        {"x": F32([1, 2])},
    ),
    Working(
        "strings", proto("g (string[2] x) => (string[2] y) { y = Identity (x) }"), {"x": np.array(["a", "b"], object)}
    ),
    Working(
        "unused-input",
        proto("g (float[2] x, float[2] z) => (float[2] y) { y = Neg (x) }"),
        {"x": F32([1, 2]), "z": F32([3, 4])},
    ),
    Working("weight-that-is-an-input-too", proto(GOOD.replace("x)", "x, float[3,2] w)", 1)), {"x": X}),
    Working("nested-as-deep-as-protobuf-allows", nested(20), {"x": F32([1, -2]), "c": np.array(True)}),
]


SEEDS = [
    proto(),
    proto(
        """
        g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        <float[4,3,1,1] k = {1,2,3,4,5,6,7,8,9,10,11,12}, float[4] s = {1,2,3,4}, float[4] v = {4,3,2,1}>
        { c = Conv (x, k)  b = BatchNormalization (c, s, s, v, v)  y = Relu (b) }
        """
    ),
    proto(
        """
        g (float[N,3,4] x) => (float[N,12] y) <int64[1] k = {12}, int64 z = {0}>
        {
            s = Shape (x)  n = Gather (s, z)  axes = Constant <value_ints = [0]> ()  u = Unsqueeze (n, axes)
            c = Concat <axis = 0> (u, k)  y = Reshape (x, c)
        }
        """
    ),
    proto(
        """
        g (float[2] x, int64 n, bool c) => (float[2] y, float[2] z)
        {
            y = Loop (n, c, x) <body = b (int64 i, bool go, float[2] a) => (bool on, float[2] o)
                { on = Identity (go)  o = Add (a, x) }>
            z = If (c) <then_branch = t () => (float[2] p) { p = Relu (x) },
                        else_branch = e () => (float[2] q) { r = Neg (x)  q = Abs (r) }>
        }
        """
    ),
    proto(
        """
        g (float[2] x) => (float[2] y) { y = own.f <alpha = 0.5> (x) }
        <domain: "own", opset_import: ["" : 17]> f <alpha> (a) => (b)
        { t = LeakyRelu <alpha: float = @alpha> (a)  b = Abs (t) }
        """
    ),
]
