"""`graphopt doctor --fix`: a quantized file in the form that a target runs in integers."""

from __future__ import annotations

from dataclasses import replace

from graphopt.compiler.optimize import optimize
from graphopt.ir.load import Source
from graphopt.quantization.doctor import Treatment, diagnose, treat
from graphopt.quantization.doctor.opened import open_quantized

FOLDED = "fold-pad,eliminate-identity"
"""What is done before: convolutions pad by themselves, and what was rounded behind a Pad is not rounded again."""


def mend(source: Source, target: str = "x64") -> Treatment:
    """Write a quantized model anew so that a target computes in integers what it can with the same numbers.

    See `graphopt.quantization.doctor.treat`; before, the pipeline `FOLDED` goes over it.

    Raises:
        ModelError: it cannot be read, holds no quantized node, or its opset lacks what the form needs.
        TargetError: there is no such target.

    """
    before = diagnose(source, target)
    folded, _ = optimize(open_quantized(source), FOLDED)
    return replace(treat(folded, target), before=before)
