"""Stories for tests of the page, made by hand, so that a test says what it shows."""

from __future__ import annotations

from typing import Any


def story(blocks: int = 2) -> dict[str, Any]:
    """Return the history of a network of residual blocks whose normalizations are folded, and then its activations."""
    values: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []

    def value(name: str, shape: list[int], kind: str = "value", **more: Any) -> int:
        values.append({"name": name, "dtype": "float32", "shape": shape, "kind": kind, **more})
        return len(values) - 1

    def node(identity: int, op: str, inputs: list[int | None], output: int, scope: str, **more: Any) -> int:
        name = f"{scope}/{op.lower()}{identity}"
        path = ["stages", f"stages/{scope}"]
        made = {"id": identity, "op": op, "domain": "", "name": name, "label": f"{op} '{name}'", "scope": path}
        made |= {"inputs": inputs, "outputs": [output], "attributes": {}, "metrics": {"bytes": 4096}, "device": None}
        made |= {"kernel": None, "parents": [], "made_by": [], "sources": []}
        nodes.append(made | more)
        return len(nodes) - 1

    spread = {"min": -1.0, "max": 1.0, "mean": 0.0, "std": 0.4, "zeros": 0.25, "histogram": list(range(32))}
    start = last = value("image", [1, 8, 16, 16], "input")
    before, folded, fused = [], [], []
    for block in range(blocks):
        scope = f"block{block}"
        at = block * 10
        weight = value(f"{scope}.weight", [8, 8, 3, 3], "constant", statistics=spread)
        scale = value(f"{scope}.scale", [8], "constant")
        conv, normal, active, total = (value(f"{scope}.{name}", [1, 8, 16, 16]) for name in ("c", "n", "r", "s"))
        metrics = {"metrics": {"macs": 147456 * (block + 1), "parameters": 576, "bytes": 9000, "zeros": 0.25}}
        attributes = {"attributes": {"kernel_shape": "[3, 3]", "strides": "[2, 2]"}}
        made_by = [{"pass": "fold-batch-norm", "rule": "ConvThenBatchNorm", "at": f"{scope}.n"}]
        old = node(at, "Conv", [last, weight], conv, scope, **metrics, **attributes)
        norm = node(at + 1, "BatchNormalization", [conv, scale, scale, scale, scale], normal, scope)
        relu = node(at + 2, "Relu", [normal], active, scope)
        add = node(at + 3, "Add", [active, last], total, scope)
        both = {"parents": [at, at + 1], "made_by": made_by, "sources": [f"{scope}/conv", f"{scope}/bn"]}
        new = node(at + 4, "Conv", [last, weight, scale], normal, scope, **metrics, **attributes, **both)
        kernel = node(at + 5, "ConvRelu", [last, weight, scale], active, scope, **metrics, parents=[at + 4, at + 2])
        before += [old, norm, relu, add]
        folded += [new, relu, add]
        fused += [kernel, add]
        last = total
    missed = {"verdict": "missed", "node": 3, "label": "Add", "message": "its first input has a second use"}

    def stage(name: str, held: list[int], changes: int, *remarks: dict[str, Any]) -> dict[str, Any]:
        counts = {"nodes": len(held), "parameters": 592 * blocks}
        made = {"name": name, "run": 1, "changes": changes, "seconds": 0.003, "size": counts}
        return made | {"inputs": [start], "outputs": [last], "nodes": held, "remarks": list(remarks)}

    stages = [
        stage("before", before, 0),
        stage("fold-batch-norm", folded, blocks, missed),
        stage("fuse-operators", fused, blocks),
    ]
    head = {"format": 1, "kind": "history", "title": "blocks <b>&.onnx", "graphopt": "0.1.0", "pipeline": "O2"}
    rest = {"target": None, "notes": ["A note."], "values": values, "nodes": nodes, "stages": stages}
    return head | rest | {"idle": [{"name": "fold-pad", "seconds": 0.001, "remarks": []}]}


def chain(length: int, *, scoped: int = 0) -> dict[str, Any]:
    """Return a model of one long chain, in boxes of `scoped` nodes or in none."""
    made = story(1)
    values = [{"name": f"v{at}", "dtype": "float32", "shape": [1, 8], "kind": "value"} for at in range(length + 1)]
    values[0]["kind"] = "input"
    like = made["nodes"][2]
    nodes = [
        like
        | {"id": at, "name": f"relu{at}", "inputs": [at], "outputs": [at + 1], "made_by": [], "parents": []}
        | {"scope": [f"part{at // scoped}"] if scoped else []}
        for at in range(length)
    ]
    stage = made["stages"][0] | {"nodes": list(range(length)), "inputs": [0], "outputs": [length]}
    return made | {"kind": "model", "values": values, "nodes": nodes, "stages": [stage], "idle": []}
