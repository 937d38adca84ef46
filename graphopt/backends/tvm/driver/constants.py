"""Weights as constant arrays in C: decimal numbers that a compiler reads back to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

from graphopt.backends.tvm.driver.signature import C_TYPES
from graphopt.tensors import Array

_PER_LINE = 12
_LEAST, _LEAST_NUMBER = "INT64_MIN", -(1 << 63)
"""What C has no literal for: a minus sign is an operator."""


def definition(name: str, array: Array) -> str:
    """Return a definition of a constant array, of at least one element."""
    numbers = list(_literals(array)) or ["0"]
    lines = (", ".join(numbers[start : start + _PER_LINE]) for start in range(0, len(numbers), _PER_LINE))
    return f"const {C_TYPES[array.dtype.name]} {name}[{len(numbers)}] = {{\n  " + ",\n  ".join(lines) + "\n};\n"


def _literals(array: Array) -> Iterator[str]:
    numbers = array.reshape(-1).tolist()
    if array.dtype.kind == "f":
        form, suffix = ("%.9g", "f") if array.itemsize == 4 else ("%.17g", "")
        yield from (_real(form % number, suffix) for number in numbers)
        return
    suffix = "u" if array.dtype.kind == "u" else ""
    for number in numbers:
        yield _LEAST if number == _LEAST_NUMBER else f"{int(number)}{suffix}"


def _real(text: str, suffix: str) -> str:
    if text.lstrip("-") in {"inf", "nan"}:
        return ("-" if text.startswith("-") else "") + ("INFINITY" if text.endswith("inf") else "NAN")
    return (text if "." in text or "e" in text else f"{text}.0") + suffix
