"""Whatever is padded before whatever window, fold-pad keeps the answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.pipeline.context import Context
from graphopt.targets import parse_target
from passes.fold_pad import FoldPad

TOLERANCE = 1e-5
LOWEST = "-inf"


def numbers(values: list[int]) -> str:
    return ", ".join(map(str, values))


@st.composite
def windows(draw: st.DrawFn) -> str:
    """Write a model: an operator that may be non-negative, one Pad or two, and a window over one to three axes."""
    rank = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    spatial = [draw(st.integers(4, 6)) for _ in range(rank)]
    own = [draw(st.integers(0, min(1, size - 1))) for size in kernel] * 2
    pads = [
        [0, 0, *[draw(st.integers(0, 2)) for _ in range(rank)], 0, 0, *[draw(st.integers(0, 2)) for _ in range(rank)]]
        for _ in range(draw(st.integers(1, 2)))
    ]
    shared = f"strides={[draw(st.integers(1, 2)) for _ in range(rank)]}, pads={own if draw(st.booleans()) else []}"
    shared = shared.replace(", pads=[]", "")
    window = draw(st.sampled_from(["Conv", "AveragePool", "MaxPool"]))
    ceil, counts = draw(st.booleans()), draw(st.booleans())
    attributes = {
        "Conv": shared,
        "AveragePool": f"{shared}, kernel_shape={kernel}, ceil_mode={int(ceil)}, count_include_pad={int(counts)}",
        "MaxPool": f"{shared}, kernel_shape={kernel}, ceil_mode={int(ceil)}",
    }[window]
    value = draw(st.sampled_from(["0", "0", LOWEST, "1"]))
    lines = [f"v0 = {draw(st.sampled_from(['Relu', 'Neg']))} (x)"]
    lines += [f"v{index + 1} = Pad (v{index}, p{index}, value)" for index in range(len(pads))]
    weight = f", float[2, 2, {numbers(kernel)}] w" if window == "Conv" else ""
    lines.append(f"y = {window} <{attributes}> (v{len(pads)}{', w' if weight else ''})")
    constants = ", ".join(f"int64[{len(pad)}] p{index} = {{{numbers(pad)}}}" for index, pad in enumerate(pads))
    result = ", ".join("?" for _ in range(rank))
    return (
        f"g (float[1, 2, {numbers(spatial)}] x) => (float[1, 2, {result}] y)\n"
        f"<{constants}, float value = {{{value}}}{weight}>\n{{ {' '.join(lines)} }}"
    )


@settings(max_examples=120, deadline=None, derandomize=True)
@given(windows(), st.integers(0, 9))
def test_keeps_the_answers(text: str, seed: int) -> None:
    model = parse_model(text, seed=seed)
    infer_shapes(model)
    feeds = random_feeds(model, seed=seed)
    before = evaluate(model, feeds)
    context = Context(parse_target("cpu"))
    FoldPad().run(model, context)
    verify(model, types=True)
    assert FoldPad().run(model, context) == 0
    assert differences(before, evaluate(model, feeds))[0].error <= TOLERANCE, text
