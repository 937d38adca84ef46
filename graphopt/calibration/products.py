"""Products of columns with themselves, by onnxruntime.

Not by numpy, whose BLAS cannot be told how many threads to take: where other work runs beside, these wait for each
other for tens of milliseconds a product. Many small matrices, as depthwise convolutions have, are faster here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from graphopt.calibration.window import Float32
from graphopt.ir.text.parser import parse_model

Multiply = Callable[[Float32], Float32]
"""Takes columns [G, K, n], returns their products with themselves [G, K, K]."""

_PRODUCT = """
columns_times_transpose (float[G,K,n] columns) => (float[G,K,L] products)
{
    rows = Transpose <perm = [0, 2, 1]> (columns)
    products = MatMul (columns, rows)
}
"""


def multiply_with(threads: int) -> Multiply:
    """Return what multiplies with so many threads; 0 means as many as this process may run on."""
    from graphopt.backends.ort.reference import reference_session  # noqa: PLC0415  # passes load this, and no onnxruntime

    session = reference_session(parse_model(_PRODUCT), threads=threads, optimize=True)
    return lambda columns: cast("Float32", session.run({"columns": columns})["products"])
