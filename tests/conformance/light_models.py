"""The nine `light` networks of the onnx wheel, with weights that mean something.

The wheel saves space by filling every weight with one number, made by a ConstantOfShape, under which a wrong
fold may not show. Here each gets random weights that keep activations in range (He et al. 2015,
arXiv:1502.01852), and what a closing Softmax reads becomes an output too, since a Softmax hides much.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

FOLDER = Path(str(onnx.__file__)).parent / "backend" / "test" / "data" / "light"
LIGHT_MODELS = sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("light_*.onnx"))

# Parameters that multiply: drawn around one and positive, so that a variance has a root and no channel dies.
_FACTORS = {("BatchNormalization", 1), ("BatchNormalization", 4), ("Mul", 1)}


def light_model(name: str, *, seed: int = 0) -> ir.Model:
    """Return a network with random weights, equal for equal seeds; its initializers are no inputs."""
    model = ir.load(FOLDER / f"light_{name}.onnx")
    model.ir_version = 8
    graph = model.graph
    inputs = [value for value in graph.inputs if not value.is_initializer() and value.uses()]
    graph.inputs.clear()
    graph.inputs.extend(inputs)
    _make_initializers(graph)
    rng = np.random.default_rng(seed)
    for value in graph.initializers.values():
        if value.dtype is ir.DataType.FLOAT:
            value.const_value = ir.tensor(_draw(value, rng), name=value.name)
    last = graph[-1]
    if last.op_type == "Softmax" and last.inputs[0] is not None:
        graph.outputs.append(last.inputs[0])
    return model


def _make_initializers(graph: ir.Graph) -> None:
    for node in [node for node in graph if node.op_type == "ConstantOfShape"]:
        shape = ir.Shape(_content(node.inputs[0]).tolist())
        made = ir.Value(name=node.outputs[0].name, shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
        ir.convenience.replace_all_uses_with(node.outputs[0], made)
        graph.remove(node, safe=True)
        made.const_value = ir.tensor(np.broadcast_to(np.float32(0), shape.numpy()), name=made.name)
        graph.register_initializer(made)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]


def _draw(value: ir.Value, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    shape = _content(value).shape
    node, index = next(iter(value.uses()))
    while node.op_type in {"Reshape", "Unsqueeze"}:
        node, index = next(iter(node.outputs[0].uses()))
    if (node.op_type, index) in _FACTORS:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    weights = rng.standard_normal(shape, dtype=np.float32)
    if (node.op_type, index) in {("Conv", 1), ("Gemm", 1)}:
        weights *= np.float32(math.sqrt(2 / math.prod(shape[1:])))  # every Gemm here has transB
    else:
        weights *= np.float32(0.1)
    return weights


def _content(value: ir.Value | None) -> npt.NDArray[np.generic]:
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()
