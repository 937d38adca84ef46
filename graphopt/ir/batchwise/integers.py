"""Rules for operators whose operands are integers, each with a scale and a zero point beside it.

They are those of the same operators on real numbers, asked of the integers; what stands beside them has to be the same
for all samples (ONNX operator spec, QLinearConv, QLinearMatMul, MatMulInteger; onnxruntime, docs/ContribOperators.md,
for those of com.microsoft).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from graphopt.ir.batchwise import movement, products
from graphopt.ir.batchwise.operands import data, others, pointwise, softmax
from graphopt.ir.batchwise.site import Site

Rule = Callable[[Site], str | None]
MICROSOFT = "com.microsoft"


def _on(rule: Rule, *places: int, single: Sequence[int] = ()) -> Rule:
    """Return the rule for an operator whose operands stand at some places.

    `single` are those beside them that might be one for each row, which would be those of a batch of one size.
    """

    def check(site: Site) -> str | None:
        if any(site.shape(index) not in (None, (), (1,)) for index in single):
            return "scales each row by itself"
        return _beside(site, places) or rule(site.of(places))

    return check


def _concat(site: Site) -> str | None:
    """Check QLinearConcat: scale and zero point of the result, then integers, scale and zero point of each part."""
    places = range(2, len(site.inputs), 3)
    return _beside(site, places) or movement.concat(site.of(places))


def _softmax(site: Site) -> str | None:
    """Check QLinearSoftmax, which says itself of which opset's Softmax it is."""
    return softmax(replace(site, opset=site.node.attributes.get_int("opset", 13)))


def _beside(site: Site, places: Sequence[int]) -> str | None:
    kinds = (None if index in places else kind for index, kind in enumerate(site.kinds))
    return others(replace(site, kinds=tuple(kinds)), 0)


RULES: Mapping[str, Rule] = {
    "MatMulInteger": _on(products.matmul, 0, 1, single=(2,)),
    "QLinearConv": _on(data, 0, 3, 8),
    "QLinearMatMul": _on(products.matmul, 0, 3, single=(1, 2, 6, 7)),
}
"""Of `ai.onnx`."""

MICROSOFT_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _on(pointwise, 0, 3)),
    **dict.fromkeys(
        ("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearSigmoid"), _on(data, 0)
    ),
    "QGemm": _on(products.gemm, 0, 3, 6),
    "QLinearConcat": _concat,
    "QLinearConv": _on(data, 0, 3, 8),
    "QLinearSoftmax": _on(_softmax, 0),
}
"""Of com.microsoft."""
