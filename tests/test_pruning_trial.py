"""What widths cost the answers, tried on a network one of whose channels another can stand in for."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.calibration.collect import collect
from graphopt.calibration.source import Samples, open_samples
from graphopt.compiler.pruner import recipe_for
from graphopt.coupling.couple import couple
from graphopt.inspect.fidelity import Judge
from graphopt.ir.edit import add_initializer
from graphopt.ir.shapes import infer_shapes
from graphopt.pruning.curves import Curve
from graphopt.pruning.importance.evidence import measured
from graphopt.pruning.refit import Refit
from graphopt.pruning.trial import Trials
from tests.networks import network

TWINS = """
g (float[N,3,6,6] x) => (float[N,5,6,6] y)
<float[4,3,3,3] w, float[4] b, float[5,4,1,1] v, float[5] c>
{
    h = Conv <pads = [1,1,1,1]> (x, w, b)
    r = Relu (h)
    y = Conv (r, v, c)
}
"""


@pytest.fixture
def twins() -> ir.Model:
    """Return a network whose filters 1 and 3 are equal but for their size."""
    model = network(TWINS)
    infer_shapes(model)
    for name in ("w", "b"):
        value = model.graph.initializers[name]
        array = value.const_value.numpy().copy()
        array[3] = 2 * array[1]
        value.const_value = ir.tensor(array, name=name)
    return model


def samples_for(model: ir.Model) -> Samples:
    return open_samples({"x": np.random.default_rng(0).standard_normal((24, 3, 6, 6)).astype(np.float32)}, model)


def refit_for(model: ir.Model) -> Refit:
    return Refit(model, collect(model, samples_for(model), (), measured(couple(model))).grams)


def test_a_twin_makes_up_for_what_has_left(twins: ir.Model) -> None:
    coupling = couple(twins)
    (group,) = coupling.groups
    errors = {}
    for refit in (refit_for(twins), lambda _: None):
        trials = Trials(twins, coupling, {group.name: np.array([3, 0, 1, 2])}, samples_for(twins), refit)
        assert trials.error({}) < 1e-12
        assert trials.error({group.name: 4}) < 1e-12
        errors[refit] = trials.error({group.name: 3})
    fitted, masked = errors.values()
    assert masked > 1e-2
    assert fitted < 0.01 * masked  # the share that damping leaves


def test_only_layers_that_lost_inputs_are_refitted(twins: ir.Model) -> None:
    before = {name: value.const_value.numpy().copy() for name, value in twins.graph.initializers.items()}
    unchanged = twins.clone()
    refit_for(twins)(unchanged)
    assert all((unchanged.graph.initializers[name].const_value.numpy() == before[name]).all() for name in before)
    masked = twins.clone()
    array = before["v"].copy()
    array[:, 3] = 0
    masked.graph.initializers["v"].const_value = ir.tensor(array, name="v")
    refit_for(twins)(masked)
    fitted = masked.graph.initializers["v"].const_value.numpy()
    assert (fitted[:, 3] == 0).all()
    assert np.allclose(fitted[:, 1], before["v"][:, 1] + 2 * before["v"][:, 3], atol=0.05)
    assert (masked.graph.initializers["w"].const_value.numpy() == before["w"]).all()
    assert (twins.graph.initializers["v"].const_value.numpy() == before["v"]).all()


def test_a_bias_that_others_read_stays_theirs(twins: ir.Model) -> None:
    masked = twins.clone()
    node = masked.graph.node(-1)
    array = masked.graph.initializers["v"].const_value.numpy().copy()
    array[:, 0] = 0
    masked.graph.initializers["v"].const_value = ir.tensor(array, name="v")
    other = ir.Node("", "Identity", [node.inputs[2]], num_outputs=1)
    other.outputs[0].name = "other"
    masked.graph.append(other)
    bias = masked.graph.initializers["c"].const_value.numpy().copy()
    refit_for(twins)(masked)
    assert (masked.graph.initializers["c"].const_value.numpy() == bias).all()
    assert node.inputs[2].name == "c_fitted"


def test_curves_start_from_where_the_others_are(twins: ir.Model) -> None:
    coupling = couple(twins)
    (group,) = coupling.groups
    trials = Trials(twins, coupling, {group.name: np.arange(4)}, samples_for(twins), lambda _: None)
    counted: list[int] = []
    curves = trials.curves({group.name: (4, 3, 2, 1)}, {group.name: 2}, 2, lambda: counted.append(1))
    assert isinstance(curves[group.name], Curve)
    assert curves[group.name].widths == (1, 3, 4)
    assert curves[group.name](4) == 0
    assert curves[group.name](1) == pytest.approx(trials.error({group.name: 1}))
    assert len(counted) == 2


def test_images_are_mixed_where_no_recipe_is_given(twins: ir.Model) -> None:
    assert recipe_for(twins).augment == ("mixup",)
    flat = network("g (float[N,6] x) => (float[N,5] y) <float[6,5] w> { y = MatMul (x, w) }")
    assert recipe_for(flat).augment == ()
    add_initializer(twins.graph, "unused", np.zeros(1, np.float32))
    twins.graph.inputs.append(ir.Value(name="second", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1])))
    assert recipe_for(twins).augment == ()


def test_answers_are_compared_with_those_of_the_whole(twins: ir.Model) -> None:
    judge = Judge(twins, samples_for(twins))
    assert judge.samples == 24
    assert judge.error(twins) == 0
