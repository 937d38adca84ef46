"""Send many random graphs through the default preset: python -m tests.properties.long_run --graphs 20000 --seed 0.

Graphs come in blocks, each with a seed of its own. After a block the totals are written, so that a run that was
stopped goes on where it was. Each failure is kept as a folder: the model, and what is wrong with it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from hypothesis import HealthCheck, Phase, given, seed, settings

from graphopt.files import atomic_path
from tests.properties.random_graphs import RandomModel, quick_random_graphs
from tests.properties.survival import operators, outcome, reference_of

BLOCK = 100


@dataclass
class Totals:
    """What all blocks came to.

    Attributes:
        blocks: how many are done.
        compared: graphs that onnxruntime runs as they are, each counted once.
        survived: those that stay valid, keep their answers and have nothing left to do.
        unfit: graphs that onnxruntime does not run.
        resized: those compared at two sizes of their symbols.
        nodes, nodes_after: of all compared together.
        least, most: nodes of the smallest and of the largest.
        seconds: how long it all took.
        operators, rules: in how many graphs each occurs, or was applied.
        failures: the names of their folders, with the reason.

    """

    blocks: int = 0
    compared: int = 0
    survived: int = 0
    unfit: int = 0
    resized: int = 0
    nodes: int = 0
    nodes_after: int = 0
    least: int = 10**9
    most: int = 0
    seconds: float = 0.0
    operators: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Totals:
        """Return what a file holds, or nothing yet."""
        totals = cls(**json.loads(path.read_text())) if path.exists() else cls()
        totals.operators, totals.rules = Counter(totals.operators), Counter(totals.rules)
        return totals

    def __str__(self) -> str:
        compared = max(self.compared, 1)
        mean, mean_after = self.nodes / compared, self.nodes_after / compared
        lines = [
            f"{self.survived} of {self.compared} graphs survive the default preset; {self.unfit} more do not run",
            f"{self.least} to {self.most} operators each, {mean:.1f} in the mean and {mean_after:.1f} afterwards",
            f"{len(self.operators)} different operators; {self.resized} graphs compared at a second size",
            f"{self.seconds:.0f} s",
            *(f"{count / compared:7.2%} {rule}" for rule, count in self.rules.most_common()),
            *(f"FAILED {name}: {why}" for name, why in self.failures.items()),
        ]
        return "\n".join(lines)


class Run:
    """A run, which may be the continuation of an earlier one."""

    def __init__(self, folder: Path, first_seed: int) -> None:
        self._folder = folder
        self._state = folder / f"seed-{first_seed}.json"
        self._first_seed = first_seed
        self._seen: set[bytes] = set()
        self.totals = Totals.read(self._state)

    def until(self, graphs: int) -> None:
        """Go on until so many graphs are compared."""
        while self.totals.compared < graphs:
            start = time.perf_counter()
            self._block(self._first_seed * 1_000_003 + self.totals.blocks)
            self.totals.blocks += 1
            self.totals.seconds += time.perf_counter() - start
            with atomic_path(self._state) as path:
                path.write_text(json.dumps(vars(self.totals)))
            say(f"{self.totals.survived} of {self.totals.compared}, {self.totals.seconds:.0f} s")

    def _block(self, block_seed: int) -> None:
        @seed(block_seed)
        @settings(
            max_examples=BLOCK,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(quick_random_graphs())
        def block(model: RandomModel) -> None:
            self._one(model)

        block()

    def _one(self, model: RandomModel) -> None:
        digest = hashlib.sha256(model.proto.SerializeToString()).digest()
        if digest in self._seen:
            return
        self._seen.add(digest)
        totals = self.totals
        reference = reference_of(model)
        if reference is None:
            totals.unfit += 1
            return
        counts = operators(model.proto)
        found = outcome(model, reference)
        totals.compared += 1
        totals.resized += reference.resized
        totals.nodes += counts.total()
        totals.least, totals.most = min(totals.least, counts.total()), max(totals.most, counts.total())
        totals.operators.update(counts.keys())
        totals.rules.update(found.rules.keys())
        totals.nodes_after += found.report.after.nodes if found.report else 0
        if found.problem is None:
            totals.survived += 1
        else:
            self._keep(model, f"{totals.blocks}-{totals.compared}", found.problem)

    def _keep(self, model: RandomModel, name: str, problem: str) -> None:
        folder = self._folder / f"seed-{self._first_seed}" / name
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(model.proto, folder / "model.onnx")
        details = {"problem": problem, "shapes": model.shapes, "exact": sorted(model.exact)}
        (folder / "problem.json").write_text(json.dumps(details))
        self.totals.failures[name] = problem
        say(f"FAILED {name}: {problem}")


def say(text: str) -> None:
    """Write a line at once: whoever waits for hours wants to see it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the options, run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("long_run"), help="for the state and the failures")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    run = Run(options.folder, options.seed)
    run.until(options.graphs)
    say(str(run.totals))


if __name__ == "__main__":
    main()
