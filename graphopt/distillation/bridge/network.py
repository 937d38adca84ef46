"""A model's main graph as a function of its weights, which PyTorch can differentiate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from graphopt.distillation.bridge.call import INFERENCE, INTEGERS, Call, Mode
from graphopt.distillation.bridge.operators import OPERATORS, check_operators
from graphopt.distillation.bridge.roles import trained
from graphopt.distillation.bridge.weights import Weight, weight_of
from graphopt.distillation.constraints import Constraint
from graphopt.errors import ModelError
from graphopt.ir.constants import constant_tensor
from graphopt.ir.walk import is_op, label
from graphopt.tensors import Array


@dataclass(frozen=True, eq=False)
class State:
    """What training changes; all of it by name of an initializer.

    Attributes:
        free: what the optimizer changes; of a weight without constraints the weight itself.
        statistics: means and variances of BatchNormalization, changed in place where the mode says so.

    """

    free: dict[str, Tensor]
    statistics: dict[str, Tensor]

    def copy(self) -> State:
        """Return the same numbers in tensors of their own, without gradients."""
        return State(*({name: tensor.detach().clone() for name, tensor in part.items()} for part in self._parts))

    def assign(self, other: State) -> None:
        """Take the numbers of another."""
        with torch.no_grad():
            for mine, theirs in zip(self._parts, other._parts, strict=True):
                for name, tensor in mine.items():
                    tensor.copy_(theirs[name])

    @property
    def _parts(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self.free, self.statistics


class Network:
    """Executes the main graph of a model node by node.

    Args:
        model: stays as it is until `write`.
        constraints: by the name of an initializer.
        dtype: in which floating-point numbers are computed, whatever the model's types.

    Raises:
        ModelError: an operator has no gradient here; or a constraint is for no initializer that can be trained.

    """

    def __init__(
        self,
        model: ir.Model,
        constraints: Mapping[str, Constraint] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_operators(model)
        self.decays = trained(model)
        self._dtype = dtype
        self._opset = model.opset_imports.get("", 1)
        self._weights = self._trainable(model, constraints or {})
        self._statistics = _statistics(model)
        self._constants = self._constant_values(model)
        self._nodes = [node for node in model.graph if not is_op(node, "Constant")]
        self._last_reader = {value: node for node in self._nodes for value in node.inputs if value is not None}

    @property
    def names(self) -> Collection[str]:
        """The initializers that training changes."""
        return self._weights.keys()

    def initial(self) -> State:
        """Return the weights and statistics as the model has them."""
        free = {name: weight.initial(self._constants[name]) for name, weight in self._weights.items()}
        return State(
            {name: _laid_out(tensor.clone()).requires_grad_() for name, tensor in free.items()},
            {name: self._constants[name].clone() for name in self._statistics},
        )

    def run(
        self, state: State, feeds: Mapping[str, Tensor], wanted: Sequence[str], mode: Mode = INFERENCE
    ) -> dict[str, Tensor]:
        """Return values by name, with gradients where PyTorch records them.

        Args:
            state: weights and statistics.
            feeds: by the names of the inputs; any batch that the graph allows.
            wanted: names of outputs, or of any other values of the graph.
            mode: of operators that behave otherwise in training.

        Raises:
            ModelError: a node does not run on these feeds.

        """
        values = (
            self._constants | state.statistics | {name: _laid_out(self._typed(feed)) for name, feed in feeds.items()}
        )
        values |= {name: weight.value(state.free[name]) for name, weight in self._weights.items()}
        keep = set(wanted)
        for node in self._nodes:
            for output, made in zip(node.outputs, self._execute(node, values, mode), strict=False):
                values[str(output.name)] = made
            for value in node.inputs:
                if value is not None and self._last_reader[value] is node and value.name not in keep:
                    values.pop(str(value.name), None)
        return {name: values[name] for name in wanted}

    def write(self, state: State, model: ir.Model) -> None:
        """Store weights and statistics in the initializers of a model that has them, each in its own type."""
        with torch.no_grad():
            made = {name: weight.value(state.free[name]) for name, weight in self._weights.items()}
        for name, tensor in (made | state.statistics).items():
            value = model.graph.initializers[name]
            if value.const_value is not None:
                array = np.asarray(tensor.detach().numpy(), order="C").astype(value.const_value.dtype.numpy())
                value.const_value = ir.tensor(array, name=name)

    def _execute(self, node: ir.Node, values: Mapping[str, Tensor], mode: Mode) -> Sequence[Tensor]:
        inputs = [None if value is None else values[str(value.name)] for value in node.inputs]
        try:
            made = OPERATORS[node.op_type](Call(node, inputs, self._opset, self._dtype, mode))
        except (RuntimeError, IndexError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelError(
                f"node {label(node)} does not run in PyTorch ({reason}); check the shapes around it"
            ) from error
        return (made,) if isinstance(made, Tensor) else made

    def _trainable(self, model: ir.Model, constraints: Mapping[str, Constraint]) -> dict[str, Weight]:
        initializers = model.graph.initializers
        if unknown := [name for name in constraints if name not in initializers]:
            raise ModelError(
                f"there is no initializer {unknown[0]!r} to constrain in model {model.graph.name!r}; leave it out"
            )
        found = {name: weight_of(initializers[name], constraints.get(name), self._dtype) for name in self.decays}
        return {name: weight for name, weight in found.items() if weight is not None}

    def _constant_values(self, model: ir.Model) -> dict[str, Tensor]:
        made = (output for node in model.graph if is_op(node, "Constant") for output in node.outputs)
        tensors = {str(value.name): constant_tensor(value) for value in (*model.graph.initializers.values(), *made)}
        return {name: self._tensor(tensor.numpy()) for name, tensor in tensors.items() if tensor is not None}

    def _tensor(self, array: Array) -> Tensor:
        """Return a tensor of an array, integers that PyTorch lacks as wider ones."""
        if ir.DataType.from_numpy(array.dtype).is_floating_point():
            return torch.from_numpy(array.astype(np.float64)).to(self._dtype)
        known = INTEGERS.get(ir.DataType.from_numpy(array.dtype))
        return torch.from_numpy(array.astype(np.int64) if known is None else np.array(array)).to(known or torch.int64)

    def _typed(self, feed: Tensor) -> Tensor:
        return feed.to(self._dtype) if feed.is_floating_point() else feed


def _statistics(model: ir.Model) -> list[str]:
    """Return the names of the initializers that are means or variances of a BatchNormalization."""
    values = [value for node in model.graph if is_op(node, "BatchNormalization") for value in node.inputs[3:5]]
    return [str(value.name) for value in values if value is not None and value.is_initializer()]


def _laid_out(tensor: Tensor) -> Tensor:
    """Return a tensor of four axes with its channels last in memory, which PyTorch's convolutions are faster on."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
