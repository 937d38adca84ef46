"""The loader: `loader.mjs`, with what it has to know of one model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from graphopt.backends.tvm.driver.program import Program
from graphopt.backends.tvm.driver.signature import Parameter
from graphopt.backends.tvm.memory.arena import aligned

TEMPLATE = Path(__file__).with_name("loader.mjs")
_PLACEHOLDER = "{ inputs: [], outputs: [], arena: 0, weights: 0, weightBytes: 0, size: 0 }"


@dataclass(frozen=True)
class Layout:
    """Where in memory everything lies, in bytes from where memory is free.

    Attributes:
        inputs, outputs: the beginning of each.
        arena: its beginning.
        weights: the beginning of the file of weights.
        weight_bytes: the length of that file.
        size: of everything.

    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arena: int
    weights: int
    weight_bytes: int
    size: int

    @classmethod
    def of(cls, program: Program, weight_bytes: int) -> Layout:
        """Lay out a program, one behind the other."""
        tensors = [one.elements * one.element_bytes for one in (*program.inputs, *program.outputs)]
        places = [0]
        for size in (*tensors, program.sequence.arena, weight_bytes):
            places.append(places[-1] + aligned(size))
        count = len(program.inputs)
        *ends, arena, weights, size = places
        return cls(tuple(ends[:count]), tuple(ends[count:]), arena, weights, weight_bytes, size)


def loader(program: Program, layout: Layout) -> str:
    """Return model.mjs."""
    model = {
        "inputs": [_described(one, place) for one, place in zip(program.inputs, layout.inputs, strict=True)],
        "outputs": [_described(one, place) for one, place in zip(program.outputs, layout.outputs, strict=True)],
        "arena": layout.arena,
        "weights": layout.weights,
        "weightBytes": layout.weight_bytes,
        "size": layout.size,
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return text.replace(_PLACEHOLDER, json.dumps(model, indent=2))


def _described(one: Parameter, place: int) -> dict[str, object]:
    return {"name": one.name, "dtype": one.dtype, "shape": one.shape, "place": place}
