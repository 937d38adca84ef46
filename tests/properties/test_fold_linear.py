"""Whatever arithmetic stands around linear operators, fold-linear keeps the answers, and is done after one run."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.ir.walk import nodes
from graphopt.numerics import differences
from graphopt.pipeline.context import Context
from graphopt.targets import parse_target
from passes.fold_linear import FoldLinear
from tests.properties.test_fold_batch_norm import Text, arithmetic, convolution, product

TOLERANCE = 2e-5


def vector(text: Text, draw: st.DrawFn) -> None:
    """Combine with a constant of any shape that keeps the value's, in either order."""
    rank = draw(st.integers(0, len(text.shape)))
    shape = [draw(st.sampled_from([1, dim])) for dim in text.shape[len(text.shape) - rank :]]
    operand = text.constant("var_c", *shape)
    form = draw(st.sampled_from(["Mul ({}, {c})", "Add ({c}, {})", "Sub ({}, {c})", "Sub ({c}, {})", "Div ({}, {c})"]))
    text.step(form.format(text.value, c=operand), text.shape)


def transposition(text: Text, draw: st.DrawFn) -> None:
    if len(text.shape) == 2:
        text.step(f"Transpose ({text.value})", text.shape[::-1])


def pointwise(text: Text, draw: st.DrawFn) -> None:
    if len(text.shape) < 3:
        return
    width = draw(st.integers(1, 6))
    inputs = [text.value, text.constant("w", width, text.shape[1], *[1] * (len(text.shape) - 2))]
    if draw(st.booleans()):
        inputs.append(text.constant("b", width))
    text.step(f"Conv ({', '.join(inputs)})", (text.shape[0], width, *text.shape[2:]))


def choice(text: Text, draw: st.DrawFn) -> None:
    channels = text.shape[1]
    orders = st.one_of(st.permutations(range(channels)), st.lists(st.integers(-channels, channels - 1), min_size=1))
    indices = draw(orders)
    name = f"i{len(text.constants)}"
    text.constants.append(f"int64[{len(indices)}] {name} = {{{', '.join(map(str, indices))}}}")
    text.step(f"Gather <axis = 1> ({text.value}, {name})", (text.shape[0], len(indices), *text.shape[2:]))


def flattening(text: Text, draw: st.DrawFn) -> None:
    if len(text.shape) > 2:
        perm = [0, *draw(st.permutations(range(1, len(text.shape))))]
        text.step(f"Transpose <perm = {perm}> ({text.value})", tuple(text.shape[axis] for axis in perm))
        text.step(f"Flatten ({text.value})", (text.shape[0], math.prod(text.shape[1:])))


@st.composite
def texts(draw: st.DrawFn) -> str:
    rank = draw(st.integers(2, 5))
    spatial = [draw(st.integers(1, 5)) for _ in range(rank - 2)]
    source = (draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 4])), *spatial)
    text = Text(source)
    linear = (convolution, pointwise) if rank > 2 else (product, transposition)
    parts = [*linear, product, arithmetic, vector, choice, flattening]
    for part in draw(st.lists(st.sampled_from(parts), min_size=2, max_size=7)):
        part(text, draw)
    return text.model(source)


def fold(text: str, seed: int) -> float:
    """Fold; return how far the answers moved."""
    model = parse_model(text, seed=seed)
    infer_shapes(model)
    feeds = random_feeds(model, seed=seed)
    before, count = evaluate(model, feeds), sum(1 for _ in nodes(model))
    context = Context(parse_target("cpu"))
    changes = FoldLinear().run(model, context)
    verify(model, types=True)
    assert FoldLinear().run(model, context) == 0
    # Only the factors of a Gemm go without a node.
    assert not changes or "alpha" in text or sum(1 for _ in nodes(model)) < count
    return differences(before, evaluate(model, feeds))[0].error


@settings(max_examples=120, deadline=None, derandomize=True)
@given(texts(), st.integers(0, 9))
def test_keeps_the_answers(text: str, seed: int) -> None:
    assert fold(text, seed) <= TOLERANCE, text
