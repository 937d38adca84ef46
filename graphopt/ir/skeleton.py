"""A model without its heavy weights, for the C++ functions of onnx, which serialize what they are given."""

from __future__ import annotations

import onnx_ir as ir

KEPT_BYTES = 1024  # shapes, axes, scales and other small constants whose content those functions read


def skeleton(model: ir.Model) -> ir.Model:
    """Return a copy whose larger initializers are inputs without data, so that any model stays under 2 GB."""
    copy = model.clone()
    graph = copy.graph
    for name, value in tuple(graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > KEPT_BYTES:
            graph.initializers.pop(name)
            value.const_value = None
            if not value.is_graph_input():
                graph.inputs.append(value)
    return copy
