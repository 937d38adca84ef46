"""A plan for some of its nodes only: what one layer costs, and what sparing one saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import onnx_ir as ir

from graphopt.inspect.fidelity import Judge
from graphopt.quantization.emit import emit
from graphopt.quantization.obstacles import activations, clamp_of
from graphopt.quantization.plan import Plan
from graphopt.quantization.selection import Selection
from graphopt.quantization.sensitivity import Evaluate


def results_of(model: ir.Model, plan: Plan) -> dict[str, str]:
    """Return the value that each node of a plan makes, by the name of its first output, in the order of the graph.

    It is that output, or what a Relu or Clip leaves of it that the node has absorbed; such clamps are no nodes here.
    """
    results: dict[str, str] = {}
    for node in model.graph:
        name = str(node.outputs[0].name) if node.outputs else ""
        if name not in plan.nodes:
            continue
        clamped = str(node.inputs[0].name) if clamp_of(node) and node.inputs[0] is not None else ""
        if clamped in results and clamped not in plan.values:
            results[clamped] = name
        else:
            results[name] = name
    return results


def restrict(model: ir.Model, plan: Plan, nodes: Collection[str]) -> Plan:
    """Return the plan with integers in, and around, the named nodes alone; the others compute in float32.

    Args:
        model: that the plan was made for.
        plan: the decisions for all.
        nodes: keys of `results_of`.

    """
    kept = {name: result for name, result in results_of(model, plan).items() if name in nodes}
    around = set(kept.values())
    for node in model.graph:
        if node.outputs and node.outputs[0].name in kept:
            around.update(str(value.name) for value in (*node.outputs, *(read for _, read in activations(node))))
    return dataclasses.replace(
        plan,
        nodes=plan.nodes & {*kept, *kept.values()},
        values={name: affine for name, affine in plan.values.items() if name in around},
    )


def narrow(plan: Plan, selection: Selection) -> Plan:
    """Return the plan for a selection of fewer nodes; their parameters stay."""
    chosen = {str(node.outputs[0].name) for node in selection.nodes}
    values = {str(value.name) for value in selection.values}
    return dataclasses.replace(
        plan,
        nodes=plan.nodes & chosen,
        values={name: affine for name, affine in plan.values.items() if name in values},
    )


def answer_error(model: ir.Model, plan: Plan, form: str, judge: Judge) -> Evaluate:
    """Return the function that says the relative error of the answers with some nodes of a plan quantized.

    Args:
        model: that the plan was made for.
        plan: the decisions for all.
        form: how to write them (`graphopt.quantization.forms.FORMS`).
        judge: knows the model's answers to a few samples.

    """

    def evaluate(nodes: frozenset[str]) -> float:
        quantized = model.clone()
        emit(quantized, restrict(model, plan, nodes), form)
        return judge.error(quantized)

    return evaluate
