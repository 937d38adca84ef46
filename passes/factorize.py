"""factorize: large weights as products of small ones, by a budget or at a rank that is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx_ir as ir

from graphopt.errors import PipelineError
from graphopt.factorization.apply import METADATA_KEY, Plan, apply, counted_layers, layers_of
from graphopt.factorization.candidates import by_share, candidates
from graphopt.factorization.choose import choose
from graphopt.factorization.forms import FORMS, Ranks
from graphopt.factorization.layer import Layer
from graphopt.factorization.moment import Moment
from graphopt.factorization.options import Option, cost, options
from graphopt.ir.walk import label
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context
from graphopt.pruning.budget import Budget, Measure, one_budget
from graphopt.pruning.cost import count, counted


@dataclass(frozen=True)
class Factorize(Pass):
    """Writes convolutions and matrix products as chains of smaller ones.

    `macs`, `params` or `bytes` say how much less there is to be, as in `macs=-30%`; layers are then written where and
    as their weights lose least by it. Or `rank` is what each layer is written at, two numbers in the form `tucker`,
    where that makes it smaller. `form` is `channel`, `spatial`, `tucker`, `cp` or `depthwise`
    (`graphopt.factorization.forms`), `layers` those to write, by the value that each makes; all by default. No data
    are needed; `graphopt factorize` takes some, and loses less. A model that was factored stays.
    """

    name: ClassVar[str] = "factorize"

    macs: str = ""
    params: str = ""
    bytes: str = ""
    rank: tuple[int, ...] = ()
    form: Literal["auto", "channel", "spatial", "tucker", "cp", "depthwise"] = "auto"
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.rank:
            _ = self._budget
            return
        if self.macs or self.params or self.bytes:
            raise PipelineError(f"option rank of pass {self.name!r} says how small layers are; leave the budget out")
        wanted = 2 if self.form == "tucker" else 1
        if len(self.rank) != wanted or min(self.rank) < 1:
            raise PipelineError(
                f"option rank={','.join(map(str, self.rank))} of pass {self.name!r} must be {wanted} numbers from 1 on "
                f"in the form {self._form!r}"
            )

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Find out how the layers of the main graph are written, and write them so."""
        first = next(iter(model.graph), None)
        if first is None:
            return 0
        if METADATA_KEY in model.metadata_props:
            ctx.missed(first, "the model was factored already")
            return 0
        layers = self._wanted(model)
        plan = dict(self._at_rank(layers, ctx)) if self.rank else self._within_budget(model, layers, ctx)
        for name, option in plan.items():
            ctx.applied(layers[name].node, f"becomes {option}")
        return apply(model, plan)

    @property
    def _form(self) -> str:
        return "channel" if self.form == "auto" else self.form

    @property
    def _budget(self) -> Budget:
        """Return what is asked for; raises PipelineError."""
        return one_budget({Measure.MACS: self.macs, Measure.PARAMS: self.params, Measure.BYTES: self.bytes})

    def _wanted(self, model: ir.Model) -> dict[str, Layer]:
        """Return the layers to write; raises PipelineError where one that is named is none."""
        layers = layers_of(model)[0]
        if unknown := [name for name in self.layers if name not in layers]:
            raise PipelineError(
                f"option layers of pass {self.name!r} names {unknown[0]!r}, which no layer that can be factored makes"
            )
        return {name: layer for name, layer in layers.items() if not self.layers or name in self.layers}

    def _at_rank(self, layers: Mapping[str, Layer], ctx: Context) -> Iterator[tuple[str, Option]]:
        for name, layer in layers.items():
            reason = _obstacle(layer, self._form, self.rank)
            if reason is None:
                yield name, Option(self._form, self.rank)
            else:
                ctx.missed(layer.node, reason)

    def _within_budget(self, model: ir.Model, layers: Mapping[str, Layer], ctx: Context) -> Plan:
        budget, static = self._budget, counted(model)
        forms = () if self.form == "auto" else (self.form,)
        before = count(budget.measure, static)
        known, refusals = counted_layers(model, static, budget.measure)
        for name, layer in layers.items():
            if name not in known:
                ctx.missed(layer.node, refusals[label(layer.node)])
        found = {}
        for name in filter(known.__contains__, layers):
            offered = options(known[name], budget.measure, ctx.target.lanes(), forms)
            found[name] = candidates(known[name], Moment.of(known[name], None), offered, by_share)
        chosen = choose(found, math.ceil(before - budget.limit(before)))
        if chosen is not None:
            return {name: one.option for name, one in chosen.items()}
        ctx.missed(next(iter(model.graph)), f"factoring cannot save {budget}")
        return {}


def _obstacle(layer: Layer, form: str, rank: Ranks) -> str | None:
    """Return why a layer is not written at a rank."""
    largest = FORMS[form].largest(layer)
    if largest is None:
        return f"its weight cannot have the form {form!r}"
    if any(one > most for one, most in zip(rank, largest, strict=True)):
        return f"it has no rank above {'×'.join(map(str, largest))} in the form {form!r}"
    if cost(layer, "params", Option(form, rank)) >= cost(layer, "params"):
        return f"it gets no smaller in the form {form!r} at the rank {'×'.join(map(str, rank))}"
    return None
