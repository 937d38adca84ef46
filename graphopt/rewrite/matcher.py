"""Finding a pattern, and checking what every rule needs.

No rule repeats these checks. Each one that fails at an otherwise perfect match is an obstacle, told to
the user:

- every value inside the match is read by nodes of the match alone, and is no output of a graph: otherwise
  it must stay, and the rewrite would compute it twice;
- all nodes of the match lie in one graph: otherwise work would move into a loop or a branch;
- constants are constants: an initializer that is also a graph input is not;
- no attribute is a reference that each call of the enclosing function fills in.

The domain, the number of inputs and the opset belong to the pattern and the rule: where they do not fit
there is no match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar, cast

import onnx
import onnx_ir as ir

from graphopt.ir.constants import constant_tensor
from graphopt.ir.walk import is_op, label
from graphopt.rewrite.pattern import Const, Either, Op, Optional, Pattern, Rest, Var, roots
from graphopt.tensors import Array

T = TypeVar("T", int, float, str, tuple[int, ...])


@dataclass(frozen=True)
class Match:
    """A place in a model that a pattern fits.

    Attributes:
        root: the node whose outputs the rewrite replaces.
        nodes: all nodes of the match, the root first.
        opset: the version of `ai.onnx` in force there.

    """

    root: ir.Node
    nodes: tuple[ir.Node, ...]
    opset: int
    _named: Mapping[str, ir.Node]
    _bound: Mapping[str, tuple[ir.Value, ...]]

    def __getitem__(self, name: str) -> ir.Value:
        """Return the value bound to a name; raises KeyError where an optional input is absent."""
        (value,) = self._bound[name]
        return value

    def get(self, name: str) -> ir.Value | None:
        """Return the value bound to a name, or None where an optional input is absent."""
        bound = self._bound.get(name)
        return bound[0] if bound else None

    def __contains__(self, name: str) -> bool:
        return name in self._bound

    def rest(self, name: str) -> tuple[ir.Value, ...]:
        """Return the values bound by `rest(name)`."""
        return self._bound[name]

    def constant(self, name: str) -> Array:
        """Return the content of the value bound by `const` or `parameter`; not to be written to."""
        return self._tensor(name).numpy()

    def dtype(self, name: str) -> ir.DataType:
        """Return the element type of the value bound by `const` or `parameter`."""
        return self._tensor(name).dtype

    def node(self, name: str) -> ir.Node:
        """Return the node bound to a name."""
        return self._named[name]

    def attribute(self, node: str, attribute: str, default: T) -> T:
        """Return an attribute of a named node, or `default`, which is what the ONNX operator spec says."""
        found = self._named[node].attributes.get(attribute)
        return default if found is None else cast("T", found.value)

    def _tensor(self, name: str) -> ir.TensorProtocol:
        tensor = constant_tensor(self[name])
        if tensor is None:
            raise KeyError(f"{name!r} is bound, but not by const() or parameter()")
        return tensor


class _State(NamedTuple):
    """What is bound so far on one way through the alternatives."""

    nodes: tuple[ir.Node, ...]
    named: Mapping[str, ir.Node]
    bound: Mapping[str, tuple[ir.Value, ...]]
    obstacle: str | None


_NOTHING = _State((), {}, {}, None)


def find(pattern: Pattern, root: ir.Node, opset: int) -> Match | str | None:
    """Match `pattern` with its root at `root`.

    Returns the match; or, where only one of the conditions that every rule has stands in the way, which; or
    None.
    """
    reason = None
    for start in roots(pattern):
        for state in _match_node(start, root, _NOTHING, opset):
            obstacle = state.obstacle or _obstacle(state.nodes)
            if obstacle is None:
                return Match(root, state.nodes, opset, state.named, state.bound)
            reason = reason or obstacle
    return reason


def _match_value(pattern: Pattern, value: ir.Value | None, state: _State, opset: int) -> Iterator[_State]:
    match pattern:
        case Optional() if value is None:
            yield state
        case Optional(present):
            yield from _match_value(present, value, state, opset)
        case Either(alternatives):
            for alternative in alternatives:
                yield from _match_value(alternative, value, state, opset)
        case Var(name, where) if value is not None and (where is None or where(value)):
            yield from _bind(name, (value,), state)
        case Const() if value is not None:
            yield from _match_constant(pattern, value, state)
        case Op(output=index) if value is not None and value.index() == index:
            producer = value.producer()
            if producer is not None:
                yield from _match_node(pattern, producer, state, opset)


def _match_node(pattern: Op, node: ir.Node, state: _State, opset: int) -> Iterator[_State]:
    if not is_op(node, *pattern.op_types) or not _attributes_fit(pattern, node, opset):
        return
    if pattern.where is not None and (_reference(node) is not None or not pattern.where(node)):
        return
    if state.named.get(pattern.name, node) is not node:
        return
    named = {**state.named, pattern.name: node} if pattern.name else state.named
    obstacle = state.obstacle or _reference(node)
    nodes = state.nodes if node in state.nodes else (*state.nodes, node)
    entered = state._replace(nodes=nodes, named=named, obstacle=obstacle)
    for order in pattern.orders(node.op_type):
        yield from _match_inputs(order, node.inputs, entered, opset)


def _match_inputs(
    patterns: Sequence[Pattern], values: Sequence[ir.Value | None], state: _State, opset: int
) -> Iterator[_State]:
    match patterns:
        case []:
            if not any(value is not None for value in values):
                yield state
        case [Rest(name)]:
            present = tuple(value for value in values if value is not None)
            if len(present) == len(values):
                yield from _bind(name, present, state)
        case [first, *others]:
            for matched in _match_value(first, values[0] if values else None, state, opset):
                yield from _match_inputs(others, values[1:], matched, opset)


def _match_constant(pattern: Const, value: ir.Value, state: _State) -> Iterator[_State]:
    tensor = constant_tensor(value)
    if tensor is None:
        obstacle = _not_constant(pattern, value)
        if obstacle:
            yield state._replace(obstacle=state.obstacle or obstacle)
    elif pattern.where is None or pattern.where(tensor.numpy()):
        yield from _bind(pattern.name, (value,), state)


def _bind(name: str, values: tuple[ir.Value, ...], state: _State) -> Iterator[_State]:
    known = state.bound.get(name, values)
    if len(known) == len(values) and all(a is b for a, b in zip(known, values, strict=True)):
        yield state._replace(bound={**state.bound, name: values}) if name else state


def _attributes_fit(pattern: Op, node: ir.Node, opset: int) -> bool:
    for name, wanted in pattern.attributes.items():
        given = node.attributes.get(name)
        value = _default(node.op_type, name, opset) if given is None else given.value
        if value != (tuple(wanted) if isinstance(wanted, list) else wanted):
            return False
    return True


@cache
def _default(op_type: str, attribute: str, opset: int) -> object:
    known = onnx.defs.get_schema(op_type, opset).attributes
    if attribute not in known or not known[attribute].default_value.type:
        return None
    return ir.from_proto(known[attribute].default_value).value


def _not_constant(pattern: Const, value: ir.Value) -> str | None:
    what = f"{pattern.name.rpartition('.')[2] or 'operand'} {value.name!r}"
    if value.is_initializer():
        return f"its {what} is a graph input too, so a caller may override it"
    return f"its {what} is no constant" if pattern.expected else None


def _reference(node: ir.Node) -> str | None:
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            return f"the attribute {name!r} of {label(node)} is given by each call of the function"
    return None


def _obstacle(nodes: tuple[ir.Node, ...]) -> str | None:
    """Return why a structural match may not be replaced."""
    root, *others = nodes
    for node in others:
        if node.graph is not root.graph:
            return f"{label(node)} lies outside of the subgraph"
        for value in node.outputs:
            if value.is_graph_output():
                return f"the output {value.name!r} of {label(node)} is an output of the graph"
            reader = next((use.node for use in value.uses() if use.node not in nodes), None)
            if reader is not None:
                return f"the output of {label(node)} is also read by {label(reader)}"
    return None
