"""`check=rewrite`: each single rewrite is executed before and after, and refused where the answers differ."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from graphopt.errors import GraphoptError, ModelError, RunError
from graphopt.ir.save import save
from graphopt.ir.traits import has_references, is_standard
from graphopt.ir.walk import subgraphs
from graphopt.npz import write_arrays
from graphopt.numerics import DEFAULT_TOLERANCE
from graphopt.pipeline.check import Check, Rewrite
from graphopt.pipeline.trial import Failure, Trial

CONTEXTS = (2, 8)
"""How many levels of producers are taken in, one after the other, before a rewrite is refused."""

MOST_NODES = 64


@dataclass(frozen=True)
class RolledBack:
    """A rewrite that changed answers and did not happen.

    Attributes:
        rewrite: which, in words.
        reason: how the answers differ.
        reproducer: holds before.onnx, after.onnx and inputs.npz; None where it could not be written.

    """

    rewrite: str
    reason: str
    reproducer: Path | None

    def __str__(self) -> str:
        where = f"; see {self.reproducer}" if self.reproducer else ""
        return f"rolled back: {self.rewrite}: {self.reason}{where}"


class RewriteCheck(Check):
    """Runs the left and the right side of each rewrite as small models in onnxruntime, nothing optimized.

    Inputs are random and adversarial (`graphopt.pipeline.adversary`), free dimensions get sizes. Both sides
    must agree within the tolerance, or within the noise of the left side. Where they do not, the rule may
    know more of its inputs than their type: producers are taken in, and if the sides agree then, it does. The
    same helps where free inputs do not fit the left side. A rewrite whose left side onnxruntime cannot run is
    let through, and counted.

    Args:
        seed: of the inputs.
        tolerance: of an output, relative to its scale (`graphopt.numerics`).
        folder: where reproducers go, a folder each; temporary folders if None.

    Attributes:
        passed: how many rewrites agreed.
        rolled_back: those that did not, and did not happen.
        unchecked: those that could not be executed, with the reason.

    """

    def __init__(self, *, seed: int = 0, tolerance: float = DEFAULT_TOLERANCE, folder: Path | None = None) -> None:
        self.passed = 0
        self.rolled_back: list[RolledBack] = []
        self.unchecked: dict[str, str] = {}
        self._seed = seed
        self._tolerance = tolerance
        self._folder = folder
        self._refused: dict[tuple[object, ...], str] = {}

    def refuse(self, rewrite: Rewrite) -> str | None:
        """Execute both sides; return how they differ and where the reproducer is, or None."""
        key = (rewrite.rule, *rewrite.matched)
        if key not in self._refused:
            try:
                failed = self._try(rewrite)
            except (ModelError, RunError) as error:
                self.unchecked[str(rewrite)] = str(error)
                return None
            if failed is None:
                self.passed += 1
                return None
            self._refused[key] = self._roll_back(rewrite, failed)
        return self._refused[key]

    def summary(self) -> str:
        """Say what was checked."""
        return f"{self.passed} rewrites hold, {len(self.rolled_back)} rolled back, {len(self.unchecked)} not executable"

    def findings(self) -> list[str]:
        """Tell of each rewrite that was rolled back, or not executed."""
        unchecked = (f"not executable: {rewrite}: {reason}" for rewrite, reason in self.unchecked.items())
        return [*map(str, self.rolled_back), *unchecked]

    def _try(self, rewrite: Rewrite) -> Failure | None:
        """Return how the sides differ on free inputs, or None where they agree there or in their context.

        Raises:
            ModelError, RunError: the left side does not run, not even in its context.

        """
        failed: Failure | None = None
        unrunnable: GraphoptError | None = None
        for context in _contexts(rewrite):
            try:
                found = Trial(rewrite, context, seed=self._seed, tolerance=self._tolerance).run()
            except (ModelError, RunError) as error:
                unrunnable = unrunnable or error
                continue
            if found is None:
                return None
            failed = failed or found
        if failed is None and unrunnable is not None:
            raise unrunnable
        return failed

    def _roll_back(self, rewrite: Rewrite, failed: Failure) -> str:
        reason = f"on {failed.kind} inputs its {failed.difference}"
        try:
            folder: Path | None = _write(failed, self._folder, rewrite)
        except (GraphoptError, OSError):
            folder = None
        self.rolled_back.append(RolledBack(str(rewrite), reason, folder))
        return f"{rewrite.rule} would change its answers: {reason}"


def _contexts(rewrite: Rewrite) -> Iterator[tuple[ir.Node, ...]]:
    """Yield the nodes to run with a rewrite: none, and then more and more of those before it."""
    context: tuple[ir.Node, ...] = ()
    yield context
    for levels in CONTEXTS:
        wider = _upstream(rewrite, levels)
        if len(wider) > len(context):
            context = wider
            yield context


def _upstream(rewrite: Rewrite, levels: int) -> tuple[ir.Node, ...]:
    """Return the producers of what a rewrite reads, so many levels up."""
    graph = rewrite.matched[0].graph
    found: dict[ir.Node, None] = {}
    front = [*rewrite.matched, *rewrite.built]
    for _ in range(levels):
        producers = (value.producer() for node in front for value in node.inputs if value is not None)
        front = [
            node
            for node in dict.fromkeys(producers)
            if node is not None and node.graph is graph and node not in found and node not in rewrite.matched
            if is_standard(node) and not has_references(node) and not any(subgraphs(node))
        ]
        if not front or len(found) + len(front) > MOST_NODES:
            break
        found |= dict.fromkeys(front)
    return tuple(found)


def _write(failed: Failure, parent: Path | None, rewrite: Rewrite) -> Path:
    name = re.sub(r"[^\w.-]+", "_", f"{rewrite.pass_name}-{rewrite.rule}-{rewrite.at}")
    folder = Path(tempfile.mkdtemp(prefix="graphopt-rewrite-")) if parent is None else parent / name
    folder.mkdir(parents=True, exist_ok=True)
    save(failed.before, folder / "before.onnx")
    save(failed.after, folder / "after.onnx")
    write_arrays(folder / "inputs.npz", failed.feeds)
    return folder
