"""Shapes of a model: cleaned when it is loaded, inferred, bound to sizes or names."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import SupportsIndex

import onnx_ir as ir

from graphopt.errors import ModelError
from graphopt.ir.operands import check_operands
from graphopt.ir.shape_corrections import register_corrections
from graphopt.ir.shape_engine import Contents, Declared, InferenceFailedError, infer_by_onnx, infer_symbolically
from graphopt.ir.shape_memo import MINTED
from graphopt.ir.walk import is_op, nodes, nodes_within, scopes

Dim = int | ir.SymbolicDim
ShapeSpec = Sequence[SupportsIndex | str | None]

LARGEST_VALUE = 1 << 47  # elements; more than any machine addresses
UNNAMED = frozenset({"", "?", "None", "-1"})  # what exporters write for "some size", without equality in mind
SYMBOL = re.compile(r"[A-Za-z_][\w.]*")


def normalize_shapes(model: ir.Model) -> None:
    """Make every declared dimension a size, a symbolic expression that parses, or unknown.

    `?`, -1 and their kin become unknown; other characters of a name that no expression can hold become `_`.

    Raises:
        ModelError: a negative or impossibly large size.

    """
    for value in _values(model):
        if value.shape is None or all(isinstance(dim, int) and dim >= 0 for dim in value.shape):
            dims = value.shape
        else:
            dims = value.shape = ir.Shape(_normalized(value, dim) for dim in value.shape)
        if dims is not None and math.prod(dim for dim in dims if isinstance(dim, int)) > LARGEST_VALUE:
            raise ModelError(f"value {value.name!r} is declared {dims}, larger than any memory; correct its dimensions")


def infer_shapes(model: ir.Model) -> int:
    """Infer types and shapes in place, subgraphs included; return how many values changed.

    Types and sizes declared on intermediate values are kept where inference knows less, and so are those of
    inputs and outputs. Anonymous input dimensions get names, `x_dim_0`.

    Raises:
        ModelError: what is declared contradicts what is inferred; nothing has changed then.

    """
    before = _Annotations(model)
    try:
        _infer(model, stale=False)
    except BaseException:
        before.restore()
        raise
    return before.count_changes()


def infer_contents(model: ir.Model) -> Contents:
    """Return the integer tensors of rank 0 and 1 that are the same in every run, by the value that holds them.

    They are what Shape, Gather, Concat and other shape arithmetic computes. The model is left as it is.

    Raises:
        ModelError: as `infer_shapes` does.

    """
    before = _Annotations(model)
    try:
        return _infer(model, stale=False)
    finally:
        before.restore()


def check_types(model: ir.Model) -> None:
    """Compare what is declared with what is inferred, leaving the model as it is; raises ModelError."""
    infer_contents(model)


def bind_shapes(model: ir.Model, shapes: Mapping[str, ShapeSpec]) -> None:
    """Bind the dimensions of inputs in place, and infer all others anew.

    An entry is a size, a name, or None for what is declared. A symbol that is bound through one input is
    bound everywhere. Shapes written on intermediate values are taken as stale where they disagree.

    Raises:
        ModelError: unknown input, wrong rank, another size than the declared one, one symbol bound to two
            sizes, or sizes that the model contradicts; nothing has changed then.

    """
    before = _Annotations(model)
    inputs = {value.name: value for value in model.graph.inputs}
    try:
        bindings: dict[str, int | str] = {}
        for name, spec in shapes.items():
            if name not in inputs:
                raise ModelError(f"there is no input {name!r} to bind; the inputs are {', '.join(map(repr, inputs))}")
            _bind_input(inputs[name], [_checked_entry(name, entry) for entry in spec], bindings)
        for value in _values(model):
            if value.shape is not None:
                value.shape = ir.Shape(_substituted(dim, bindings) for dim in value.shape)
        _infer(model, stale=True)
    except BaseException:
        before.restore()
        raise


def free_dimensions(model: ir.Model) -> dict[str, dict[int, str | None]]:
    """Return, for each input with open dimensions, the axis and the symbol (or None) of each."""
    free = {
        value.name or "": {axis: dim.value for axis, dim in enumerate(value.shape or ()) if not isinstance(dim, int)}
        for value in model.graph.inputs
    }
    return {name: dims for name, dims in free.items() if dims}


class _Annotations:
    """The types and shapes of all values at one moment."""

    def __init__(self, model: ir.Model) -> None:
        self._declared = {value: Declared(value.type, value.shape) for value in _values(model)}

    def restore(self) -> None:
        for value, declared in self._declared.items():
            value.type, value.shape = declared

    def count_changes(self) -> int:
        return sum((value.type, value.shape) != declared for value, declared in self._declared.items())


def _infer(model: ir.Model, *, stale: bool) -> Contents:
    """Infer from inputs and initializers alone, then take from the declarations what that does not tell."""
    _name_input_dims(model)
    declared = {value: value.shape for value in _computed_values(model)}
    try:
        contents = _infer_anew(model, declared, stale=stale)
    except InferenceFailedError as error:
        contents = _second_opinion(model, declared, stale=stale, reason=_one_line(str(error)))
    for value in declared:
        if value.is_graph_output() and value.shape is not None:
            value.shape = _without_minted(value.shape)
    check_operands(model)
    return contents


def _infer_anew(
    model: ir.Model, declared: Mapping[ir.Value, ir.Shape | None], *, stale: bool, branches_apart: bool = False
) -> Contents:
    for value in declared:
        value.shape = None
    contents = infer_symbolically(model, branches_apart=branches_apart)
    if _merge_declared(declared, stale=stale):
        contents = infer_symbolically(model, branches_apart=branches_apart)
    return contents


def _second_opinion(
    model: ir.Model, declared: Mapping[ir.Value, ir.Shape | None], *, stale: bool, reason: str
) -> Contents:
    if any(is_op(node, "If") for node in nodes(model)):
        with suppress(InferenceFailedError):
            return _infer_anew(model, declared, stale=stale, branches_apart=True)
    _ask_onnx(model, declared, stale=stale, reason=reason)
    return {}


def _ask_onnx(model: ir.Model, declared: Mapping[ir.Value, ir.Shape | None], *, stale: bool, reason: str) -> None:
    """Let the C++ inference decide whether the model is at fault (ModelError), and else supply the shapes."""
    for value, shape in declared.items():
        value.shape = shape if value.is_graph_output() or not stale else None
    try:
        known = infer_by_onnx(model)
        for value in declared:
            inferred = known.get(value)
            if inferred is not None:
                value.type, value.shape = value.type or inferred.type, inferred.shape or value.shape
        _merge_declared(declared, stale=True)
    except InferenceFailedError as error:
        raise ModelError(f"its shapes or types do not fit together: {reason}; correct the model") from error


def _merge_declared(declared: Mapping[ir.Value, ir.Shape | None], *, stale: bool) -> bool:
    """Complete inferred shapes by declared ones; return whether that taught a size.

    Raises:
        InferenceFailedError: two sizes differ, unless the declaration may be stale and is of no graph output.

    """
    learned = False
    for value, shape in declared.items():
        if shape is None:
            continue
        if value.shape is None:
            value.shape = _without_minted(shape)
            learned = True
            continue
        if _conflict(shape, value.shape):
            if stale and not value.is_graph_output():
                continue
            raise InferenceFailedError(f"value {value.name!r} is declared {shape} where inference finds {value.shape}")
        merged = ir.Shape(
            _merged(old, new, keep_name=value.is_graph_output()) for old, new in zip(shape, value.shape, strict=True)
        )
        learned |= _count_sizes(merged) > _count_sizes(value.shape)
        value.shape = merged
    return learned


def _conflict(declared: ir.Shape, inferred: ir.Shape) -> bool:
    return len(declared) != len(inferred) or any(
        isinstance(old, int) and isinstance(new, int) and old != new
        for old, new in zip(declared, inferred, strict=True)
    )


def _merged(declared: Dim, inferred: Dim, *, keep_name: bool) -> Dim:
    if isinstance(inferred, int) or (not isinstance(declared, int) and declared.value is None):
        return inferred
    named = keep_name and not isinstance(declared, int) and not MINTED.search(declared.value or "")
    return declared if isinstance(declared, int) or inferred.value is None or named else inferred


def _count_sizes(shape: ir.Shape) -> int:
    return sum(isinstance(dim, int) for dim in shape)


def _without_minted(shape: ir.Shape) -> ir.Shape:
    """Forget names that hold within one inference only."""
    return ir.Shape(dim if isinstance(dim, int) or not MINTED.search(dim.value or "") else None for dim in shape)


def _name_input_dims(model: ir.Model) -> None:
    for value in model.graph.inputs:
        if value.shape is not None and value.shape.has_unknown_dim():
            base = re.sub(r"\W", "_", f"{value.name}_dim_").lstrip("0123456789")
            value.shape = ir.Shape(
                f"{base}{axis}" if value.shape.is_unknown_dim(axis) else dim for axis, dim in enumerate(value.shape)
            )


def _bind_input(value: ir.Value, spec: Sequence[int | str | None], bindings: dict[str, int | str]) -> None:
    shape = value.shape if value.shape is not None else ir.Shape([None] * len(spec))
    if len(shape) != len(spec):
        raise ModelError(f"input {value.name!r} has rank {len(shape)} ({shape}), not {len(spec)}; give as many entries")
    dims = []
    for axis, (dim, entry) in enumerate(zip(shape, spec, strict=True)):
        if isinstance(dim, int) and entry not in (None, dim):
            raise ModelError(
                f"axis {axis} of input {value.name!r} is fixed at {dim} and cannot become {entry!r}; "
                "give that size, or export the model with a dynamic axis"
            )
        symbol = "" if isinstance(dim, int) or entry is None else dim.value or ""
        if entry is not None and SYMBOL.fullmatch(symbol) and bindings.setdefault(symbol, entry) != entry:
            raise ModelError(
                f"dimension {symbol!r} of input {value.name!r} would be both {bindings[symbol]!r} and {entry!r}; "
                "bind it alike in all inputs"
            )
        dims.append(dim if entry is None else entry)
    value.shape = ir.Shape(dims)


def _checked_entry(name: str, entry: SupportsIndex | str | None) -> int | str | None:
    if isinstance(entry, str):
        if not SYMBOL.fullmatch(entry):
            raise ModelError(f"{entry!r} names no dimension of input {name!r}; use letters, digits, '_' and '.'")
        return entry
    if entry is None:
        return None
    size = operator.index(entry)
    if size < 0:
        raise ModelError(f"input {name!r} cannot have a dimension of size {size}; give a size, a name or None")
    return size


def _substituted(dim: Dim, bindings: Mapping[str, int | str]) -> Dim:
    if isinstance(dim, int) or dim.value is None:
        return dim
    text = SYMBOL.sub(lambda match: str(bindings.get(match[0], match[0])), dim.value)
    return dim if text == dim.value else ir.SymbolicDim(text).evaluate({})


def _normalized(value: ir.Value, dim: Dim) -> Dim:
    if isinstance(dim, int):
        if dim < -1:
            raise ModelError(f"value {value.name!r} is declared with a dimension of size {dim}; correct or drop it")
        return ir.SymbolicDim(None) if dim == -1 else dim
    if dim.value is None or dim.value.strip() in UNNAMED:
        return ir.SymbolicDim(None)
    if SYMBOL.fullmatch(dim.value):
        return dim
    register_corrections()  # so that what inference wrote into a file is read
    try:
        known = dim.evaluate({})
    except (ValueError, ZeroDivisionError):
        return ir.SymbolicDim(re.sub(r"\W", "_", f"d{dim.value}" if dim.value[0].isdigit() else dim.value))
    return known if isinstance(known, int) and known >= 0 else dim


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for scope in scopes(model):
        yield from scope.inputs
        if isinstance(scope, ir.Graph):
            yield from scope.initializers.values()
        for node in scope:
            yield from node.outputs


def _computed_values(model: ir.Model) -> Iterator[ir.Value]:
    """Yield the tensors that the nodes of the main graph and of its subgraphs compute."""
    for node in nodes_within(model.graph):
        for value in node.outputs:
            if value.type is None or isinstance(value.type, ir.TensorType):
                yield value


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".;")
