"""A training in several processes comes to what one comes to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import graphopt
from graphopt.distillation.answers import answers
from graphopt.distillation.bridge.network import Network
from graphopt.distillation.distill import distill
from graphopt.distillation.recipe import Recipe, parse_recipe
from graphopt.distillation.training import team
from graphopt.distillation.training.dataset import Dataset
from graphopt.distillation.training.lesson import WHOLE, Lesson, Part
from graphopt.distillation.training.loss import Loss
from graphopt.distillation.training.teacher import Teacher
from graphopt.errors import TrainingError
from graphopt.ir.load import load
from graphopt.ir.save import save
from tests.distillation.students import images, samples, student, teacher, weights
from tests.networks import network

RECIPE = "distill{epochs=4 batch=7 rate=0.05 augment=flip,mixup held-out=0.25}"
MAPS = "g (float[N,2,6,6] x) => (float[N,4,6,6] y) <float[4,2,3,3] w> { y = Conv <pads = [1,1,1,1]> (x, w) }"
DROPS = "g (float[N,4] x) => (float[N,4] z) <float[4,4] w> { y = MatMul (x, w) z = Dropout (y) }"


def lesson(recipe: Recipe, labels: list[int] | None, part: Part = WHOLE) -> Lesson:
    master, learner = teacher(), student()
    loss = Loss(recipe, answers(master, learner))
    data = Dataset.read(samples(learner), labels)
    return Lesson(Network(learner), recipe, loss, Teacher(master, loss.teacher_values, 1), data, part)


@pytest.mark.parametrize(
    "text", [RECIPE, "distill{batch=64 loss=mse augment=none}", "distill{batch=16 augment=crop:2}"]
)
@pytest.mark.parametrize("parts", [2, 3, 7])
def test_gradients_of_parts_add_up(text: str, parts: int):
    found = []
    for cuts in ([WHOLE], [Part(number, parts) for number in range(parts)]):
        each = [lesson(parse_recipe(text), [index % 3 for index in range(40)], part) for part in cuts]
        state = each[0].network.initial()
        value = sum(one.backward(state, 1) for one in each)
        found.append((value, {name: tensor.grad.numpy() for name, tensor in state.free.items()}))
    (whole, expected), (added, gradients) = found
    assert added == pytest.approx(whole, rel=1e-5)
    for name, gradient in gradients.items():
        assert np.allclose(gradient, expected[name], rtol=1e-4, atol=1e-6 * np.abs(expected[name]).max())


def test_two_processes_train_as_one(tmp_path: Path):
    save(teacher(), tmp_path / "teacher.onnx")
    save(student(), tmp_path / "student.onnx")
    np.savez(tmp_path / "samples.npz", x=images())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "graphopt", "distill", "teacher.onnx", "student.onnx", "-o", "out.onnx", "--data", "samples.npz"]
    options = ["--recipe", RECIPE, "--threads", "1", "--workers", "2", "--checkpoint", "training.pt"]
    done = subprocess.run([*launch, *command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("out.onnx: written") == 2
    one, report = graphopt.distill(teacher(), student(), {"x": images()}, RECIPE, threads=1)
    together = weights(load(tmp_path / "out.onnx"))
    assert report.history.best > 0
    for name, array in weights(one).items():
        assert np.allclose(together[name], array, rtol=1e-4, atol=1e-5), name
    assert torch.load(tmp_path / "training.pt", weights_only=True)["steps"] == report.history.steps


def test_workers_that_nobody_started():
    with pytest.raises(TrainingError, match="2 workers are asked for, .* that were started are 1; torchrun"):
        graphopt.distill(teacher(), student(), {"x": images()}, RECIPE, workers=2)


def test_what_cannot_be_parted():
    with pytest.raises(TrainingError, match="batch-norm=batch is about whole batches"):
        distill(teacher(), student(), samples(student()), Recipe(batch_norm="batch"), workers=2)
    with pytest.raises(TrainingError, match="node Dropout .* drops numbers at random in a whole batch"):
        distill(network(DROPS), network(DROPS), samples(student()), workers=2)
    maps = network(MAPS)
    loss = Loss(Recipe(), answers(maps, maps))
    made = {"y": torch.zeros(2, 4, 6, 6)}
    with pytest.raises(TrainingError, match="'y' holds no scores of classes, and is compared over whole batches"):
        loss.check_adds_up(made)


def test_workers_of_different_data(monkeypatch: pytest.MonkeyPatch):
    mine = {"recipe": "distill", "data": "0"}

    def gather(found: list[dict[str, str]], identity: dict[str, str]) -> None:
        found[:] = [identity, identity | {"data": "1"}]

    monkeypatch.setattr(team.distributed, "all_gather_object", gather)
    work = team.Team(lesson(parse_recipe(RECIPE), None, Part(0, 2)))
    with pytest.raises(TrainingError, match="worker 1 has another data than worker 0; give all of them the same"):
        work.check_alike(mine)


def test_a_worker_that_goes_away(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(team.distributed, "broadcast", broken)
    work = team.Team(lesson(parse_recipe(RECIPE), None, Part(0, 2)))
    state = work.lesson.network.initial()
    with pytest.raises(TrainingError, match="another worker of the training went away"):
        work.train(lambda: work.backward(state, 0), state)
