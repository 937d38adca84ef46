"""How much each layer of a quantized model is off, and how much of the answers' error is its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.ir.extract import extract
from graphopt.ir.walk import is_op
from graphopt.tensors import Array, Feeds

HEADS = ("layer", "operator", ">SQNR, dB", ">cosine", ">error it makes alone")


@dataclass(frozen=True)
class LayerError:
    """What a layer makes in the quantized model, beside what it makes in the model.

    Attributes:
        layer: the name of its first output.
        operator: its operator.
        sqnr: signal to quantization noise, 10·log₁₀(‖y‖² / ‖ŷ - y‖²), in dB; infinite where both are equal.
        cosine: of the angle between y and ŷ; 1 where both are zero.
        contribution: the relative error of the model's answers where this layer alone is quantized; None where that
            was not measured.

    """

    layer: str
    operator: str
    sqnr: float
    cosine: float
    contribution: float | None = None


@dataclass(frozen=True)
class ErrorTable:
    """The layers' errors in the order of the graph; those of a layer include what it has from layers before."""

    layers: tuple[LayerError, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table as text, a row a layer, under `HEADS`."""
        return [
            (one.layer, one.operator, f"{one.sqnr:.1f}", f"{one.cosine:.5f}", _percent(one.contribution))
            for one in self.layers
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON but for infinities."""
        return asdict(self)


class Deviation:
    """How far arrays are from others, summed up over batches."""

    def __init__(self) -> None:
        self._signal = self._noise = self._actual = self._product = 0.0

    def add(self, expected: Array, actual: Array) -> None:
        """Add two arrays of one shape."""
        right, made = expected.astype(np.float64).ravel(), actual.astype(np.float64).ravel()
        self._signal += float(right @ right)
        self._actual += float(made @ made)
        self._product += float(right @ made)
        self._noise += float(np.square(made - right).sum())

    @property
    def sqnr(self) -> float:
        """Signal to noise in dB."""
        if not self._noise:
            return math.inf
        return 10 * math.log10(self._signal / self._noise) if self._signal else -math.inf

    @property
    def cosine(self) -> float:
        """Of the angle between the two; 1 where both are zero, 0 where one is."""
        if not self._noise:
            return 1.0
        length = math.sqrt(self._signal) * math.sqrt(self._actual)
        return self._product / length if length else 0.0


def error_table(
    model: ir.Model,
    quantized: ir.Model,
    layers: Mapping[str, str],
    samples: Iterable[Feeds],
    contributions: Mapping[str, float] | None = None,
    *,
    threads: int = 0,
) -> ErrorTable:
    """Run both models on data and compare what their layers make; memory holds the values of one batch.

    Args:
        model: the model in float32.
        quantized: the same in integers, with the names of values kept.
        layers: the value that each layer makes, by the name of its first output (`results_of`).
        samples: feeds, samples along the leading axis.
        contributions: the error of the answers with one layer alone quantized (`sensitivities`), by layer.
        threads: of onnxruntime; 0 means as many as this process may run on.

    """
    made = {str(value.name): value for node in quantized.graph for value in node.outputs}
    seen = {layer: _represented(made[value]) for layer, value in layers.items() if value in made}
    before = _session(model, [layers[layer] for layer in seen], threads)
    after = _session(quantized, list(seen.values()), threads)
    deviations = {layer: Deviation() for layer in seen}
    for feeds in samples:
        expected, actual = before.run(feeds), after.run(feeds)
        for layer, deviation in deviations.items():
            deviation.add(expected[layers[layer]], actual[seen[layer]])
    operators = {str(node.outputs[0].name): node.op_type for node in model.graph if node.outputs}
    return ErrorTable(
        tuple(
            LayerError(layer, operators[layer], found.sqnr, found.cosine, (contributions or {}).get(layer))
            for layer, found in deviations.items()
        )
    )


def _session(model: ir.Model, values: Sequence[str], threads: int) -> Any:
    return reference_session(extract(model, outputs=list(dict.fromkeys(values))), threads=threads, optimize=True)


def _represented(value: ir.Value) -> str:
    """Return the name of the value that stands for one behind its integers, or its own where it is a float."""
    for reader in value.consumers():
        if is_op(reader, "QuantizeLinear"):
            for user in reader.outputs[0].consumers():
                if is_op(user, "DequantizeLinear"):
                    return str(user.outputs[0].name)
    return str(value.name)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
