"""What the takers of a quantized model compute in integers, as facts: selection and emitters ask for these.

Of onnxruntime they are what its QDQ transformers replaced when tried (version 1.32, x86-64); of TensorRT what its
guide to explicit quantization says of version 10.
"""

from __future__ import annotations

from dataclasses import dataclass

MOVES = frozenset({
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Resize", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators that take elements from where they were: what goes in and what comes out share their parameters."""


@dataclass(frozen=True)
class Form:
    """One way of writing a plan, and who takes it.

    Attributes:
        products: operators that sum products with a constant.
        pairs: operators of two activations, each with parameters of its own.
        maps: operators of one activation whose result has parameters of its own.
        moves: operators whose inputs and outputs share parameters.
        float_results: those of `products` whose result may stay float32 at no cost.
        residual_only: whether a sum quantizes the branch that did not come last alone, the other being still in the
            accumulator of the convolution that made it.
        epilogues: whether functions of single elements are computed on the sums of a product before these become
            integers (`graphopt.quantization.epilogue`).
        multiplies: whether to divide by the scale of an activation is faster where a multiplication does the same.

    """

    products: frozenset[str]
    pairs: frozenset[str]
    maps: frozenset[str]
    moves: frozenset[str]
    float_results: frozenset[str] = frozenset()
    residual_only: bool = False
    epilogues: bool = False
    multiplies: bool = False

    @property
    def operators(self) -> frozenset[str]:
        """Return all operators that may compute in integers by themselves."""
        return self.products | self.pairs | self.maps | self.moves


_PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
_PAIRS = frozenset({"Add", "Mul"})
_POOLS = frozenset({"AveragePool", "GlobalAveragePool"})

FORMS = {
    "x64": Form(
        products=_PRODUCTS,
        pairs=_PAIRS,
        maps=_POOLS | {"LeakyRelu", "Sigmoid"},
        moves=MOVES,
        float_results=frozenset({"Gemm", "MatMul"}),
    ),
    "graphopt": Form(
        products=_PRODUCTS,
        pairs=_PAIRS,
        maps=_POOLS | {"HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid"},
        moves=MOVES | {"Pad"},
        float_results=frozenset({"Gemm", "MatMul"}),
        residual_only=True,
        epilogues=True,
        multiplies=True,
    ),
    "tensorrt": Form(
        products=_PRODUCTS | {"ConvTranspose"},
        pairs=frozenset({"Add"}),
        maps=_POOLS,
        moves=MOVES,
        float_results=_PRODUCTS | {"ConvTranspose"},
        residual_only=True,
    ),
}
"""By name."""
