"""What may leave and what is refused, and that finding groups changes nothing."""

from __future__ import annotations

import re

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.coupling.couple import couple
from graphopt.coupling.mask import mask
from graphopt.coupling.shrink import shrink
from graphopt.errors import ModelError
from graphopt.ir.text.parser import parse_model
from tests.canonical import describe

TWO_LAYERS = """
g (float[N,3,4,4] x) => (float[N,2,4,4] y)
<float[4,3,1,1] w, float[4] b, float[2,4,1,1] v>
{ c = Conv (x, w, b)  r = Sigmoid (c)  y = Conv (r, v) }
"""


def array(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def test_finding_groups_changes_nothing() -> None:
    model = parse_model(TWO_LAYERS)
    before = ir.to_proto(model).SerializeToString()
    assert [group.name for group in couple(model).groups] == [group.name for group in couple(model).groups] == ["c"]
    assert ir.to_proto(model).SerializeToString() == before


def test_removing_nothing_changes_no_answer() -> None:
    model = parse_model(TWO_LAYERS)
    before = describe(model).text
    shrink(model, couple(model), {"c": []})
    assert describe(model).text == before


def test_the_coupling_of_a_model_serves_its_copies() -> None:
    model = parse_model(TWO_LAYERS)
    copy = model.clone()
    shrink(copy, couple(model), {"c": [1, 3]})
    assert array(copy, "w").tolist() == array(model, "w")[[0, 2]].tolist()
    assert array(model, "v").shape == (2, 4, 1, 1)


def test_masking_keeps_shapes_and_zeroes_what_is_summed() -> None:
    model = parse_model(TWO_LAYERS)
    original = array(model, "v").copy()
    mask(model, couple(model), {"c": [2]})
    masked = array(model, "v")
    assert (masked[:, 2] == 0).all()
    assert (masked[:, [0, 1, 3]] == original[:, [0, 1, 3]]).all()
    assert array(model, "w").shape == (4, 3, 1, 1)


def test_a_channel_that_is_masked_no_longer_matters() -> None:
    model, other = parse_model(TWO_LAYERS), parse_model(TWO_LAYERS)
    weight = array(other, "w").copy()
    weight[2] = 7
    other.graph.initializers["w"].const_value = ir.tensor(weight)
    feeds = random_feeds(model)
    answers = []
    for changed in (model, other):
        mask(changed, couple(changed), {"c": [2]})
        answers.append(evaluate(changed, feeds)["y"])
    assert (answers[0] == answers[1]).all()


def test_the_numbers_of_channels_are_those_of_the_first_value() -> None:
    (group,) = couple(parse_model(TWO_LAYERS)).groups
    assert [int(channel.places["c", 1][0]) for channel in group.channels] == [0, 1, 2, 3]
    assert set(group.channels[0].places) == {("w", 0), ("b", 0), ("c", 1), ("r", 1), ("v", 1)}


@pytest.mark.parametrize("change", [shrink, mask])
@pytest.mark.parametrize(
    ("removal", "words"),
    [
        ({"d": [0]}, "there is no group 'd' whose channels could leave this model; plan for this model"),
        ({"c": [4]}, "channel 4 cannot leave the group 'c', which has 4; plan for this model"),
        ({"c": [-1]}, "channel -1 cannot leave the group 'c', which has 4; plan for this model"),
    ],
)
def test_a_removal_for_another_model_is_refused(change, removal, words) -> None:
    model = parse_model(TWO_LAYERS)
    with pytest.raises(ModelError, match=re.escape(words)):
        change(model, couple(model), removal)


def test_something_must_stay() -> None:
    model = parse_model(TWO_LAYERS)
    with pytest.raises(ModelError, match="nothing would be left of axis 1 of 'c' of Conv"):
        shrink(model, couple(model), {"c": [0, 1, 2, 3]})
    assert array(model, "w").shape == (4, 3, 1, 1)


def test_a_model_that_contradicts_itself_is_refused() -> None:
    model = parse_model("g (float[2,3] x) => (float[2,5] y) <float[3,4] w> { y = MatMul (x, w) }")
    with pytest.raises(ModelError, match="its shapes or types do not fit together"):
        couple(model)
