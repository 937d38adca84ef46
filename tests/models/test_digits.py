"""The trained network reads the held-out digits as well as its README says."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime as ort

from models.digits import MODEL, TEST


def stated_accuracy(text: str) -> float:
    match = re.search(r"([\d.]+) ?% of the 360", text)
    assert match, text
    return float(match[1]) / 100


def test_accuracy_is_the_stated_one():
    with np.load(TEST) as test:
        images, labels = test["images"].astype(np.float32), test["labels"]
    session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    accuracy = float(np.mean(logits.argmax(1) == labels))
    readme = MODEL.with_name("README.md").read_text(encoding="utf-8")
    assert accuracy >= 0.98
    for text in (readme, onnx.load(MODEL).doc_string):
        assert round(accuracy, 4) == round(stated_accuracy(text), 4)


def test_images_are_grey_levels_of_every_digit():
    with np.load(TEST) as test:
        images, labels = test["images"], test["labels"]
    assert images.shape == (360, 1, 8, 8)
    assert images.dtype == labels.dtype == np.uint8
    assert images.max() == 16
    assert np.bincount(labels, minlength=10).min() >= 30


def test_model_is_valid_small_and_unfolded():
    model = onnx.load(MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert MODEL.stat().st_size < 300_000
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 9
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
