"""Node by node, what of a quantized file a target computes in integers, and why not the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import onnx_ir as ir

from graphopt.errors import TargetError
from graphopt.ir.load import Source
from graphopt.ir.traits import is_inert_dropout
from graphopt.ir.walk import is_op, label, nodes
from graphopt.nearest import did_you_mean
from graphopt.quantization.doctor.opened import open_quantized
from graphopt.quantization.doctor.qoperators import computes_in_integers, qoperator
from graphopt.quantization.doctor.quantizers import is_dequantize, is_quantize
from graphopt.quantization.doctor.rules import Rule, Runtime
from graphopt.quantization.doctor.site import Site
from graphopt.quantization.doctor.tensorrt import TENSORRT
from graphopt.quantization.doctor.x64 import X64

RUNTIMES: Mapping[str, Runtime] = {"x64": X64, "tensorrt": TENSORRT}
"""By target."""

_BYTES = frozenset({ir.DataType.INT8, ir.DataType.UINT8})
_GROUPS = {"convolutions": frozenset({"Conv", "ConvTranspose"}), "matrix products": frozenset({"Gemm", "MatMul"})}


class Verdict(StrEnum):
    """How a target computes a node."""

    INTEGER = "int8"
    ABSORBED = "absorbed"  # saturation of the node before does it
    FLOAT = "float"
    WRONG = "wrong"  # in integers, with other numbers than the file means


@dataclass(frozen=True)
class Finding:
    """What becomes of one node.

    Attributes:
        node: its name and its first output.
        op_type: its operator; that of real numbers where it is written in integers.
        verdict: how it is computed.
        causes: the rules that keep it from integers, the first to be mended first.

    """

    node: str
    op_type: str
    verdict: Verdict
    causes: tuple[Rule, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        causes = [{"name": rule.name, "why": rule.why, "mend": rule.mend} for rule in self.causes]
        return {"node": self.node, "operator": self.op_type, "runs": str(self.verdict), "causes": causes}


@dataclass(frozen=True)
class Diagnosis:
    """What a target makes of a quantized model.

    Attributes:
        target: a key of `RUNTIMES`.
        findings: a node each, in the order of the graph.

    """

    target: str
    findings: Sequence[Finding]

    @property
    def is_mendable(self) -> bool:
        """Whether `treat` has a mend for the first cause of a node."""
        return any(finding.causes[0].mend for finding in self.findings if finding.causes)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return how many nodes compute in integers, and of how many, by their kind."""
        return {
            kind: (sum(finding.verdict in _IN_INTEGERS for finding in found), len(found))
            for kind, found in self._by_kind().items()
        }

    def summary(self) -> list[str]:
        """Say it in a line for each kind: `31 of 49 convolutions run in int8; the rest: 12 float bias, 6 clamp`."""
        lines = []
        for kind, found in self._by_kind().items():
            rest = [finding for finding in found if finding.verdict not in _IN_INTEGERS]
            line = f"{len(found) - len(rest)} of {len(found)} {kind} run in int8"
            counted = Counter(finding.causes[0].name for finding in rest).most_common()
            reasons = ", ".join(f"{count} {name}" for name, count in counted)
            lines.append(f"{line}; the rest: {reasons}" if reasons else line)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "target": self.target,
            "counts": {kind: {"int8": done, "all": count} for kind, (done, count) in self.counts().items()},
            "nodes": [finding.to_dict() for finding in self.findings],
        }

    def _by_kind(self) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            kind = next((kind for kind, types in _GROUPS.items() if finding.op_type in types), "other nodes")
            found.setdefault(kind, []).append(finding)
        return {kind: found[kind] for kind in (*_GROUPS, "other nodes") if kind in found}


_IN_INTEGERS = frozenset({Verdict.INTEGER, Verdict.ABSORBED})


def diagnose(source: Source, target: str = "x64") -> Diagnosis:
    """Say of every node that computes with real numbers whether a target runs it in integers, and why not.

    Args:
        source: a model with QuantizeLinear and DequantizeLinear, or operators of integers, or both.
        target: `x64`, onnxruntime's CPU kernels, or `tensorrt`.

    Raises:
        ModelError: it cannot be read, or holds no quantized node.
        TargetError: there is no such target.

    """
    runtime_of(target)
    return examine(open_quantized(source), target)


def examine(model: ir.Model, target: str) -> Diagnosis:
    """Say so of a model whose types are inferred, and which may hold no quantized node."""
    runtime, opset = runtime_of(target), model.opset_imports.get("", 0)
    return Diagnosis(target, [_finding(node, opset, runtime) for node in _computing(model)])


def runtime_of(target: str) -> Runtime:
    """Return what is known of a target; raises TargetError where there is none of that name."""
    if target not in RUNTIMES:
        hint = did_you_mean(target, RUNTIMES)
        raise TargetError(f"the doctor knows no target {target!r}{hint}; there are {', '.join(RUNTIMES)}")
    return RUNTIMES[target]


def _finding(node: ir.Node, opset: int, runtime: Runtime) -> Finding:
    site, kind = Site(node, opset), (qoperator(node) or node).op_type
    if runtime.runs_integer_operators and (computes_in_integers(node) or node.outputs[0].dtype in _BYTES):
        return Finding(label(node), kind, Verdict.INTEGER)
    if runtime.absorbs(site):
        return Finding(label(node), kind, Verdict.ABSORBED)
    causes = tuple(rule for rule in runtime.rules if rule.applies(site))
    if not causes:
        return Finding(label(node), kind, Verdict.INTEGER)
    wrong = all(rule.wrong for rule in causes)
    return Finding(label(node), kind, Verdict.WRONG if wrong else Verdict.FLOAT, causes)


def _computing(model: ir.Model) -> Iterator[ir.Node]:
    """Yield the nodes that compute with real numbers or integers of eight bits in place of them."""
    for node in nodes(model):
        skipped = (
            is_op(node, "Constant", "Identity") or is_inert_dropout(node) or is_quantize(node) or is_dequantize(node)
        )
        kind = node.outputs[0].dtype if node.outputs else None
        if not skipped and (kind in _REAL or computes_in_integers(node) or (kind in _BYTES and not _is_cast(node))):
            yield node


_REAL = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def _is_cast(node: ir.Node) -> bool:
    return is_op(node, "Cast")
