"""Cases of rounding: it has no gradient but the one that is put in its place, so finite differences say nothing."""

from __future__ import annotations

from tests.distillation.operator_cases.case import Case

QUANTIZED: dict[str, list[Case]] = {
    "QuantizeLinear": [
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float s = {0.1}, uint8 z = {100}> "
            "{ q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }"
        ),
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float[3] s = {0.1,0.02,0.3}, int8[3] z = {0,5,-3}> "
            "{ q = QuantizeLinear <axis = 1> (x, s, z) y = DequantizeLinear <axis = 1> (q, s, z) }"
        ),
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float s = {0.01}> "
            "{ q = QuantizeLinear (x, s) y = DequantizeLinear (q, s) }"
        ),
        Case(
            "g (float[2,4] x) => (float[2,4] y) <float[2,2] s = {0.1,0.02,0.3,0.04}, int8[2,2] z = {0,1,2,3}> "
            "{ q = QuantizeLinear <axis = 1, block_size = 2> (x, s, z) "
            "y = DequantizeLinear <axis = 1, block_size = 2> (q, s, z) }"
        ),
    ],
    "DequantizeLinear": [
        Case(
            "g (float[2,3] x) => (float[2,4] y) "
            "<int8[3,4] q = {1,2,3,4,5,-6,-7,-8,9,10,127,-128}, float[4] s = {0.1,0.2,0.3,0.4}> "
            "{ w = DequantizeLinear <axis = 1> (q, s) y = MatMul (x, w) }"
        ),
    ],
}
