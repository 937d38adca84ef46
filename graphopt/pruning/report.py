"""What pruning did to a model: before, after channels left, after what is left was fitted to what there was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import onnx_ir as ir

from graphopt.coupling.groups import Coupling
from graphopt.inspect.fidelity import Fidelity
from graphopt.inspect.operations import UnknownShapeError, operations_of
from graphopt.ir.constants import constant_tensor
from graphopt.ir.walk import is_op, label
from graphopt.pruning.plan import Plan
from graphopt.pruning.width import Snap
from graphopt.quantization.rows import LAYERS


@dataclass(frozen=True)
class State:
    """A model at one stage.

    Attributes:
        macs, flops: of one run; of batch 1 where the batch is free.
        parameters, bytes: of all constants.
        fidelity: its answers compared with the model's before; None where there are no data, and before.
        accuracy: the share of samples with the right answer; None where there are no labels.
        latency: milliseconds of a run of its program on this machine, the median; None where it was not asked for.

    """

    macs: int
    flops: int
    parameters: int
    bytes: int
    fidelity: Fidelity | None = None
    accuracy: float | None = None
    latency: float | None = None


@dataclass(frozen=True)
class Layer:
    """A convolution or a product with a matrix that became another.

    Attributes:
        node: the name of its first output.
        op_type: its operator.
        before, after: the shape of its weight.
        macs_before, macs_after: its multiply-adds.

    """

    node: str
    op_type: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    macs_before: int
    macs_after: int


@dataclass(frozen=True, kw_only=True)
class StagesReport:
    """What was asked for, done and found when a model was made smaller, whatever left it.

    Attributes:
        request: the budget, as text.
        recovery: how what is left was fitted.
        pipeline: that the model went through before, as text: what was decided is for the model behind it.
        samples: how many the data have; 0 without.
        held_out: how many of these nothing was fitted to: answers are compared on them.
        before, recovered: the model at the first stage and at the last; None where nothing was fitted.
        seconds: by step.

    """

    request: str
    recovery: str
    pipeline: str
    samples: int
    held_out: int
    before: State
    recovered: State | None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PruningReport(StagesReport):
    """What pruning did; what is not said here, `StagesReport` says.

    Attributes:
        criterion: by which channels were chosen.
        snap: what narrower widths are multiples of.
        plan: which channels left.
        pruned: the model without them.
        layers: those that became smaller.
        frozen: why a layer had to make all its channels, by the layer's label.
        notes: what a user should know, a sentence each.

    """

    criterion: str
    snap: Snap
    plan: Plan
    pruned: State
    layers: tuple[Layer, ...]
    frozen: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def after(self) -> State:
        """The last stage."""
        return self.recovered or self.pruned

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, of the plan how many channels each group lost."""
        lost = {name: len(numbers) for name, numbers in self.plan.removal.items()}
        return {name: value for name, value in super().to_dict().items() if name != "plan"} | {"removed": lost}


def layers_changed(before: ir.Model, after: ir.Model) -> Iterator[Layer]:
    """Yield the layers whose weight has another shape; the nodes of both models make the same values."""
    others = {node.outputs[0].name: node for node in after.graph}
    for node in before.graph:
        other = others.get(node.outputs[0].name)
        if other is None or not is_op(node, *LAYERS):
            continue
        shapes = _weight_shape(node), _weight_shape(other)
        if shapes[0] != shapes[1]:
            yield Layer(str(node.outputs[0].name), node.op_type, *shapes, _macs(node), _macs(other))


def frozen_layers(model: ir.Model, coupling: Coupling) -> Iterator[tuple[str, str]]:
    """Yield the layers that must make all their channels, or some of them, and why."""
    for node in model.graph:
        if is_op(node, *LAYERS):
            axis = 1 if is_op(node, "Conv", "ConvTranspose") else len(node.outputs[0].shape or ()) - 1
            if why := coupling.frozen.get((str(node.outputs[0].name), axis)):
                yield label(node), why


def _weight_shape(node: ir.Node) -> tuple[int, ...]:
    tensors = (constant_tensor(value) for value in node.inputs[:2])
    return next((tuple(tensor.shape.numpy()) for tensor in tensors if tensor is not None), ())


def _macs(node: ir.Node) -> int:
    try:
        return operations_of(node)[0]
    except UnknownShapeError:
        return 0
