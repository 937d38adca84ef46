"""The same integers of eight bits with and without a sign: q as int8 is q + 128 as uint8, and its zero point too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.quantization.doctor.quantizers import HALF, shifted
from graphopt.quantization.doctor.read import Reading


def make_unsigned(reading: Reading) -> int:
    """Write every activation of int8 as uint8, which is what onnxruntime's kernels for x64 take; return how many."""
    return _rewrite(reading, np.dtype(np.int8), np.dtype(np.uint8), HALF)


def make_signed(reading: Reading) -> int:
    """Write activations of uint8 as int8, and leave real what then has no zero point of 0; return how many are int8."""
    count = _rewrite(reading, np.dtype(np.uint8), np.dtype(np.int8), -HALF)
    for numbers in (reading.values, reading.weights):
        for value in [value for value, affine in numbers.items() if affine.zero_point.any()]:
            del numbers[value]
    return count


def _rewrite(reading: Reading, old: np.dtype[np.generic], new: np.dtype[np.generic], shift: int) -> int:
    changed = [value for value, affine in reading.values.items() if affine.dtype == old]
    for value in changed:
        affine = reading.values[value]
        reading.values[value] = shifted(affine, new, shift)
    operands = {constant for constant in reading.weights if _is_operand(constant)}
    for constant in operands:
        if reading.weights[constant].dtype == old:
            reading.weights[constant] = shifted(reading.weights[constant], new, shift)
            reading.integers[constant] = (reading.integers[constant].astype(np.int16) + shift).astype(new)
    return len(changed)


def _is_operand(constant: ir.Value) -> bool:
    """Whether a constant is added to or multiplied with activations, and so has to be of their type."""
    return any(reader.op_type in {"Add", "Mul", "Concat"} for reader in constant.consumers())
