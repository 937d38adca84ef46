"""Calls of kernels: which nodes are such, and the work of what is inside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import onnx_ir as ir

from graphopt.inspect.operations import UnknownShapeError, operations_of
from graphopt.inspect.statistics import without_kernels
from graphopt.ir.fused import kernels
from graphopt.report.scopes import places


class Calls:
    """The calls of kernels in one model, which stays as it is while this is asked."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._called = {function.identifier(): function.name for function in kernels(model)}

    def kernel(self, node: ir.Node) -> str | None:
        """Return the name of the kernel that a node calls, None where it calls none."""
        return self._called.get(node.op_identifier())

    def operations(self, call: ir.Node) -> tuple[int | None, int | None]:
        """Return the multiply-adds and floating-point operations of a call, None where a shape is unknown."""
        macs = flops = 0
        try:
            for node in self._inside(call):
                own = operations_of(node)
                macs, flops = macs + own[0], flops + own[1]
        except UnknownShapeError:
            return None, None
        return macs, flops

    def _inside(self, call: ir.Node) -> Iterator[ir.Node]:
        """Yield the nodes that a call stands for, of a model without kernels: between what it reads and its result."""
        place = self._homes[call]
        read = {value.name for value in call.inputs if value is not None}
        seen: set[ir.Node] = set()
        pending = [call.outputs[0].name]
        while pending:
            node = self._producers.get((place, str(pending.pop())))
            if node is not None and node not in seen:
                seen.add(node)
                yield node
                pending.extend(value.name for value in node.inputs if value is not None and value.name not in read)

    @cached_property
    def _homes(self) -> dict[ir.Node, str]:
        return {node: place.name for place in places(self._model) for node in place.graph}

    @cached_property
    def _producers(self) -> dict[tuple[str, str], ir.Node]:
        plain = without_kernels(self._model)
        return {
            (place.name, str(value.name)): node
            for place in places(plain)
            for node in place.graph
            for value in node.outputs
        }
