"""Time and memory of calibration on the shared networks: python -m tests.benchmarks.calibration.

Each row is a process of its own: all inputs and outputs of convolutions and of products with a matrix get histograms,
and in the second half of the table their layers Gram matrices too. Memory is the peak of the process, imports and all.
The rows of ResNet-20 show that memory does not depend on the number of samples, which are read from one file.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import graphopt
from graphopt.calibration.collect import collect
from graphopt.calibration.preprocessing import parse_preprocessing
from graphopt.calibration.source import open_samples
from graphopt.ir.walk import is_op
from tests.benchmarks.names import calibrated, chosen
from tests.shared_models import SHARED

IMAGENET = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
PREPROCESSING = {
    "efficientnet_lite0": "preprocess{crop=224 scale=1/255 mean=0.5 std=0.5}",
    "mobilenet_v2": f"preprocess{{crop=224 scale=1/255 {IMAGENET}}}",
    "cifar_resnet20": f"preprocess{{scale=1/255 {IMAGENET}}}",
}
SAMPLES = (100, 5_000)


def main() -> None:
    """Write the table, row by row as it is measured."""
    chosen(PREPROCESSING, calibrated())
    pictures = SHARED / "data" / "imagenet" / "calibration"
    sys.stdout.write("| model | samples | Gram matrices | seconds | peak, MiB |\n|---|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        data = [("efficientnet_lite0", pictures), ("mobilenet_v2", pictures)]
        data += [("cifar_resnet20", write(Path(folder), count)) for count in SAMPLES]
        for grams in ("no", "yes"):
            for name, path in data:
                command = [sys.executable, "-m", "tests.benchmarks.calibration", name, path, grams]
                sys.stdout.write(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                sys.stdout.flush()


def write(folder: Path, count: int) -> Path:
    """Write so many pictures of CIFAR-10, over and over, as a file for the network."""
    with np.load(SHARED / "data" / "cifar10.npz") as arrays:
        pictures = arrays["calibration_images"]
    path = folder / f"{count}.npz"
    np.savez_compressed(path, image=np.resize(pictures, (count, *pictures.shape[1:])))
    return path


def row(name: str, data: str, grams: str) -> str:
    """Calibrate in this process, and return its row of the table."""
    model, _ = graphopt.optimize(SHARED / "models" / f"{name}.onnx")
    samples = open_samples(data, model, parse_preprocessing(PREPROCESSING[name]))
    layers = [node for node in model.graph if is_op(node, "Conv", "Gemm")]
    values = {str(value.name) for node in layers for value in (node.inputs[0], node.outputs[0]) if value is not None}
    products = [str(node.outputs[0].name) for node in layers] if grams == "yes" else []
    start = time.perf_counter()
    found = collect(model, samples, values, products)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {name} | {found.samples:,} | {grams} | {seconds:.1f} | {peak:.0f} |\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write(row(*sys.argv[1:]))
    else:
        main()
