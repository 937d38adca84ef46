"""prune-channels: channels out of a model, by a plan that was made before, or by the size of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import onnx_ir as ir

from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Coupling
from graphopt.errors import PipelineError
from graphopt.ir.shapes import infer_shapes
from graphopt.pipeline.base import LOSSY, Pass
from graphopt.pipeline.context import Context
from graphopt.pruning.budget import Budget, Measure, one_budget
from graphopt.pruning.cost import cost_of, counted
from graphopt.pruning.plan import METADATA_KEY, Plan
from graphopt.pruning.room import rooms_for, settle
from graphopt.pruning.search import Scored
from graphopt.pruning.width import snaps_to_try


@dataclass(frozen=True)
class PruneChannels(Pass):
    """Takes out channels, all that must leave together, until a model costs as little as asked for.

    `plan` is a file that `graphopt prune --plan FILE` or `Plan.save` wrote, for the model as it is at this place of the
    pipeline: the same passes must stand before. Or `macs`, `flops`, `params` or `bytes` say how much less there is to
    be, as in `macs=-30%`; the channels of the smallest weights leave then, by a `criterion` that needs no data, and
    groups keep multiples of `multiple`, 0 being what fills the target's vectors. A model that was pruned stays.
    """

    name: ClassVar[str] = "prune-channels"

    plan: str = ""
    macs: str = ""
    flops: str = ""
    params: str = ""
    bytes: str = ""
    criterion: Literal["l1", "l2", "magnitude", "random"] = "l1"
    multiple: int = 0

    def __post_init__(self) -> None:
        if not self.plan:
            _ = self._budget
        elif self.macs or self.flops or self.params or self.bytes:
            raise PipelineError(
                f"option plan of pass {self.name!r} says what leaves; leave the budget out, or the plan"
            )

    @property
    def rounding(self) -> float:
        """Return how far the answers may move."""
        return LOSSY

    def run(self, model: ir.Model, ctx: Context) -> int:
        """Find out what leaves, and take it out of the main graph."""
        first = next(iter(model.graph), None)
        if first is None:
            return 0
        if METADATA_KEY in model.metadata_props:
            ctx.missed(first, "the model was pruned already")
            return 0
        coupling = couple(model)
        if self.plan:
            plan = Plan.load(Path(self.plan))
        elif coupling.groups:
            plan = self._planned(model, coupling, ctx)
        else:
            ctx.missed(first, "no channel can leave the model")
            return 0
        infer_shapes(model)
        return plan.apply(model, coupling)

    @property
    def _budget(self) -> Budget:
        """Return what is asked for; raises PipelineError."""
        return one_budget(
            {
                Measure.MACS: self.macs,
                Measure.FLOPS: self.flops,
                Measure.PARAMS: self.params,
                Measure.BYTES: self.bytes,
            }
        )

    def _planned(self, model: ir.Model, coupling: Coupling, ctx: Context) -> Plan:
        # Criteria that run the model import onnxruntime, which a pipeline without this pass has no need of.
        from graphopt.pruning.importance.criterion import Criterion, score  # noqa: PLC0415
        from graphopt.pruning.importance.evidence import Evidence  # noqa: PLC0415

        budget = self._budget
        cost = cost_of(budget.measure, counted(model), coupling.groups)
        limit = budget.limit(cost.whole)
        channels = {group.name: len(group.channels) for group in coupling.groups}
        rooms = rooms_for(cost, limit, channels, snaps_to_try(self.multiple or None, ctx.target))
        scores = score(Criterion(self.criterion), model, coupling, Evidence(seed=ctx.seed))
        search = Scored(cost, rooms[-1], scores)
        widths = search.choose(settle(cost, limit, rooms, search.curves), limit)
        return Plan.of(scores, widths, self.criterion, str(budget))
