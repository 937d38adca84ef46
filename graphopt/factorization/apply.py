"""Writing the layers of a model in the forms that were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from graphopt.calibration.gram import Gram
from graphopt.factorization.factor import factor
from graphopt.factorization.layer import OPERATORS, Layer, layer_of
from graphopt.factorization.moment import Moment
from graphopt.factorization.options import Option
from graphopt.factorization.write import write
from graphopt.ir.edit import Names
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.walk import is_op, label

METADATA_KEY = "graphopt.factorization"
"""Where a factored model says that it is."""

Plan = Mapping[str, Option]
"""How layers are written, by the name of the value that each makes."""


def layers_of(model: ir.Model) -> tuple[dict[str, Layer], dict[str, str]]:
    """Return the layers of the main graph by name, and why others are none, by their label."""
    read = {node: layer_of(node) for node in model.graph if is_op(node, *OPERATORS)}
    layers = {found.name: found for found in read.values() if isinstance(found, Layer)}
    return layers, {label(node): found for node, found in read.items() if isinstance(found, str)}


def counted_layers(model: ir.Model, static: ir.Model, measure: str) -> tuple[dict[str, Layer], dict[str, str]]:
    """Return the layers whose cost is known, with their sizes in the model with static shapes; and why not others."""
    layers, refusals = layers_of(model)
    known = layers_of(static)[0]
    counted = {}
    for name, layer in layers.items():
        sized = replace(layer, before=known[name].before, after=known[name].after)
        if measure == "macs" and (sized.before is None or sized.after is None):
            refusals[label(layer.node)] = "the sizes of what it reads or makes are unknown; give shapes to the inputs"
        else:
            counted[name] = sized
    return counted, refusals


def apply(model: ir.Model, plan: Plan, grams: Mapping[str, Gram] | None = None) -> int:
    """Write layers of a model in their forms, in place; return how many.

    Args:
        model: whose shapes are inferred.
        plan: the forms.
        grams: of what the layers multiply, by name; without one, a layer keeps what it can of its weight.

    Raises:
        ModelError: a weight does not fit the type of the layer's.

    """
    layers, names = layers_of(model)[0], Names(model)
    for name, option in plan.items():
        layer = layers[name]
        moment = Moment.of(layer, (grams or {}).get(name))
        write(model.graph, layer, factor(layer, moment, option.form, option.ranks), names)
    if plan:
        model.metadata_props[METADATA_KEY] = ",".join(sorted({option.form for option in plan.values()}))
        infer_shapes(model)
    return len(plan)
