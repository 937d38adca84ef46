"""The error of the answers of a model that some channels have left, on samples that nothing else is chosen by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from graphopt.calibration.source import Samples
from graphopt.coupling.groups import Coupling, IntArray
from graphopt.coupling.mask import mask
from graphopt.inspect.fidelity import Judge
from graphopt.pruning.cost import Widths
from graphopt.pruning.curves import Curve, widths_to_measure
from graphopt.pruning.ranking import removed


class Trials:
    """Tries widths on one model: the first channels of each group's order leave, and what is left may be refitted.

    Args:
        model: stays as it is.
        coupling: of its channels.
        orders: of the channels of each group, the first to leave first.
        samples: to compare the answers on.
        refit: fits what is left of a masked model, in place.
        threads: of onnxruntime; 0 means as many as this process may run on.

    """

    def __init__(
        self,
        model: ir.Model,
        coupling: Coupling,
        orders: Mapping[str, IntArray],
        samples: Samples,
        refit: Callable[[ir.Model], None],
        *,
        threads: int = 0,
    ) -> None:
        self._model, self._coupling, self._orders, self._refit = model, coupling, orders, refit
        self._judge = Judge(model, samples, threads=threads)

    def error(self, widths: Widths) -> float:
        """Return the mean square error of the answers, relative to their mean square."""
        tried = self._model.clone()
        mask(tried, self._coupling, removed(self._orders, widths))
        self._refit(tried)
        return self._judge.error(tried) ** 2

    def curves(
        self, choices: Mapping[str, tuple[int, ...]], base: Widths, levels: int, on_trial: Callable[[], None]
    ) -> dict[str, Curve]:
        """Measure what it adds to the error that single groups are narrower, the others as wide as they are meanwhile.

        Args:
            choices: widths by group, all channels first.
            base: the widths meanwhile; all channels of a group that is not named.
            levels: at how many widths to measure each group at most.
            on_trial: called behind each.

        """
        start = self.error(base)
        found = {}
        for group, widths in choices.items():
            whole = self.error({**base, group: widths[0]}) if group in base else start
            errors = {}
            for width in widths_to_measure(widths, levels):
                errors[width] = max(self.error({**base, group: width}) - whole, 0.0)
                on_trial()
            found[group] = Curve.of(widths[0], errors)
        return found
