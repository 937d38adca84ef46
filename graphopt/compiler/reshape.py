"""Other input shapes than those a model was exported with; proved by running it.

A batch or an image size that was fixed at export is written in two kinds of places: in declarations, which are
replaced and inferred anew, and in literals, of which the target of a Reshape is the common one. A target
[b, …] of data [b, …] leaves the first axis alone in row-major order, so it may be written [0, …], for any b.
Whether samples stay apart elsewhere (no Softmax over the batch, no constant state of b rows) is not proved from
the graph but tried: a batch must answer what its samples answer one by one.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.errors import ModelError, RunError
from graphopt.ir.constants import constant
from graphopt.ir.edit import Names, add_initializer
from graphopt.ir.load import Source, load
from graphopt.ir.shapes import SYMBOL, ShapeSpec, bind_shapes, infer_shapes
from graphopt.ir.walk import is_op, label
from graphopt.numerics import DEFAULT_TOLERANCE, difference
from graphopt.tensors import Array, Feeds

_SAMPLES = 3
_BATCH = 0  # the axis


@dataclass(frozen=True)
class _Change:
    """One fixed dimension of an input that is to become another size or a name; `symbol` stands for it meanwhile."""

    value: str
    axis: int
    old: int
    new: int | str

    @property
    def symbol(self) -> str:
        return self.new if isinstance(self.new, str) else f"size_{self.old}_to_{self.new}_{min(self.axis, 1)}"


def reshape(model: Source, shapes: Mapping[str, ShapeSpec], *, seed: int = 0) -> ir.Model:
    """Return a model whose inputs have other shapes; what is given stays untouched.

    An entry is a size, a name, or None for what is declared. Free dimensions are bound as `bind_shapes` does;
    fixed ones change where that is proved. The first axis is taken for the batch: at another size the model
    must answer the concatenation of what it answers at the old one, which is tried on seeded random inputs.
    On other axes it must run at another size.

    Raises:
        ModelError: the model is broken; an unknown input or another rank; two batches; a node, which is named,
            that holds the old size, or lets the samples of a batch touch each other.

    """
    original = load(model)
    infer_shapes(original)
    changes = _changes(original, shapes)
    changed = original.clone()
    if changes:
        _free(changed, changes)
        try:
            _try(original, changed, changes, seed)
        except MemoryError as error:
            raise ModelError("the model is too large to be tried on this machine, so its shapes stay") from error
    bind_shapes(changed, shapes)
    return changed


def rebatch(model: Source, batch: int | str = "N", *, seed: int = 0) -> ir.Model:
    """Return a model for another size of the first axis of every input; see `reshape`.

    Raises:
        ModelError: as `reshape` does; an input without axes is left alone.

    """
    original = load(model)
    ranks = {str(value.name): len(value.shape or ()) for value in original.graph.inputs}
    return reshape(original, {name: [batch, *[None] * (rank - 1)] for name, rank in ranks.items() if rank}, seed=seed)


def _changes(model: ir.Model, shapes: Mapping[str, ShapeSpec]) -> list[_Change]:
    inputs = {str(value.name): value for value in model.graph.inputs}
    changes = []
    for name, spec in shapes.items():
        value = inputs.get(name)
        if value is None or value.shape is None or len(value.shape) != len(spec):
            continue  # `bind_shapes` says what is wrong, here and below
        for axis, (dim, entry) in enumerate(zip(value.shape, spec, strict=True)):
            new = entry if entry is None or isinstance(entry, str) else operator.index(entry)
            valid = SYMBOL.fullmatch(new) if isinstance(new, str) else new is not None and new >= 0
            if isinstance(dim, int) and new is not None and valid and new != dim:
                changes.append(_Change(name, axis, dim, new))
    batches = {(change.old, change.new) for change in changes if change.axis == _BATCH}
    if len(batches) > 1:
        listed = " and ".join(f"{old} to {new}" for old, new in sorted(batches, key=str))
        raise ModelError(f"the first axes of the inputs would go from {listed}; a batch is one size for all")
    return changes


def _free(model: ir.Model, changes: Sequence[_Change]) -> None:
    """Put symbols for the sizes that change, infer, and mend the targets of Reshapes until all agree."""
    symbols = {(change.value, change.axis): change.symbol for change in changes}
    for value in model.graph.inputs:
        if value.shape is not None:
            dims = [symbols.get((str(value.name), axis), dim) for axis, dim in enumerate(value.shape)]
            value.shape = ir.Shape(dims)
    declared = {value: _declared(value, changes) for value in model.graph.outputs}
    names = Names(model)
    _infer_anew(model, declared)
    batch = next((change for change in changes if change.axis == _BATCH), None)
    while batch is not None and _mend_targets(model, batch, names):
        _infer_anew(model, declared)
    _refuse_literals(model, {change.symbol: change.old for change in changes})


def _declared(value: ir.Value, changes: Sequence[_Change]) -> ir.Shape | None:
    """Return what remains true of an output's declared shape."""
    if value.shape is None or value.producer() is None:
        return value.shape
    sizes_change = any(change.axis != _BATCH for change in changes)
    dims = [None if sizes_change and isinstance(dim, int) else dim for dim in value.shape]
    for change in changes:
        if change.axis == _BATCH and dims and value.shape[0] == change.old:
            dims[0] = ir.SymbolicDim(change.symbol)
    return ir.Shape(dims)


def _infer_anew(model: ir.Model, declared: Mapping[ir.Value, ir.Shape | None]) -> None:
    """Infer every shape from those of the inputs: what was inferred before the last change is stale."""
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    for value, shape in declared.items():
        value.shape = shape
    bind_shapes(model, {})


def _mend_targets(model: ir.Model, batch: _Change, names: Names) -> int:
    mended = 0
    for node in model.graph:
        target = _target(node)
        data = node.inputs[0] if node.inputs else None
        if target is None or data is None or data.shape is None or not target.size or not data.shape:
            continue
        if (
            _is_symbol(data.shape[0], batch.symbol)
            and target[0] == batch.old
            and not node.attributes.get_int("allowzero", 0)
        ):
            kept = np.concatenate([np.zeros(1, np.int64), target[1:].astype(np.int64)])
            old = str(node.inputs[1].name) if node.inputs[1] is not None else node.op_type
            node.replace_input_with(1, add_initializer(model.graph, names.fresh(f"{old}_batched"), kept))
            mended += 1
    return mended


def _refuse_literals(model: ir.Model, old_sizes: Mapping[str, int]) -> None:
    """Refuse targets that hold a size which a symbol has replaced: neither kept by a 0 nor left open by a -1."""
    for node in model.graph:
        target = _target(node)
        data = node.inputs[0] if node.inputs else None
        if target is None or data is None or data.shape is None or -1 in target:
            continue
        for axis, dim in enumerate(data.shape):
            names = set(SYMBOL.findall("" if isinstance(dim, int) else dim.value or ""))
            if names & set(old_sizes) and not (axis < target.size and target[axis] == 0 and is_op(node, "Reshape")):
                raise ModelError(
                    f"node {label(node)} makes the fixed shape {target.tolist()} of {data.shape}, and so holds the old "
                    "size; export the model with that dimension dynamic"
                )


def _is_symbol(dim: int | ir.SymbolicDim, symbol: str) -> bool:
    return not isinstance(dim, int) and dim.value == symbol


def _target(node: ir.Node) -> Array | None:
    """Return the shape that a node makes, where a constant says it."""
    index = 1 if is_op(node, "Reshape") else 3 if is_op(node, "Resize") else None
    return constant(node.inputs[index]) if index is not None and index < len(node.inputs) else None


def _try(original: ir.Model, changed: ir.Model, changes: Sequence[_Change], seed: int) -> None:
    batch = [change for change in changes if change.axis == _BATCH]
    if batch:
        _try_batch(original, changed, batch, seed)
    if len(batch) < len(changes):
        _try_sizes(original, changed, changes, seed)


def _try_batch(original: ir.Model, changed: ir.Model, batch: Sequence[_Change], seed: int) -> None:
    """Hold a batch to its samples, output by output, and on a difference find the node where it begins."""
    batched = {change.value for change in batch}
    samples = [random_feeds(original, seed=seed + index) for index in range(_SAMPLES)]
    for sample in samples:
        sample.update({name: array for name, array in samples[0].items() if name not in batched})
    together = {
        name: np.concatenate([sample[name] for sample in samples]) if name in batched else array
        for name, array in samples[0].items()
    }
    if _first_difference(original, changed, samples, together, batch[0].symbol) is None:
        return
    found = _first_difference(_exposed(original), _exposed(changed), samples, together, batch[0].symbol)
    producers = {value.name: node for node in original.graph for value in node.outputs}
    where = f"node {label(producers[found])}" if found in producers else "the model"
    raise ModelError(
        f"{where} answers a batch of {_SAMPLES * batch[0].old} otherwise than its parts one by one, "
        "so the first axis is no batch there; leave it fixed, or export the model with that batch"
    )


def _first_difference(
    original: ir.Model, changed: ir.Model, samples: Sequence[Feeds], together: Feeds, symbol: str
) -> str | None:
    """Return the name of the first output that is not the concatenation of the samples' (or equal to each)."""
    try:
        whole = evaluate(changed, together)
    except (ModelError, RunError) as error:
        raise ModelError(f"the model does not run at another batch: {error}; export it with a dynamic one") from error
    parts = [evaluate(original, sample) for sample in samples]
    for value in changed.graph.outputs:
        name = str(value.name)
        pieces = [part[name] for part in parts]
        has_batch = value.shape is not None and len(value.shape) > 0 and _is_symbol(value.shape[0], symbol)
        expected = [np.concatenate(pieces)] if has_batch else pieces
        if any(difference(name, piece, whole[name]).error > DEFAULT_TOLERANCE for piece in expected):
            return name
    return None


def _exposed(model: ir.Model) -> ir.Model:
    """Return a copy whose outputs are all tensors that nodes of the graph compute, in order."""
    copy = model.clone()
    made = [value for node in copy.graph for value in node.outputs if value.name and value.dtype is not None]
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(made)
    return copy


def _try_sizes(original: ir.Model, changed: ir.Model, changes: Sequence[_Change], seed: int) -> None:
    """Run the changed model at its old sizes, with the old answers, and at other ones."""
    feeds = random_feeds(original, seed=seed)
    shapes = {name: list(array.shape) for name, array in feeds.items()}
    for change in changes:
        if change.axis != _BATCH:
            shapes[change.value][change.axis] = change.new if isinstance(change.new, int) else 2 * change.old
    try:
        same = evaluate(changed, feeds)
        evaluate(changed, random_feeds(changed, seed=seed, shapes=shapes))
    except (ModelError, RunError) as error:
        raise ModelError(f"the model does not run at other sizes: {error}; export it with dynamic ones") from error
    for name, array in evaluate(original, feeds).items():
        found = difference(name, array, same[name])
        if found.error > DEFAULT_TOLERANCE:
            raise ModelError(f"the model answers otherwise once its sizes are free: {found}; leave them fixed")
