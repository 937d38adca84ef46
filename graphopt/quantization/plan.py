"""The decisions of a quantization, apart from any file form: emitters write them into a model, each in its own way."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import ml_dtypes
import numpy as np
import onnx_ir as ir

from graphopt.errors import CalibrationError
from graphopt.ir.constants import is_constant
from graphopt.plan import StoredPlan
from graphopt.quantization.affine import Affine, Reals
from graphopt.tensors import Array


@dataclass(frozen=True)
class Plan(StoredPlan):
    """What becomes an integer, and how. Keys are names of values of one model, whose names are unique after load.

    Attributes:
        values: activations: graph inputs, and outputs of nodes.
        weights: constants.
        integers: the integers of constants that are not rounded to the nearest, by the constant's name and in its
            shape; their scales stand in `weights`.
        biases: float32 biases to use in place of the model's, of shape [channels]: by the name of the constant, or by
            the name of the node's first output where it has none of its own.
        nodes: those that compute in integers, by the name of their first output.
        divisors: what the channels of an activation are divided by first, and the weight that reads it multiplied
            (`graphopt.quantization.migration`); all else is of the model that this makes.

    """

    KIND: ClassVar[str] = "quantization"
    KEY: ClassVar[str] = "graphopt-plan"
    FORMAT: ClassVar[int] = 2

    values: Mapping[str, Affine] = field(default_factory=dict)
    weights: Mapping[str, Affine] = field(default_factory=dict)
    integers: Mapping[str, Array] = field(default_factory=dict)
    biases: Mapping[str, Reals] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    divisors: Mapping[str, Reals] = field(default_factory=dict)

    def check(self, model: ir.Model) -> None:
        """Refuse a model that lacks what the plan names.

        Raises:
            CalibrationError: naming the first such value.

        """
        graph = model.graph
        made = {str(value.name): value for node in graph for value in node.outputs if value.name}
        constants = {name for name, value in {**graph.initializers, **made}.items() if is_constant(value)}
        activations = made.keys() | {str(value.name) for value in graph.inputs}
        _refuse_absent("activation", self.values, activations)
        _refuse_absent("activation", self.divisors, activations)
        _refuse_absent("constant", self.weights, constants)
        _refuse_absent("quantized constant", self.integers, self.weights)
        _refuse_absent("bias", self.biases, constants | made.keys())
        _refuse_absent("node of output", self.nodes, made)

    def to_data(self) -> dict[str, Any]:
        """Return the decisions as JSON has them: readable but for integers, and exact."""
        return {
            "nodes": sorted(self.nodes),
            "values": {name: _affine_to_data(affine) for name, affine in self.values.items()},
            "weights": {name: _affine_to_data(affine) for name, affine in self.weights.items()},
            "integers": {name: _array_to_data(array) for name, array in self.integers.items()},
            "biases": {name: _array_to_data(array) for name, array in self.biases.items()},
            "divisors": {name: _array_to_data(array) for name, array in self.divisors.items()},
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read them back; raises ValueError, KeyError, TypeError or AttributeError where they are others."""
        return cls(
            values={name: _affine_from_data(held) for name, held in data["values"].items()},
            weights={name: _affine_from_data(held) for name, held in data["weights"].items()},
            integers={name: _array_from_data(held) for name, held in data["integers"].items()},
            biases={name: _array_from_data(held).astype(np.float32) for name, held in data["biases"].items()},
            nodes=frozenset(map(str, data["nodes"])),
            divisors={name: _array_from_data(held).astype(np.float32) for name, held in data["divisors"].items()},
        )


def _refuse_absent(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    if missing := sorted(frozenset(names) - frozenset(known)):
        raise CalibrationError(
            f"the plan speaks of {what} {missing[0]!r}, which the model does not have; "
            "apply it to the model that it was made for, after the same passes"
        )


def _affine_to_data(affine: Affine) -> dict[str, Any]:
    zero = affine.zero_point.astype(np.int64).tolist()
    return {"dtype": affine.dtype.name, "scale": affine.scale.tolist(), "zero-point": zero, "axis": affine.axis}


def _affine_from_data(data: Mapping[str, Any]) -> Affine:
    zero = np.array(data["zero-point"], np.int64).astype(_dtype(data["dtype"]))
    return Affine(np.array(data["scale"], np.float32), zero, data["axis"])


def _array_to_data(array: Array) -> dict[str, Any]:
    """Write an array as text of six bits a character; integers of four bits take a byte each."""
    content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": content}


def _array_from_data(data: Mapping[str, Any]) -> Array:
    content = base64.b64decode(data["base64"], validate=True)
    return np.frombuffer(content, _dtype(data["dtype"])).reshape(data["shape"])


def _dtype(name: str) -> np.dtype[np.generic]:
    return np.dtype(getattr(ml_dtypes, name, name))
