"""Small networks in ONNX's text form, for tests of whatever takes a model."""

from __future__ import annotations

import onnx_ir as ir

from graphopt.ir.text.parser import parse_model

CONV_BN_RELU = """
g (float[N,3,8,8] x) => (float[N,4,8,8] y)
<float[4,3,3,3] w, float[4] scale, float[4] shift, float[4] mean, float[4] var>
{
    c = Conv <pads = [1,1,1,1]> (x, w)
    b = BatchNormalization (c, scale, shift, mean, var)
    y = Relu (b)
}
"""


def network(text: str = CONV_BN_RELU, *, seed: int = 0) -> ir.Model:
    """Parse a network; constants without data are seeded."""
    return parse_model(text, seed=seed)
