"""Each topology is valid, has the published number of parameters, and computes something of its input."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from models import TOPOLOGIES
from models.__main__ import main

# as in torchvision; Inception v2 in Cadene/pretrained-models.pytorch, U-Net in milesial/Pytorch-UNet
PUBLISHED = {
    "alexnet": 61_100_840,
    "densenet121": 7_978_856,
    "inception_v2": 11_295_240,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "shufflenet_v2": 2_278_604,
    "squeezenet1.0": 1_248_424,
    "squeezenet1.1": 1_235_496,
    "unet": 31_037_698,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
}
WEIGHTED = {"BatchNormalization", "Conv", "ConvTranspose", "Gemm"}
LIGHT = sorted(name for name, count in PUBLISHED.items() if count < 10e6)


def parameters(model: onnx.ModelProto) -> int:
    """Count weights and biases, scales and shifts: running statistics and constants are not trained."""
    trained = {name for node in model.graph.node if node.op_type in WEIGHTED for name in node.input[1:3]}
    return sum(math.prod(item.dims) for item in model.graph.initializer if item.name in trained)


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 3, 64, 64), dtype=np.float32)


def test_every_topology_has_a_published_count():
    assert set(PUBLISHED) == set(TOPOLOGIES)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_parameter_count_is_the_published_one(name):
    assert parameters(TOPOLOGIES[name](image=224)) == PUBLISHED[name]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_is_valid_and_answers_each_image(name):
    model = TOPOLOGIES[name](image=64)
    onnx.checker.check_model(model, full_check=True)
    first, second = run(model, images(2))
    assert np.isfinite(first).all()
    assert 0.1 < first.std() < 100
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


@pytest.mark.parametrize("name", LIGHT)
def test_declared_shapes_are_the_computed_ones(name):
    model = TOPOLOGIES[name](image=64, classes=10, batch=3)
    declared = [item.dim_value for item in model.graph.output[0].type.tensor_type.shape.dim]
    assert list(run(model, images(3)).shape) == declared == [3, 10]


@pytest.mark.parametrize("name", LIGHT)
def test_dynamic_batch_answers_as_one_by_one(name):
    model = TOPOLOGIES[name](image=64)
    together = run(model, images(3))
    alone = np.concatenate([run(model, image[None]) for image in images(3)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4 * np.abs(alone).max())


@pytest.mark.parametrize("name", LIGHT)
def test_seed_decides_every_byte(name):
    build = TOPOLOGIES[name]
    assert build(seed=3).SerializeToString() == build(seed=3).SerializeToString()
    assert build(seed=3).SerializeToString() != build(seed=4).SerializeToString()


@pytest.mark.parametrize("name", sorted({"densenet121", "inception_v2", "resnet50", "unet"}))
def test_batch_normalization_is_left_to_fold_and_not_trivial(name):
    model = TOPOLOGIES[name](image=64)
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) > 15
    for node in norms:
        scale, shift, mean, variance = (arrays[name] for name in node.input[1:])
        assert variance.min() > 0
        assert all(np.unique(values).size > 1 for values in (scale, shift, mean, variance))


def test_wrong_image_size_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="choose another image size"):
        TOPOLOGIES["unet"](image=40)
    with pytest.raises(ValueError, match="choose a larger image"):
        TOPOLOGIES["alexnet"](image=32)


def test_command_line_writes_the_same_model(tmp_path, monkeypatch):
    path = tmp_path / "squeezenet.onnx"
    arguments = ["squeezenet1.1", "-o", str(path), "--seed", "5", "--batch", "2", "--image", "64"]
    monkeypatch.setattr("sys.argv", ["models", *arguments])
    main()
    assert onnx.load(path) == TOPOLOGIES["squeezenet1.1"](seed=5, batch=2, image=64)
