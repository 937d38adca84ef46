"""Writing a layer in a form."""

from __future__ import annotations

from graphopt.factorization.chain import Chain
from graphopt.factorization.forms import FORMS, Ranks
from graphopt.factorization.layer import Layer
from graphopt.factorization.linear import regress
from graphopt.factorization.moment import Moment


def factor(layer: Layer, moment: Moment, form: str, ranks: Ranks) -> Chain:
    """Write a layer as a chain that makes the least error of its form, or less than that of its weight alone.

    First factors are found with what part of the moment they see; the last one with all of it, by regression. Where the
    first factors that are best for the weight alone end nearer, they are taken.

    Args:
        layer: the layer.
        moment: how much errors weigh.
        form: of `FORMS`, one that the layer can have.
        ranks: each from 1 to the largest.

    """
    views = (moment,) if moment.is_blind else (moment, Moment.of(layer, None))
    chains = [_factored(layer, moment, seen, form, ranks) for seen in views]
    return min(chains, key=lambda chain: error(layer, moment, chain))


def error(layer: Layer, moment: Moment, chain: Chain) -> float:
    """Return the mean square that a chain errs by, as a share of that of what the layer makes; biases are exact."""
    energy = moment.energy(layer.rows)
    return moment.energy(chain.rows - layer.rows) / energy if energy else 0.0


def _factored(layer: Layer, moment: Moment, seen: Moment, form: str, ranks: Ranks) -> Chain:
    stages = FORMS[form].stages(layer, ranks)
    basis = FORMS[form].basis(layer, seen, ranks)
    combination = regress(layer.rows, basis.features, moment.matrix)
    rows = combination @ basis.features
    weights = (*basis.weights, combination)
    return Chain(
        stages,
        tuple(weight.reshape(stage.shape) for weight, stage in zip(weights, stages, strict=True)),
        rows,
        ((layer.rows - rows) @ moment.mean[:, :, None]).ravel(),
    )
