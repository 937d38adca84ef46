"""Numbers for what is equal in two models: contents of constants, attributes, operators.

Every key is numbered by one table for both models (hash-consing), so equal numbers mean equal structures and nothing
hangs on the quality of a hash.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import onnx_ir as ir

from graphopt.digests import digest
from graphopt.ir.constants import constant_tensor
from graphopt.ir.operators import default_attributes
from graphopt.ir.walk import STANDARD_DOMAINS

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


class Numbers:
    """Gives equal keys equal numbers."""

    def __init__(self) -> None:
        self._table: dict[Hashable, int] = {}

    def __call__(self, key: Hashable) -> int:
        """Return the number of a key."""
        return self._table.setdefault(key, len(self._table))


class Contents:
    """The constants, operators and attributes of one model, numbered.

    Args:
        numbers: shared by both models.
        imports: the opset of each domain, for the defaults of attributes.
        functions: what stands for a function that both models have, by its identifier in this one.

    """

    def __init__(
        self, numbers: Numbers, imports: Mapping[str, int], functions: Mapping[ir.OperatorIdentifier, Hashable]
    ) -> None:
        self._numbers = numbers
        self._imports = imports
        self._functions = functions
        self._constants: dict[ir.Value, int | None] = {}

    def constant(self, value: ir.Value) -> int | None:
        """Return the number of a constant: of its dtype, shape and bytes; None for what is none."""
        if value not in self._constants:
            tensor = constant_tensor(value)
            self._constants[value] = None if tensor is None else self._numbers(("constant", _tensor_key(tensor)))
        return self._constants[value]

    def form(self, value: ir.Value) -> int | None:
        """Return the number of a constant's dtype and shape; None for what is none."""
        tensor = constant_tensor(value) if self.constant(value) is not None else None
        return None if tensor is None else self._numbers(("form", tensor.dtype.name, tuple(tensor.shape.numpy())))

    def operator(self, node: ir.Node) -> int:
        """Return the number of an operator, its attributes aside."""
        called = self._functions.get(node.op_identifier())
        if called is not None:
            return self._numbers(("function", called))
        return self._numbers(("operator", _domain(node), node.op_type, node.overload))

    def attributes(self, node: ir.Node) -> dict[str, Hashable]:
        """Return a key for each attribute that is not at its default; all subgraphs have the same."""
        defaults = default_attributes(node.op_type, _domain(node), self._imports.get(node.domain, 0))
        keys = {name: attribute_key(attribute) for name, attribute in node.attributes.data.items()}
        return {name: key for name, key in keys.items() if name not in defaults or key != attribute_key(defaults[name])}


def attribute_key(attribute: ir.Attr) -> Hashable:
    """Return what is equal for equal attributes, whatever their names."""
    kind = attribute.type
    if attribute.is_ref():
        return (kind.name, "reference", attribute.ref_attr_name)
    if kind in _GRAPHS:
        return (kind.name,)
    if kind is ir.AttributeType.TENSOR:
        return (kind.name, _tensor_key(attribute.as_tensor()))
    if kind is ir.AttributeType.TENSORS:
        return (kind.name, tuple(map(_tensor_key, attribute.as_tensors())))
    value = attribute.value
    return (kind.name, repr(tuple(value) if isinstance(value, list | tuple) else value))


def _tensor_key(tensor: ir.TensorProtocol) -> Hashable:
    array = tensor.numpy()
    shape = array.shape
    if tensor.dtype is ir.DataType.STRING:
        return (tensor.dtype.name, shape, tuple(np.ravel(array).tolist()))
    flat = np.ascontiguousarray(array).reshape(-1)
    return (tensor.dtype.name, shape, digest([flat.view(np.uint8).data]))


def _domain(node: ir.Node) -> str:
    return "" if node.domain in STANDARD_DOMAINS else node.domain
