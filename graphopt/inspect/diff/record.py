"""What differs between two models, as plain records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from graphopt.markup import table


@dataclass(frozen=True)
class ChangedNode:
    """A node that one model alone has.

    Attributes:
        node: as remarks name it: `Conv 'conv1' (-> y)`.
        op: its operator, with the domain where that is not `ai.onnx`.
        where: the subgraph or function that it stands in; empty for the main graph.
        reads, read_by: the values that it reads, and who reads what it makes.
        constants: those that it reads.
        made_by: the rewrites in its past, if the model tells of them.

    """

    node: str
    op: str
    where: str
    reads: tuple[str, ...]
    read_by: tuple[str, ...]
    constants: tuple[str, ...]
    made_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChangedAttribute:
    """An attribute of a node that both models have; None stands for one that is not there.

    `attribute` is `(outputs)` where the number of outputs differs.
    """

    node: str
    after_node: str
    where: str
    attribute: str
    before: str | None
    after: str | None
    made_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rewired:
    """An input of a node, or an output of a graph, that comes from elsewhere; None where there is none.

    What only follows from nodes that were removed or added in between is not listed.

    Attributes:
        node, after_node: whose input it is in each model; `output 'y'` for an output.
        input: its index, None for an output and for what a subgraph captures.
        before, after: where it comes from.

    """

    node: str
    after_node: str
    where: str
    input: int | None
    before: str | None
    after: str | None
    made_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reweighted:
    """A constant with other contents, in a place where both models have one.

    Attributes:
        constant, after_constant: its name in each model.
        readers: the nodes, of the model before, that read it in both.
        dtype, after_dtype, shape, after_shape: of the constant in each model.
        elements: how many it has after.
        changed: how many of them differ, None where shapes do.
        largest: the largest absolute difference, None where shapes differ or elements are no real numbers.
        relative: ‖after − before‖ / ‖before‖, None alike, and where the norm before is 0.
        quantized: whether one of them is dequantized before it is read, and compared by what comes out.

    """

    constant: str
    after_constant: str
    where: str
    readers: tuple[str, ...]
    dtype: str
    after_dtype: str
    shape: tuple[int, ...]
    after_shape: tuple[int, ...]
    elements: int
    changed: int | None
    largest: float | None
    relative: float | None
    quantized: bool
    made_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChangedInterface:
    """An input or output of a model, or of the body of a subgraph or function; None where there is none.

    Attributes:
        kind: `input` or `output`.
        before, after: name, dtype and shape.

    """

    kind: str
    where: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class ChangedConstant:
    """A constant that nothing reads, and that one model alone has."""

    constant: str
    where: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ChangedOpset:
    """The version of a domain; None where a model does not import it. `where` names a function."""

    domain: str
    where: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Diff:
    """All differences; it is false where there are none.

    Attributes:
        removed, added: nodes that one model alone has.
        rewired: inputs and outputs that come from elsewhere.
        reweighted: constants with other contents.
        attributes: those that changed.
        interface: inputs and outputs that came, went, or changed dtype or shape.
        opsets: versions that changed.
        removed_constants, added_constants: those that nothing reads.
        removed_functions, added_functions: model-local functions, as `domain.name`.
        notes: what is no difference and may matter to somebody: other names or another order of inputs, outputs and
            functions.

    """

    removed: tuple[ChangedNode, ...] = ()
    added: tuple[ChangedNode, ...] = ()
    rewired: tuple[Rewired, ...] = ()
    reweighted: tuple[Reweighted, ...] = ()
    attributes: tuple[ChangedAttribute, ...] = ()
    interface: tuple[ChangedInterface, ...] = ()
    opsets: tuple[ChangedOpset, ...] = ()
    removed_constants: tuple[ChangedConstant, ...] = ()
    added_constants: tuple[ChangedConstant, ...] = ()
    removed_functions: tuple[str, ...] = ()
    added_functions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Return how many differences there are of each kind, notes aside."""
        return {field.name: len(getattr(self, field.name)) for field in fields(self) if field.name != "notes"}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {"equal": not self, **asdict(self)}

    def _repr_html_(self) -> str:
        """Show a table of all differences."""
        rows = [
            (name.replace("_", " "), "; ".join(_fields(one)) if is_dataclass(one) else one)
            for name, count in self.counts().items()
            if count
            for one in getattr(self, name)
        ]
        return table(("difference", "of what"), rows, "" if rows else "no differences")


def _fields(record: Any) -> Iterator[str]:
    """Yield what is known of one difference."""
    for one in fields(record):
        known = getattr(record, one.name)
        if known not in (None, "", ()):
            shown = ", ".join(map(str, known)) if isinstance(known, tuple) else known
            yield f"{one.name.replace('_', ' ')}: {shown}"
