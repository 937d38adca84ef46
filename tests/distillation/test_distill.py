"""Training: what is learnt, what is kept, and what can be gone on with."""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from graphopt.calibration.source import open_samples
from graphopt.distillation.checkpoint_file import CheckpointFile
from graphopt.distillation.constraints import Codebook, Frozen, Mask
from graphopt.distillation.distill import Distilled, distill
from graphopt.distillation.recipe import Recipe, parse_recipe
from graphopt.distillation.training import interrupt
from graphopt.errors import CalibrationError, ModelError, TargetError, TrainingError
from graphopt.inspect.fidelity import compare
from tests.distillation.students import QUICK, images, samples, student, teacher, weights
from tests.networks import network


def train(model: ir.Model, recipe: Recipe = QUICK, **options: object) -> Distilled:
    return distill(teacher(), model, samples(model), recipe, threads=1, **options)


def equal(one: ir.Model, other: ir.Model) -> bool:
    return all(np.array_equal(array, weights(other)[name]) for name, array in weights(one).items())


def error(model: ir.Model) -> float:
    found = compare(teacher(), model, samples(model), threads=1)
    assert found is not None
    return found.error


@pytest.mark.parametrize(
    "text",
    [
        "distill{epochs=4 batch=8 rate=0.05}",
        "distill{epochs=4 batch=8 rate=0.05 nesterov=false loss=mse}",
        "distill{epochs=4 batch=8 optimizer=adam rate=0.05 average=0.9}",
        "distill{epochs=4 batch=8 optimizer=adamw rate=0.05 features=a,p augment=flip}",
    ],
)
def test_the_student_comes_nearer(text: str):
    model = student()
    result = train(model, parse_recipe(text))
    first, best = result.history.epochs[0], result.history.epochs[result.history.best]
    assert (best.held_out_loss or 0.0) < 0.5 * (first.held_out_loss or 0.0)
    assert error(result.model) < error(model)
    assert result.history.recipe == text
    assert equal(model, student())


def test_the_best_epoch_is_kept_and_none_is_worse_than_nothing():
    epochs = train(teacher(), replace(QUICK, rate=3.0, clip=0.0)).history
    assert epochs.best == 0
    assert epochs.epochs[0].agreement == 1


def test_labels_teach_alone_and_with_a_teacher():
    x = images()
    labels = (x.mean((1, 2, 3)) > 0).astype(np.int64) + (x[:, 0].mean((1, 2)) > 0)
    recipe = replace(QUICK, epochs=20, optimizer="adam", rate=0.02, labels=1.0)
    for master in (None, teacher()):
        model = student()
        history = distill(master, model, samples(model), recipe, labels=labels, threads=1).history
        losses = [epoch.held_out_loss or 0.0 for epoch in history.epochs]
        assert min(losses) < losses[0]


def test_equal_seeds_give_equal_weights():
    recipe = replace(QUICK, augment=("flip", "crop:1", "rotate", "translate", "colour", "mixup"))
    first, again, other = (train(student(), one).model for one in (recipe, recipe, replace(recipe, seed=1)))
    assert equal(first, again)
    assert not equal(first, other)


@pytest.mark.parametrize("steps", [2, 7])
@pytest.mark.parametrize(
    "text", ["distill{epochs=4 batch=8 average=0.9 optimizer=adam}", "distill{epochs=4 batch=8 augment=crop:1}"]
)
def test_gone_on_with_is_as_if_never_interrupted(tmp_path: Path, text: str, steps: int):
    recipe, path = parse_recipe(text), tmp_path / "training.pt"

    def interrupt(_step: str, done: int, _total: int | None) -> None:
        if done == steps:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(student(), recipe, checkpoint=CheckpointFile(path), on_progress=interrupt)
    resumed = train(student(), recipe, checkpoint=CheckpointFile(path, resume=True))
    whole = train(student(), recipe)
    assert equal(resumed.model, whole.model)
    assert resumed.history.epochs == whole.history.epochs


def test_checkpoints_of_other_trainings_are_refused(tmp_path: Path):
    path = tmp_path / "training.pt"
    with pytest.raises(TrainingError, match="there is no checkpoint .* to go on from"):
        train(student(), checkpoint=CheckpointFile(path, resume=True))
    train(student(), checkpoint=CheckpointFile(path))
    kept = CheckpointFile(path, resume=True)
    with pytest.raises(TrainingError, match=re.escape("is of another recipe (distill{epochs=4 ")):
        train(student(), replace(QUICK, epochs=5), checkpoint=kept)
    with pytest.raises(TrainingError, match="is of another student; go on with what it was made with"):
        train(student(noise=2.0), checkpoint=kept)
    with pytest.raises(TrainingError, match="is of another data"):
        model = student()
        distill(teacher(), model, samples(model, 41), QUICK, checkpoint=kept, threads=1)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match="is no checkpoint; give the file that a training wrote"):
        train(student(), checkpoint=kept)


def test_patience_ends_a_training_that_gets_no_better():
    history = train(teacher(), replace(QUICK, epochs=50, patience=2, rate=1.0)).history
    assert history.epochs[-1].number - history.best == 2


def test_constraints_hold():
    model, rng = student(), np.random.default_rng(0)
    kept = rng.random((4, 2, 3, 3)) < 0.5
    indices = rng.integers(0, 3, (3, 4))
    before = weights(model)
    after = weights(train(model, constraints={"w": Mask(kept), "v": Codebook(indices), "b": Frozen()}).model)
    assert not after["w"][~kept].any()
    assert after["w"][kept].all()
    assert all(len(np.unique(after["v"][indices == number])) == 1 for number in range(3))
    assert np.array_equal(after["b"], before["b"])
    assert not np.array_equal(after["c"], before["c"])


def test_constraints_that_fit_nothing_are_refused():
    with pytest.raises(ModelError, match="there is no initializer 'u' to constrain"):
        train(student(), constraints={"u": Frozen()})
    with pytest.raises(ModelError, match=re.escape("of initializer 'v' has shape (2, 2) instead of (3, 4)")):
        train(student(), constraints={"v": Mask(np.ones((2, 2), np.bool_))})


def test_a_loss_that_is_not_finite_ends_it():
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) in step \d+ \(epoch \d+\) at the rate .*; lower it"
    ):
        train(student(), replace(QUICK, epochs=30, rate=1e12, clip=0.0, warm_up=0.0, loss="mse"))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros(39, np.int64), "there are 39 labels for 40 samples; give one for each"),
        (np.zeros(40, np.float32), "labels are whole numbers, and these are float32"),
        (np.full(40, 3), "label 3 is none of the 3 classes of the model"),
        (np.full(40, -1), "label -1 is none of the 3 classes"),
    ],
)
def test_labels_that_fit_nothing_are_refused(labels: np.ndarray, sentence: str):
    with pytest.raises(CalibrationError, match=sentence):
        train(student(), labels=labels)


def test_models_that_fit_nothing_are_refused():
    other = network("g (float[N,4] x) => (float[N,3] z) <float[4,3] w> { z = MatMul (x, w) }")
    with pytest.raises(ModelError, match="the teacher has the outputs y: float32.*, and the student z: float32"):
        distill(teacher(), other, open_samples({"x": np.zeros((40, 4), np.float32)}, other), QUICK)
    fixed = network("g (float[N,4] x) => (float[N,4] y) { y = Relu (x) }")
    with pytest.raises(TrainingError, match="has no weights that can change"):
        distill(fixed, fixed, open_samples({"x": np.zeros((40, 4), np.float32)}, fixed), QUICK)
    strange = network("""
        g (float[N,4] x) => (float[N,4] y) <float[4,4] w>
        { h = Hardmax (x) k = Hardmax (h) t = Det (w) y = Mul (k, t) }
    """)
    with pytest.raises(ModelError, match=re.escape("these have no gradient here: Det, Hardmax (2 ×); simplify it")):
        distill(strange, strange, open_samples({"x": np.zeros((40, 4), np.float32)}, strange), QUICK)


def test_samples_of_several_sizes_are_refused():
    model = network("""
        g (float[N,2,H,W] x) => (float[N,3] y) <float[3,2] w>
        { p = GlobalAveragePool (x) f = Flatten (p) y = Gemm <transB = 1> (f, w) }
    """)
    mixed = [{"x": np.zeros((2, size, size), np.float32)} for size in (4, 5)]
    with pytest.raises(
        CalibrationError,
        match=re.escape("input 'x' is [2, 4, 4] in sample 0 and [2, 5, 5] in sample 1; training takes"),
    ):
        distill(model, model, open_samples(mixed, model), QUICK)


def test_augmentation_is_for_images():
    model = network("g (float[N,4] x) => (float[N,3] y) <float[4,3] w> { y = MatMul (x, w) }")
    data = open_samples({"x": np.zeros((40, 4), np.float32)}, model)
    with pytest.raises(TrainingError, match=re.escape("augment=flip changes images [N, C, H, W]")):
        distill(model, model, data, replace(QUICK, augment=("flip",)))
    pair = network("""
        g (float[N,1,2,2] x, float[N,1,2,2] z) => (float[N,1,2,2] y) <float[1,1,1,1] w>
        { s = Add (x, z) y = Conv (s, w) }
    """)
    with pytest.raises(TrainingError, match="takes nothing else, and this one has 2 inputs; leave augment out"):
        both = open_samples(dict.fromkeys("xz", np.zeros((40, 1, 2, 2), np.float32)), pair)
        distill(pair, pair, both, replace(QUICK, augment=("crop",)))
    with pytest.raises(TrainingError, match="mixup needs a teacher"):
        distill(None, student(), samples(student()), replace(QUICK, augment=("mixup",)), labels=np.zeros(40, np.int64))


def test_features_that_fit_nothing_are_refused():
    with pytest.raises(ModelError, match="the teacher has no value 'u' to compare; name values of both models"):
        train(student(), replace(QUICK, features=("u",)))
    wide = network("""
        g (float[N,2,6,6] x) => (float[N,3] y) <float[5,2,3,3] w, float[3,5] v>
        { a = Conv (x, w) p = GlobalAveragePool (a) f = Flatten (p) y = Gemm <transB = 1> (f, v) }
    """)
    with pytest.raises(ModelError, match=re.escape("value 'a' is [8, 4, 6, 6] in the teacher and [8, 5, 4, 4] in the")):
        train(wide, replace(QUICK, features=("a",), held_out=0.0))


def test_logits_are_learnt_where_the_output_is_a_softmax():
    text = "g (float[N,4] x) => (float[N,3] y) <float[4,3] w> { s = MatMul (x, w) y = Softmax (s) }"
    master, model = network(text), network(text, seed=1)
    data = open_samples({"x": np.random.default_rng(0).standard_normal((64, 4), np.float32)}, model)
    result = distill(master, model, data, replace(QUICK, epochs=40), threads=1)
    np.testing.assert_allclose(
        *(w - w.mean(1, keepdims=True) for w in (weights(result.model)["w"], weights(master)["w"])), atol=0.1
    )


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphopt.distillation.engine.find_spec", lambda _name: None)
    with pytest.raises(TargetError, match=re.escape("run: pip install 'graphopt[distill]'")):
        train(student())


def test_one_interrupt_may_come_twice_and_a_second_one_ends_at_once(monkeypatch: pytest.MonkeyPatch):
    with interrupt.deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        monkeypatch.setattr(interrupt, "APART", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
