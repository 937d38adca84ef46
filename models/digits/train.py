"""Train the digits network: `python -m models.digits.train` rewrites digits.onnx and digits_test.npz.

Needs PyTorch (the gradients) and scikit-learn (the images): `pip install torch==2.13.0 scikit-learn==1.9.1`;
the result needs neither. The architecture is written once, in architecture.py: PyTorch executes its ONNX graph
with the initializers as parameters, which are then written back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional

from models.digits import MODEL, TEST
from models.digits.architecture import build

SEED = 0
HELD_OUT = 360
EPOCHS = 80
BATCH = 32
PEAK_RATE = 4e-3
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.05

Attributes = dict[str, Any]
Operator = Callable[[list[Tensor], Attributes, bool], Tensor]


def batch_normalization(inputs: list[Tensor], attributes: Attributes, training: bool) -> Tensor:
    """Normalize by the batch's statistics in training, and let the stored ones follow them in place."""
    x, scale, shift, mean, variance = inputs
    normalized: Tensor = functional.batch_norm(x, mean, variance, scale, shift, training, eps=attributes["epsilon"])
    return normalized


def convolution(inputs: list[Tensor], attributes: Attributes, _training: bool) -> Tensor:
    """Conv with the same padding on all sides."""
    bias = inputs[2] if len(inputs) == 3 else None
    stride, padding = attributes["strides"][0], attributes["pads"][0]
    return functional.conv2d(inputs[0], inputs[1], bias, stride, padding, groups=attributes["group"])


OPERATORS: dict[str, Operator] = {
    "Add": lambda inputs, _attributes, _training: inputs[0] + inputs[1],
    "BatchNormalization": batch_normalization,
    "Clip": lambda inputs, _attributes, _training: torch.clamp(*inputs),
    "Conv": convolution,
    "Div": lambda inputs, _attributes, _training: inputs[0] / inputs[1],
    "Dropout": lambda inputs, _attributes, training: functional.dropout(inputs[0], inputs[1].item(), training),
    "Flatten": lambda inputs, _attributes, _training: inputs[0].flatten(1),
    "Gemm": lambda inputs, _attributes, _training: functional.linear(*inputs),
    "GlobalAveragePool": lambda inputs, _attributes, _training: inputs[0].mean((2, 3), keepdim=True),
    "MaxPool": lambda inputs, attributes, _training: functional.max_pool2d(
        inputs[0], attributes["kernel_shape"], attributes["strides"]
    ),
    "Mul": lambda inputs, _attributes, _training: inputs[0] * inputs[1],
    "Relu": lambda inputs, _attributes, _training: inputs[0].relu(),
    "Sigmoid": lambda inputs, _attributes, _training: inputs[0].sigmoid(),
}

TRAINED = ("weight", "bias", "scale", "shift")
"""The roles, at the end of an initializer's name, that gradients reach."""


def execute(model: onnx.ModelProto, weights: dict[str, Tensor], images: Tensor, *, training: bool) -> Tensor:
    """Run the graph node by node on `images` [N, 1, 8, 8]; return the logits [N, 10]."""
    values = {**weights, model.graph.input[0].name: images}
    for node in model.graph.node:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        inputs = [values[name] for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](inputs, attributes, training)
    return values[model.graph.output[0].name]


def shifted(images: Tensor) -> Tensor:
    """Move the whole batch by up to one pixel in each direction, black coming in."""
    down, right = torch.randint(0, 3, (2,)).tolist()
    return functional.pad(images, (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]


def train(model: onnx.ModelProto, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Fit the model's initializers to `labels` [N]; return them all, by name."""
    weights = {item.name: torch.tensor(numpy_helper.to_array(item)) for item in model.graph.initializer}
    trained = [tensor.requires_grad_() for name, tensor in weights.items() if name.endswith(TRAINED)]
    optimizer = torch.optim.AdamW(trained, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images))[: len(images) // BATCH * BATCH]
        for chosen in order.view(-1, BATCH).unbind():
            logits = execute(model, weights, shifted(images[chosen]), training=True)
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return {name: tensor.detach() for name, tensor in weights.items()}


def main() -> None:
    """Split, train, test once, write both files."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums in one order: the same machine gives the same file
    images, labels = load_digits(return_X_y=True)
    fit_images, test_images, fit_labels, test_labels = train_test_split(
        images.reshape(-1, 1, 8, 8).astype(np.float32),
        labels,
        test_size=HELD_OUT,
        stratify=labels,
        random_state=SEED,
    )
    model = build(seed=SEED)
    weights = train(model, torch.tensor(fit_images), torch.tensor(fit_labels))
    logits = execute(model, weights, torch.tensor(test_images), training=False)
    accuracy = (logits.argmax(1).numpy() == test_labels).mean()

    for item in model.graph.initializer:
        item.raw_data = weights[item.name].numpy().tobytes()
    model.doc_string = (
        f"Trained by models/digits/train.py, seed {SEED}, {EPOCHS} epochs, on {len(fit_images)} images of the "
        f"UCI handwritten digits (CC BY 4.0); {accuracy:.2%} of the {HELD_OUT} others read correctly."
    )
    onnx.save(model, MODEL)
    np.savez_compressed(TEST, images=test_images.astype(np.uint8), labels=test_labels.astype(np.uint8))
    sys.stdout.write(f"{model.doc_string}\n")


if __name__ == "__main__":
    main()
