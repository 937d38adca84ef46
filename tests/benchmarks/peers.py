"""Other optimizers of ONNX graphs on the same models: python -m tests.benchmarks.peers (extra `bench`).

Prints two Markdown tables, one row a model: nodes without Constants in portable `ai.onnx` output, and seconds of
each tool, its best of three runs in this process on a model in memory.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import onnx
import onnx_ir as ir
import onnxruntime
import onnxscript.optimizer
import onnxsim
import onnxslim

import graphopt
from tests.conformance.light_models import LIGHT_MODELS, light_model
from tests.shared_models import SHARED_MODELS

Optimizer = Callable[[onnx.ModelProto], onnx.ModelProto]
RUNS = 3


def main() -> None:
    """Write both tables as they are measured."""
    results: dict[str, list[tuple[int | None, float]]] = {}
    for name, make in models().items():
        proto = make()
        results[name] = [measure(tool, proto) for tool in TOOLS.values()]
        sys.stderr.write(f"{name}\n")
    write("nodes", ((name, [cell(count) for count, _ in row]) for name, row in results.items()))
    write("seconds", ((name, [f"{seconds:.2f}" for _, seconds in row]) for name, row in results.items()))


def models() -> dict[str, Callable[[], onnx.ModelProto]]:
    """Return what makes the light networks with random weights, and then reads the trained ones that are there."""
    light = {f"light {name}": partial(typed, name) for name in LIGHT_MODELS}
    return light | {model.name: partial(onnx.load, model.path) for model in SHARED_MODELS if model.path.exists()}


def typed(name: str) -> onnx.ModelProto:
    """Return a light network with the types that peers ask for."""
    return onnx.shape_inference.infer_shapes(ir.to_proto(light_model(name)))


def measure(tool: Optimizer, proto: onnx.ModelProto) -> tuple[int | None, float]:
    """Return the nodes that a tool leaves, None where it fails, and its fastest run."""
    best = float("inf")
    count: int | None = None
    for _ in range(RUNS):
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        start = time.perf_counter()
        try:
            optimized = tool(copy)
        except Exception as error:  # noqa: BLE001  # a peer may fail in its own way; that is its result
            sys.stderr.write(f"{error}\n")
            return None, float("nan")
        best = min(best, time.perf_counter() - start)
        count = sum(node.op_type != "Constant" for node in optimized.graph.node)
    return count, best


def by_graphopt(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Run our default preset."""
    return ir.to_proto(graphopt.optimize(proto).model)


def by_onnxruntime(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Run the `basic` level, whose output is portable."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = f"/dev/shm/graphopt-peer-{os.getpid()}.onnx"  # noqa: S108  # it only writes to files
    options.log_severity_level = 4
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def by_onnxscript(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Run the optimizer with its default rules."""
    return onnxscript.optimizer.optimize(proto)


def by_onnxsim(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify, without its own check of the answers."""
    return onnxsim.simplify(proto)[0]


TOOLS: dict[str, Optimizer] = {
    "graphopt": by_graphopt,
    "onnxsim": by_onnxsim,
    "onnxslim": onnxslim.slim,
    "onnxscript": by_onnxscript,
    "onnxruntime basic": by_onnxruntime,
}


def cell(count: int | None) -> str:
    """Format a count."""
    return "failed" if count is None else str(count)


def write(what: str, rows: Iterator[tuple[str, list[str]]]) -> None:
    """Write one table."""
    sys.stdout.write(f"\n| {what} | {' | '.join(TOOLS)} |\n{'|---' * (len(TOOLS) + 1)}|\n")
    for name, cells in rows:
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
