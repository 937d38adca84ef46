"""Some nodes of a model as a model that onnxruntime takes, made in the time that it takes to write them down.

`graphopt.ir.extract` serves a user: it infers shapes and verifies, which for each layer of a deep network would cost
more than to run it.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
import onnx_ir as ir

from graphopt.backends.ort.session import Session
from graphopt.ir.walk import reads
from graphopt.tensors import Feeds


def load_segment(
    model: ir.Model, nodes: Collection[ir.Node], feeds: Feeds, outputs: Collection[str], threads: int
) -> Session:
    """Load nodes of the main graph, in its order; constants that they read come along.

    Args:
        model: with the nodes.
        nodes: all between the feeds and the outputs.
        feeds: values by name; those that the nodes read are the inputs, of the same dtypes.
        outputs: the names of the values that are wanted, of those that the nodes make.
        threads: of onnxruntime; 0 means as many as this process may run on.

    Raises:
        ModelError: onnxruntime does not accept them.

    """
    graph = onnx.GraphProto(name=model.graph.name or "segment")
    read: dict[str, ir.Value] = {}
    for node in model.graph:
        if node in nodes:
            graph.node.append(ir.to_proto(node))
            read.update((str(value.name), value) for value in reads(node) if value.name)
    for name, value in read.items():
        if name in feeds:
            kind = onnx.helper.np_dtype_to_tensor_dtype(feeds[name].dtype)
            graph.input.append(onnx.helper.make_tensor_value_info(name, kind, None))
        elif value.is_initializer() and value.const_value is not None:
            graph.initializer.append(ir.to_proto(value.const_value))
            graph.initializer[-1].name = name  # a tensor may be called otherwise than its value
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    proto = onnx.helper.make_model(graph, ir_version=model.ir_version, opset_imports=opsets)
    proto.functions.extend(ir.to_proto(function) for function in model.functions.values())
    return Session(proto.SerializeToString(), threads=threads)
