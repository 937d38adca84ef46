"""The language of patterns: what a rule looks for, written like the expression it stands for.

    op.Relu(op.Conv(var("x"), parameter("w"), optional(parameter("b")), name="conv"))
    op("Mul", "Div")(var("x"), const("c"))                   one of several operators
    either(op.Sub(const("c"), var("x")), op.Neg(var("x")))   one of several patterns
    op.Gemm(var("a"), var("b"), transA=0)                    an attribute, given or by default
    op.Max(var("x"), scalar(0.0))                            a literal
    op.Concat(rest("parts"), axis=1)                         all remaining inputs
    op.Concat(rest("parts"), where=has_empty_part)           whatever a function of the node says

A name met twice stands for the same value both times, and a node's name for the same node. A two-input
operator that commutes (`COMMUTATIVE`) is tried in both orders. A dotted name (`"bn.scale"`) groups what
belongs to one node; people are told its last part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from graphopt.tensors import Array

COMMUTATIVE = frozenset("Add And BitwiseAnd BitwiseOr BitwiseXor Equal Max Mean Min Mul Or Sum Xor".split())


class Pattern:
    """What a value must look like."""


@dataclass(frozen=True)
class Var(Pattern):
    """Any value that is there and passes `where`."""

    name: str
    where: Callable[[ir.Value], bool] | None = None


@dataclass(frozen=True)
class Const(Pattern):
    """A value that no run can change, with a content that passes `where`.

    Attributes:
        name: what it is bound to; not bound if empty.
        expected: whether a value that is no constant is worth a remark (a weight) or merely no match (the
            other operand of some Mul).

    """

    name: str = ""
    where: Callable[[Array], bool] | None = None
    expected: bool = False


@dataclass(frozen=True)
class Optional(Pattern):
    """An input that may be left out."""

    present: Pattern


@dataclass(frozen=True)
class Rest(Pattern):
    """All inputs from here on; only as an operator's last input."""

    name: str


@dataclass(frozen=True)
class Either(Pattern):
    """The first alternative that matches without an obstacle."""

    alternatives: tuple[Pattern, ...]


@dataclass(frozen=True)
class Op(Pattern):
    """An output of an operator of the domain `ai.onnx`.

    Attributes:
        op_types: the operator is one of these.
        inputs: inputs beyond these must be absent.
        attributes: required values; an attribute that is absent has its default.
        name: what the node is bound to; not bound if empty.
        output: which output the pattern stands for.
        where: what else must hold of the node; one whose attributes a function's caller gives is no match.

    """

    op_types: tuple[str, ...]
    inputs: tuple[Pattern, ...]
    attributes: Mapping[str, object]
    name: str = ""
    output: int = 0
    where: Callable[[ir.Node], bool] | None = None

    def orders(self, op_type: str) -> tuple[tuple[Pattern, ...], ...]:
        """Return the orders in which the inputs may stand."""
        if len(self.inputs) == 2 and op_type in COMMUTATIVE:
            return (self.inputs, self.inputs[::-1])
        return (self.inputs,)


class _Operators:
    """Makes operator patterns: `op.Conv(…)`, or `op("Mul", "Div")(…)` for one of several."""

    def __getattr__(self, op_type: str) -> Callable[..., Op]:
        return self(op_type)

    def __call__(self, *op_types: str) -> Callable[..., Op]:
        def make(
            *inputs: Pattern,
            name: str = "",
            output: int = 0,
            where: Callable[[ir.Node], bool] | None = None,
            **attributes: object,
        ) -> Op:
            return Op(op_types, inputs, attributes, name, output, where)

        return make


op = _Operators()


def var(name: str, where: Callable[[ir.Value], bool] | None = None) -> Var:
    """Match any value."""
    return Var(name, where)


def const(name: str = "", where: Callable[[Array], bool] | None = None) -> Const:
    """Match a constant; anything else is silently no match."""
    return Const(name, where)


def parameter(name: str, where: Callable[[Array], bool] | None = None) -> Const:
    """Match a constant where one is expected: if it is none, the rule reports that it was missed."""
    return Const(name, where, expected=True)


def scalar(number: float, name: str = "") -> Const:
    """Match a constant of one element equal to `number`. Its rank may exceed the other operand's."""
    return Const(name, lambda array: array.size == 1 and bool(array.reshape(()) == number))


def optional(present: Pattern) -> Optional:
    """Match an absent input, or what is given."""
    return Optional(present)


def either(*alternatives: Pattern) -> Either:
    """Match one of several patterns."""
    return Either(alternatives)


def rest(name: str) -> Rest:
    """Match all remaining inputs."""
    return Rest(name)


def roots(pattern: Pattern) -> Iterator[Op]:
    """Yield the operators that a whole pattern can begin with; raises TypeError if it can begin otherwise."""
    match pattern:
        case Op():
            yield pattern
        case Either(alternatives):
            for alternative in alternatives:
                yield from roots(alternative)
        case _:
            raise TypeError(f"a rule's pattern must begin with an operator, not {pattern}")


def depth(pattern: Pattern) -> int:
    """Return how many operators lie on the longest way from the root to a leaf."""
    match pattern:
        case Op(inputs=inputs):
            return 1 + max(map(depth, inputs), default=0)
        case Either(alternatives):
            return max(map(depth, alternatives))
        case Optional(present):
            return depth(present)
        case _:
            return 0
