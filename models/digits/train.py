"""Train the digits network from scratch: `python -m models.digits.train digits.onnx`.

Needs the extra `distill` (the gradients) and scikit-learn (the images): `pip install -e '.[distill]' scikit-learn`;
the result needs neither. The architecture is written once, in architecture.py; labels are the only teacher.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from graphopt.backends.ort.reference import evaluate
from graphopt.calibration.source import open_samples
from graphopt.distillation.distill import distill
from graphopt.distillation.recipe import parse_recipe
from graphopt.ir.load import load
from graphopt.ir.save import save
from models.digits.architecture import build

SEED = 0
HELD_OUT = 360
RECIPE = (
    "distill{epochs=80 batch=32 optimizer=adamw rate=0.004 weight-decay=0.02 warm-up=0.3 clip=0 smoothing=0.05 "
    "augment=crop:1 held-out=0 batch-norm=batch}"
)


def main(path: Path) -> None:
    """Split, train, test once, write the model."""
    images, labels = load_digits(return_X_y=True)
    fit_images, test_images, fit_labels, test_labels = train_test_split(
        images.reshape(-1, 1, 8, 8).astype(np.float32), labels, test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    untrained = load(build(seed=SEED))
    samples = open_samples({"image": fit_images}, untrained)
    model, history = distill(None, untrained, samples, parse_recipe(RECIPE), labels=fit_labels, threads=1)
    accuracy = (evaluate(model, {"image": test_images})["logits"].argmax(1) == test_labels).mean()
    model.doc_string = (
        f"Trained by models/digits/train.py, {history.recipe}, on {history.samples} images of the UCI handwritten "
        f"digits (CC BY 4.0); {accuracy:.2%} of the {HELD_OUT} others read correctly."
    )
    save(model, path)
    sys.stdout.write(f"{model.doc_string}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
