"""Other batches and sizes: a batch answers what its samples do, and what cannot is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

import graphopt
from graphopt.backends.ort.session import Session
from graphopt.cli.main import build_app
from graphopt.errors import ModelError
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from tests.shared_models import SHARED_MODELS

NETWORK = """
g (float[1,3,8,8] x) => (float[1,5] y)
<
    float[4,3,3,3] w, float[256,6] m, float[6,5] u,
    int64[2] flat = {1, 256}, int64[3] split = {1, 2, 3}, int64[2] joined = {1, -1}
>
{
    c = Conv <pads = [1,1,1,1]> (x, w)
    r = Reshape (c, flat)
    h = MatMul (r, m)
    s = Reshape (h, split)
    n = Neg (s)
    j = Reshape (n, joined)
    y = MatMul (j, u)
}
"""
CONVOLUTIONS = """
g (float[1,3,8,8] x) => (float[1,4,4,4] y)
<float[4,3,3,3] w>
{ c = Conv <pads = [1,1,1,1]> (x, w)  y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (c) }
"""


def dims(model: ir.Model) -> list[str]:
    return [str(value.shape) for value in (*model.graph.inputs, *model.graph.outputs)]


def run(model: ir.Model, **feeds: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(ir.to_proto(model))
    return next(iter(Session(ir.to_proto(model).SerializeToString(), optimize=False).run(feeds).values()))


@pytest.mark.parametrize(("batch", "shape"), [("N", "N"), (4, "4")])
def test_a_batch_answers_what_its_samples_answer(batch: int | str, shape: str) -> None:
    model = parse_model(NETWORK)
    batched = graphopt.rebatch(model, batch)
    verify(batched, types=True)
    assert dims(batched) == [f"[{shape},3,8,8]", f"[{shape},5]"]
    assert dims(model) == ["[1,3,8,8]", "[1,5]"]
    x = np.random.default_rng(5).standard_normal((4, 3, 8, 8)).astype(np.float32)
    single = np.concatenate([run(model, x=x[index : index + 1]) for index in range(4)])
    np.testing.assert_allclose(run(batched, x=x), single, atol=1e-4 * np.abs(single).max())


def test_a_batch_of_two_becomes_any() -> None:
    text = "g (float[2,6] x) => (float[2,2,3] y) <int64[3] t = {2, 2, 3}> { y = Reshape (x, t) }"
    batched = graphopt.rebatch(parse_model(text))
    assert dims(batched) == ["[N,6]", "[N,2,3]"]
    assert run(batched, x=np.ones((5, 6), np.float32)).shape == (5, 2, 3)


def test_height_and_width_become_free_or_others() -> None:
    model = parse_model(CONVOLUTIONS)
    assert dims(graphopt.reshape(model, {"x": ["N", 3, "h", "w"]}))[0] == "[N,3,h,w]"
    larger = graphopt.reshape(model, {"x": [1, 3, 16, 24]})
    assert dims(larger) == ["[1,3,16,24]", "[1,4,8,12]"]
    assert run(larger, x=np.ones((1, 3, 16, 24), np.float32)).shape == (1, 4, 8, 12)


def test_free_dimensions_are_bound_and_renamed() -> None:
    model = parse_model(CONVOLUTIONS.replace("[1,3,8,8] x", "[N,3,8,8] x").replace("[1,4,4,4] y", "[N,4,4,4] y"))
    assert dims(graphopt.reshape(model, {"x": ["B", None, None, None]})) == ["[B,3,8,8]", "[B,4,4,4]"]
    assert dims(graphopt.reshape(model, {"x": [2, None, None, None]})) == ["[2,3,8,8]", "[2,4,4,4]"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("g (float[1,4] x) => (float[1,4] y) { y = Softmax <axis = 0> (x) }", "node Softmax (-> y) answers a batch"),
        (
            "g (float[1,4] x) => (float[1,4] y) { n = Neg (x)  c = CumSum (n, a)  y = Relu (c) }".replace(
                "{ n", "<int64 a = {0}> { n"
            ),
            "node CumSum (-> c) answers a batch of 3",
        ),
        (
            "g (float[1,2,3] x) => (float[2,3] y) <int64[2] t = {2, 3}> { y = Reshape (x, t) }",
            "node Reshape (-> y) makes the fixed shape [2, 3]",
        ),
        (
            "g (float[3,1,4] x, float[1,2] z) => (float[3,1,4] y) { y = Neg (x)  u = Neg (z) }",
            "the first axes of the inputs would go from",
        ),
        (
            "g (float[1,2,4] x) => (float[1,2,4] y) <float[1,2,4] w, float[1,2,4] c> { n = Add (x, w)  "
            "y = Concat <axis = 1> (n, c) }".replace("float[1,2,4] y", "float[1,4,4] y"),
            "does not run at another batch",
        ),
    ],
)  # fmt: skip
def test_samples_that_touch_each_other_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        graphopt.rebatch(parse_model(text))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sizes_held_by_a_literal_are_refused() -> None:
    with pytest.raises(ModelError, match="holds the old size|does not run at other sizes"):
        graphopt.reshape(parse_model(NETWORK), {"x": [1, 3, "h", "w"]})
    with pytest.raises(ModelError, match="rank"):
        graphopt.reshape(parse_model(NETWORK), {"x": [1, 3]})
    with pytest.raises(ModelError, match="names no dimension"):
        graphopt.reshape(parse_model(NETWORK), {"x": ["a b", 3, 8, 8]})
    with pytest.raises(ModelError, match="dimension of size -1"):
        graphopt.reshape(parse_model(NETWORK), {"x": [-1, 3, 8, 8]})
    with pytest.raises(ModelError, match="no input 'z'"):
        graphopt.reshape(parse_model(NETWORK), {"z": [1, 3]})


def test_a_trained_network_whose_batch_was_fixed() -> None:
    mnist = next(model for model in SHARED_MODELS if model.name == "mnist_conv")
    if not mnist.path.exists():
        pytest.skip("the shared models are not here")
    batched = graphopt.rebatch(mnist.path)
    assert dims(batched) == ["[N,1,28,28]", "[N,10]"]
    samples = [x for x, _ in zip((x for x, _ in mnist.samples()), range(8), strict=False)]
    single = np.concatenate([run(load(mnist.path), Input3=x) for x in samples])
    np.testing.assert_allclose(run(batched, Input3=np.concatenate(samples)), single, atol=1e-4 * np.abs(single).max())


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(parse_model(NETWORK), "m.onnx")
    call = CliRunner().invoke
    done = call(build_app(), ["reshape", "m.onnx", "-o", "b.onnx", "--batch", "N"])
    assert (done.exit_code, done.stdout) == (0, "b.onnx: written, takes x: [N,3,8,8]\n"), done.stderr
    for arguments, code in (
        ([], 2),
        (["--batch", "-1"], 2),
        (["--batch", "2", "--input-shape", "x:1,3,8,8"], 2),
        (["--input-shape", "x:1,3,h,w"], 3),
        (["--input-shape", "z:1"], 3),
    ):
        failed = call(build_app(), ["reshape", "m.onnx", "-o", "q.onnx", *arguments])
        assert (failed.exit_code, failed.stdout) == (code, ""), arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.onnx", "m.onnx"]
