"""Optimizers on the operator cases of ONNX: python -m tests.benchmarks.conformance [TOOL …] (extra `bench`).

Prints a Markdown table, one row a tool: of how many cases, in all three forms, the result is a valid model that
onnxruntime runs, with the same answer and interface; and how many of the cases whose inputs are all constant fold
away, once of all and once of those that every tool can be asked for: numbers of the common types, opset 25 at most.
A case that the reference does not run is left out. Tools run in a process of their own, since some cases end them.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import onnx
from onnx import TensorProto

from tests.benchmarks.peers import TOOLS
from tests.conformance.cases import FORMS, Case, reference
from tests.conformance.judgement import difference
from tests.conformance.node_cases import node_cases
from tests.conformance.wheel_models import wheel_models

SECONDS_A_CASE = 60
COMMON_OPSET = 25
COMMON_TYPES = {
    TensorProto.BOOL, TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT16, TensorProto.INT32,
    TensorProto.INT64, TensorProto.INT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64, TensorProto.UINT8,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What a tool did to a case in one form: `failure` says what is wrong, `nodes` are those left."""

    case: str
    form: str
    failure: str | None
    nodes: int = 0
    constant: bool = False
    common: bool = False


def main() -> None:
    """Write one row a tool, and what failed to the error output."""
    os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
    out = sys.stdout.write
    out("| tool | valid, with the same answer | all constant: folded | of the common ones |\n|---|---|---|---|\n")
    for tool in sys.argv[1:] or TOOLS:
        verdicts = list(judged(tool))
        constant = [verdict for verdict in verdicts if verdict.constant]
        common = [verdict for verdict in constant if verdict.common]
        good = sum(not verdict.failure for verdict in verdicts)
        out(f"| {tool} | {good:,} of {len(verdicts):,} | {share(constant)} | {share(common)} |\n")
        for verdict in verdicts:
            if verdict.failure:
                sys.stderr.write(f"{tool}: {verdict.case}, {verdict.form}: {verdict.failure}\n")


def share(verdicts: Sequence[Verdict]) -> str:
    """Count those of which nothing is left, and nothing is wrong."""
    return f"{sum(not verdict.failure and not verdict.nodes for verdict in verdicts):,} of {len(verdicts):,}"


def judged(tool: str) -> Iterator[Verdict]:
    """Yield the verdicts on all cases, by a process that is started again where a case ends it."""
    cases = (*node_cases(), *wheel_models())
    todo = [(form, case) for form in FORMS for case in cases if FORMS[form](case)]
    while todo:
        ours, theirs = multiprocessing.Pipe()
        worker = multiprocessing.get_context("fork").Process(target=work, args=(tool, todo, theirs))
        worker.start()
        theirs.close()
        while todo:
            form, case = todo.pop()
            try:
                if not ours.poll(SECONDS_A_CASE):
                    raise TimeoutError
                verdict = ours.recv()
            except (EOFError, TimeoutError):
                yield about(case, form, "ends the process, or takes a minute")
                break
            if verdict:
                yield verdict
        worker.kill()
        worker.join()


def work(tool: str, todo: Sequence[tuple[str, Case]], results: Connection) -> None:
    """Judge cases, the last one first, in silence."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for form, case in reversed(todo):
        results.send(judge(tool, case, form))


def judge(tool: str, case: Case, form: str) -> Verdict | None:
    """Judge a tool by one case; None where the reference does not run it."""
    made = FORMS[form](case)
    answer = reference(made) if made else None
    if made is None or answer is None:
        return None
    given = onnx.ModelProto()
    given.CopyFrom(made.model)
    try:
        optimized = TOOLS[tool](given)
        wrong = difference(made, answer, optimized)
    except Exception as error:  # noqa: BLE001  # a peer may fail in its own way; that is its result
        return about(case, form, f"fails: {str(error)[:200]!r}")
    return about(case, form, wrong, sum(node.op_type != "Constant" for node in optimized.graph.node))


def about(case: Case, form: str, failure: str | None, nodes: int = 0) -> Verdict:
    """Say of what kind the case is that a verdict is about."""
    made = FORMS[form](case)
    constant = form == "all constant" and made is not None and not made.inputs
    return Verdict(case.name, form, failure, nodes, constant, is_common(case.model))


def is_common(model: onnx.ModelProto) -> bool:
    """Whether a model has tensors of common types alone, of operators that every tool has heard of."""
    values = (*model.graph.input, *model.graph.output)
    plain = all(item.type.tensor_type.elem_type in COMMON_TYPES for item in values)
    return plain and all(item.version <= COMMON_OPSET and not item.domain for item in model.opset_import)


if __name__ == "__main__":
    main()
