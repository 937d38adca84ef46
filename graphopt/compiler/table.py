"""The table of shapes that a program has native code for, as the user writes it."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from graphopt.compiler.optimize import Shapes
from graphopt.errors import ModelError
from graphopt.ir.shapes import bind_shapes

ShapeTable = Shapes | Sequence[Shapes]
"""One set of shapes, or a list of sets: `[{"x": [1, 3, 224, 224]}, {"x": [8, 3, 224, 224]}]`."""

Row = dict[str, tuple[int | str | None, ...]]
"""Dimensions by input name: what one variant of a program is made for."""


def rows_of(table: ShapeTable | None) -> tuple[Row, ...]:
    """Return each set of shapes once, in the order given; one without shapes where nothing is given.

    Raises:
        ModelError: an input with several shapes in one set.

    """
    sets = [table] if isinstance(table, Mapping) else list(table or [{}])
    rows = [{name: _dims(name, shape) for name, shape in sorted(one.items())} for one in sets]
    return tuple(row for index, row in enumerate(rows) if row not in rows[:index])


def common(rows: Sequence[Row]) -> Row:
    """Return what all rows say alike: the program takes no other size there. The rest is None, left as declared."""
    first, *others = rows
    shared: Row = {}
    for name, dims in first.items():
        found = [row.get(name, ()) for row in others]
        if all(len(other) == len(dims) for other in found):
            shared[name] = tuple(
                dim if all(other[axis] == dim for other in found) else None for axis, dim in enumerate(dims)
            )
    return shared


def check_rows(model: ir.Model, rows: Sequence[Row]) -> None:
    """Refuse rows that do not fit the model, before the work begins; raises ModelError."""
    for row in rows:
        bind_shapes(model.clone(), row)


def _dims(name: str, shape: Sequence[object]) -> tuple[int | str | None, ...]:
    if any(isinstance(entry, list | tuple) for entry in shape):
        raise ModelError(
            f"input {name!r} has several shapes in one set; give a set for each: "
            f"shapes=[{{{name!r}: …}}, {{{name!r}: …}}]"
        )
    return tuple(entry if entry is None or isinstance(entry, str) else operator.index(entry) for entry in shape)  # type: ignore[arg-type]
