"""Attributes that name the type of what a node makes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphopt.ir.walk import is_op

# The operators whose output type an attribute says, and the attribute; float32 where it is left out.
_NAMED = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype"}
_NAMED_IF_GIVEN = {"Bernoulli": "dtype", "EyeLike": "dtype", "RandomNormalLike": "dtype", "RandomUniformLike": "dtype"}


def retype_attributes(node: ir.Node, dtype: ir.DataType) -> None:
    """Let a node name `dtype` where it names float32 as the type of what it makes."""
    name = _NAMED.get(node.op_type)
    optional = _NAMED_IF_GIVEN.get(node.op_type)
    if name is not None:
        node.attributes[name] = ir.AttrInt64(name, int(dtype))
    elif optional in node.attributes and node.attributes[str(optional)].as_int() == ir.DataType.FLOAT:
        node.attributes[str(optional)] = ir.AttrInt64(str(optional), int(dtype))
    elif is_op(node, "ConstantOfShape"):
        given = node.attributes.get("value")
        content = np.zeros(1, np.float32) if given is None else given.as_tensor().numpy()
        narrow = content.astype(dtype.numpy())
        node.attributes["value"] = ir.AttrTensor("value", ir.Tensor(narrow, dtype=dtype))
