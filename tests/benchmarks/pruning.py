"""What pruning does to answers, files and time: python -m tests.benchmarks.pruning TABLE [NAME …] [--threads N].

The tables, of Markdown, a row as soon as it is measured; shared networks and data have to be there for all but
`structure`, which takes the networks that `models` builds too:

    cifar      ResNet-20 with 40 % and 50 % fewer multiply-adds, chosen and distilled without labels
    compact    MobileNetV2 and EfficientNet-Lite0 with 10 % fewer, in closed form and distilled
    compose    ResNet-20 with 30 % fewer, distilled, and in int8 then, beside either alone
    structure  every network with 30 % fewer, without data: whether what is smaller answers as what is masked does,
               beside what a unit in the last place of its input does to the answers

What is chosen and fitted sees the calibration part of the data alone, accuracies are of the other part. Times are those
of our own programs, of batch 1, in turns with that of the network as it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.compiler.latency import latencies
from graphopt.compiler.optimize import optimize
from graphopt.coupling.couple import couple
from graphopt.coupling.mask import mask
from graphopt.errors import GraphoptError
from graphopt.inspect.accuracy import accuracy
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.ir.shapes import infer_shapes
from graphopt.ir.verify import verify
from graphopt.numerics import differences, one_unit_away
from graphopt.pruning.width import vector_width
from graphopt.targets import Target, host
from models import TOPOLOGIES
from tests.benchmarks.names import calibrated, chosen, opened
from tests.shared_models import SHARED_MODELS, Sample, SharedModel, spread

RECIPE = "distill{epochs=100 rate=0.01 augment=flip,crop:4,rotate:15,colour:0.2,mixup}"
COMPACT = "distill{epochs=20 batch=32 rate=0.005 augment=flip,crop:16,mixup}"
QUANTIZED = 200
"""Samples that a network is quantized on."""

COUNTED = {"ppocr_v4_det": (1, 3, 640, 640), "ppocr_v2_cls": (1, 3, 48, 192)}
"""The shapes of inputs that leave more than the batch free."""


def main() -> None:
    """Write a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--threads", type=int, default=host().cores)
    arguments = parser.parse_intermixed_args()
    for line in TABLES[arguments.table](arguments.names, arguments.threads):
        sys.stdout.write(f"| {' | '.join(line)} |\n")
        sys.stdout.flush()


@dataclass(frozen=True)
class Trained:
    """A trained classifier, with what to choose by and what to judge by.

    Attributes:
        model: as it was trained.
        data: feeds for calibration.
        threads: of everything that runs.

    """

    shared: SharedModel
    model: ir.Model
    data: list[dict[str, np.ndarray]]
    threads: int

    @staticmethod
    def of(name: str, threads: int) -> Trained:
        """Open a network of the shared folder."""
        shared = opened(name)
        assert shared.calibration is not None
        model = load(shared.path)
        return Trained(shared, model, feeds(model, shared.calibration()), threads)

    @property
    def target(self) -> Target:
        """This machine, with so many threads."""
        return replace(host(), cores=self.threads)

    def accuracy(self, model: ir.Model) -> float:
        """Return how often a model is right on the other part of the data."""
        samples = list(self.shared.samples())
        labels = np.array([label for _, label in samples], np.int64)
        return accuracy(model, feeds(self.model, iter(samples)), labels, threads=self.threads)

    def cells(self, model: ir.Model) -> tuple[str, ...]:
        """Return what a model is right in, what its file weighs, and what it takes of the time of the original."""
        right = self.accuracy(model), self.accuracy(self.model)
        size, whole = bytes_of(model), bytes_of(self.model)
        before, after = latencies([self.model, model], self.target)
        return (
            f"{right[0]:.2%}",
            f"{100 * (right[0] - right[1]):+.2f}",
            f"{size / 1e3:.0f} kB",
            f"{whole / size:.2f}",
            f"{after.median:.3f}",
            f"{before.median / after.median:.2f}",
        )


ANSWERS = "top-1", "points", "file", "× smaller", "ms", "× as fast"


def feeds(model: ir.Model, samples: Iterator[Sample]) -> list[dict[str, np.ndarray]]:
    """Return inputs of batch 1 by the model's name for them."""
    name = str(model.graph.inputs[0].name)
    return [{name: x} for x, _ in samples]


def bytes_of(model: ir.Model) -> int:
    """Return the size of the model's file, as it is shipped: without notes on which rewrites made a node."""
    shipped, _ = optimize(model, "strip-provenance")
    with TemporaryDirectory() as folder:
        save(shipped, Path(folder) / "model.onnx")
        return (Path(folder) / "model.onnx").stat().st_size


def cifar(requests: list[str], threads: int) -> Iterator[tuple[str, ...]]:
    """Yield a row for each share of the multiply-adds that is to stay, as in `60%` or, in multiples of 16, `60%/16`."""
    net = Trained.of("cifar_resnet20", threads)
    yield "ResNet-20, CIFAR-10", "multiples of", "MACs", *ANSWERS, "minutes"
    yield ("---",) * 10
    yield "as trained", "", "100%", *net.cells(net.model), ""
    vector = vector_width(net.target)
    for request in requests or ("60%", f"60%/{vector}", "50%"):
        share, _, multiple = request.partition("/")
        start = time.perf_counter()
        model, report = graphopt.prune(
            net.model,
            net.data,
            macs=share,
            multiple=int(multiple) if multiple else None,
            recover="distill",
            recipe=RECIPE,
            target=net.target,
            threads=threads,
        )
        minutes = (time.perf_counter() - start) / 60
        left = f"{report.after.macs / report.before.macs:.1%}"
        yield share, str(report.snap), left, *net.cells(model), f"{minutes:.1f}"


def compact(names: list[str], threads: int) -> Iterator[tuple[str, ...]]:
    """Yield rows for each network: 10 % fewer multiply-adds, recovered in closed form, and distilled as well."""
    wanted = chosen(names or ("mobilenet_v2", "efficientnet_lite0"), calibrated())
    yield "network", "recovery", "MACs", *ANSWERS, "minutes"
    yield ("---",) * 10
    for name in wanted:
        net = Trained.of(name, threads)
        yield name, "as trained", "100%", *net.cells(net.model), ""
        for recovery in ("least-squares", "distill"):
            start = time.perf_counter()
            model, report = graphopt.prune(
                net.model, net.data, macs="-10%", recover=recovery, recipe=COMPACT, target=net.target, threads=threads
            )
            minutes = (time.perf_counter() - start) / 60
            share = f"{report.after.macs / report.before.macs:.1%}"
            yield name, recovery, share, *net.cells(model), f"{minutes:.1f}"


def compose(_: list[str], threads: int) -> Iterator[tuple[str, ...]]:
    """Yield a row for what each step makes of ResNet-20, alone and after the other."""
    net = Trained.of("cifar_resnet20", threads)
    yield "ResNet-20, CIFAR-10", *ANSWERS
    yield ("---",) * 7
    yield "as trained", *net.cells(net.model)
    yield (
        "int8",
        *net.cells(graphopt.quantize(net.model, spread(net.data, QUANTIZED), threads=threads).model),
    )
    pruned = graphopt.prune(
        net.model, net.data, macs="-30%", recover="distill", recipe=RECIPE, target=net.target, threads=threads
    ).model
    yield "-30 % MACs, distilled", *net.cells(pruned)
    yield (
        "that in int8",
        *net.cells(graphopt.quantize(pruned, spread(net.data, QUANTIZED), threads=threads).model),
    )


def structure(names: list[str], threads: int) -> Iterator[tuple[str, ...]]:
    """Yield a row for each network."""
    shared = {one.name: one.path for one in SHARED_MODELS if one.path.exists()}
    wanted = chosen(names, [*TOPOLOGIES, *(f"{one} (trained)" for one in shared), "digits (trained)"])
    yield "network", "groups", "multiples of", "MACs", "smaller = masked", "one unit of input", "seconds", "remark"
    yield ("---",) * 8
    for name in wanted:
        plain = name.removesuffix(" (trained)")
        if name == "digits (trained)":
            model = load(Path(__file__).parents[2] / "models" / "digits" / "digits.onnx")
        else:
            model = load(shared[plain]) if name != plain else load(TOPOLOGIES[name]())
        yield name, *_structure(model, COUNTED.get(plain), threads)


def _structure(model: ir.Model, shape: tuple[int, ...] | None, threads: int) -> tuple[str, ...]:
    """Prune a network without data, and compare it with itself masked, on seeded random inputs."""
    shapes = None if shape is None else {str(model.graph.inputs[0].name): shape}
    start = time.perf_counter()
    try:
        smaller, report = graphopt.prune(model, macs="-30%", shapes=shapes, threads=threads)
    except GraphoptError as error:
        return "", "", "", "", "", f"{time.perf_counter() - start:.1f}", str(error)
    seconds = time.perf_counter() - start
    verify(smaller)
    masked, _ = optimize(model)
    infer_shapes(masked)
    coupling = couple(masked)
    mask(masked, coupling, report.plan.removal)
    given = random_feeds(model, shapes=shapes)
    made = [evaluate(one, given, threads=threads) for one in (smaller, masked)]
    moved = evaluate(masked, one_unit_away(given, 0), threads=threads)
    assert all(
        (report.plan.channels[name] - len(numbers)) % report.snap.of(report.plan.channels[name]) == 0
        for name, numbers in report.plan.removal.items()
    )
    return (
        str(len(coupling.groups)),
        str(report.snap),
        f"{report.after.macs / report.before.macs:.1%}",
        f"{max(found.error for found in differences(*made)):.1e}",
        f"{max(found.error for found in differences(made[1], moved)):.1e}",
        f"{seconds:.1f}",
        "; ".join(report.notes),
    )


TABLES = {"cifar": cifar, "compact": compact, "compose": compose, "structure": structure}

if __name__ == "__main__":
    main()
