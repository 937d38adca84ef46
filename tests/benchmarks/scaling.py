"""Time of the default preset on graphs of growing size: python -m tests.benchmarks.scaling [NODES …].

The graph is a chain of blocks that hold what passes work on: convolutions with BatchNormalization in two
branches, identities, repeated subexpressions, constants to fold, shape arithmetic, nodes that nobody reads.
Linear means that the last column stays where it is from row to row.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

import graphopt
from graphopt.pipeline.report import Report

SIZES = (5_000, 10_000, 20_000)
CHANNELS, SIDE = 4, 8


def chain(nodes: int, *, seed: int = 0) -> ir.Model:
    """Return a valid model of about `nodes` nodes, with a free batch."""
    builder = _Builder(np.random.default_rng(seed))
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["N", CHANNELS, SIDE, SIDE]))
    value = x
    while len(builder.nodes) < nodes:
        value = builder.block(value)
    value.name, value.type, value.shape = "y", x.type, x.shape
    graph = ir.Graph([x], [value], nodes=builder.nodes, initializers=builder.weights, opset_imports={"": 17}, name="g")
    return ir.Model(graph, ir_version=8)


class _Builder:
    """Collects nodes and weights."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.nodes: list[ir.Node] = []
        self.weights: list[ir.Value] = []
        self._rng = rng

    def block(self, x: ir.Value) -> ir.Value:
        """Append one block, which keeps the shape."""
        left, right = self._branch(x), self._branch(x)
        same = [self._node("Sigmoid", left) for _ in range(2)]
        self._node("Tanh", right)  # read by nobody
        joined = self._node("Add", self._node("Mul", *same), right)
        return self._reshaped(self._node("Mul", joined, self._constant()))

    def _branch(self, x: ir.Value) -> ir.Value:
        convolved = self._node("Conv", x, self._weight(CHANNELS, CHANNELS, 1, 1))
        statistics = [self._weight(CHANNELS) for _ in range(4)]
        return self._node("Relu", self._node("Identity", self._node("BatchNormalization", convolved, *statistics)))

    def _constant(self) -> ir.Value:
        return self._node("Sqrt", self._node("Add", self._weight(1), self._weight(1)))

    def _reshaped(self, x: ir.Value) -> ir.Value:
        """Flatten and restore, the batch computed from the shape, as exporters write it."""
        batch = self._node("Gather", self._node("Shape", x), self._integers(0))
        flat = self._node("Reshape", x, self._node("Concat", batch, self._integers(-1), axis=0))
        full = self._node("Concat", batch, self._integers(CHANNELS, SIDE, SIDE), axis=0)
        return self._node("Reshape", self._node("Neg", flat), full)

    def _node(self, op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = ir.node(op_type, inputs, attributes, outputs=[ir.Value(name=f"v{len(self.nodes)}")])
        self.nodes.append(node)
        return node.outputs[0]

    def _weight(self, *shape: int) -> ir.Value:
        return self._initializer(self._rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def _integers(self, *numbers: int) -> ir.Value:
        return self._initializer(np.array(numbers, np.int64))

    def _initializer(self, array: np.ndarray) -> ir.Value:
        self.weights.append(ir.val(f"w{len(self.weights)}", const_value=ir.tensor(array)))
        return self.weights[-1]


def main(sizes: list[int]) -> None:
    """Write the table, row by row as it is measured."""
    for line in table(sizes):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def table(sizes: list[int]) -> Iterator[str]:
    """Yield the lines of a Markdown table: seconds in all, in each pass, and around the passes."""
    graphopt.optimize(chain(100))  # what is loaded on first use
    for index, size in enumerate(sizes):
        report, seconds = measure(size)
        passes = {record.text: record.seconds for record in report.merged()}
        if index == 0:
            yield f"| nodes | → | seconds | {' | '.join(passes)} | load, verify, report | µs a node |"
            yield "|---" * (len(passes) + 5) + "|"
        cells = [f"{report.before.nodes:,}", f"{report.after.nodes:,}", f"{seconds:.2f}"]
        cells += [f"{taken:.2f}" for taken in (*passes.values(), seconds - report.seconds)]
        yield f"| {' | '.join(cells)} | {seconds / report.before.nodes * 1e6:.0f} |"


def measure(nodes: int) -> tuple[Report, float]:
    """Optimize a graph of that size; return the report and the seconds it took, the making of the graph aside."""
    model = chain(nodes)
    start = time.perf_counter()
    _, report = graphopt.optimize(model)
    return report, time.perf_counter() - start


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
