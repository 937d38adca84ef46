"""Netron's own reader opens what we write: its modules run in Node, where there is one, without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import graphopt
from graphopt.ir.save import save
from models import TOPOLOGIES
from tests.networks import network

READER = """
import { readFileSync } from "node:fs";
const [home, file] = process.argv.slice(1);
const read = (name) => import(`${home}/${name.replace("./", "")}.js`);
const view = await read("view"), base = await read("base");
const fail = (error) => { throw error; };
const asset = async (name) => readFileSync(`${home}/${name}`, "utf-8");
const host = {
  window: globalThis, document: {}, type: "Test", environment: () => null, event: () => {}, exception: fail,
  require: read, asset,
};
const stream = new base.BinaryStream(new Uint8Array(readFileSync(file)));
const context = {
  identifier: file.split("/").pop(), name: file, stream, host, require: read, asset, request: asset, error: fail,
  set: () => {},
};
const model = await new view.ModelFactoryService(host).open(context);
const [graph] = model.modules;
console.log(JSON.stringify({
  format: model.format, imports: model.imports,
  nodes: graph.nodes.map((node) => node.type.name),
  metadata: graph.nodes.map((node) => (node.metadata ?? []).map((one) => one.name)),
  inputs: graph.inputs.map((one) => one.name), outputs: graph.outputs.map((one) => one.name),
  functions: (model.functions ?? []).map((one) => [one.name, one.nodes.length]),
}));
"""
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or find_spec("netron") is None, reason="Node or Netron is not installed"
)


def opened(path: Path) -> Any:
    spec = find_spec("netron")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    command = ["node", "--input-type=module", "--eval", READER, str(home), str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_opens_an_optimized_network(tmp_path: Path) -> None:
    model, _ = graphopt.optimize(TOPOLOGIES["squeezenet1.1"](image=32))
    save(model, tmp_path / "m.onnx")
    found = opened(tmp_path / "m.onnx")
    assert found["format"].startswith("ONNX")
    assert found["nodes"] == [node.op_type for node in model.graph]
    assert found["inputs"] == ["image"]


def test_it_opens_kernels_as_functions(tmp_path: Path) -> None:
    model, _ = graphopt.optimize(network(), "O3")
    save(model, tmp_path / "m.onnx")
    found = opened(tmp_path / "m.onnx")
    assert found["nodes"] == ["ConvRelu"]
    assert found["functions"] == [["ConvRelu", 2]]
    assert "graphopt.fused v1" in found["imports"]
    assert ["graphopt.provenance"] in found["metadata"]


def test_it_opens_quantized_and_external_models(tmp_path: Path) -> None:
    model, _ = graphopt.optimize(
        network("g (float[1,4] x) => (float[1,4] y) <float[4,4] w> { h = MatMul (x, w)  y = Relu (h) }")
    )
    save(model, tmp_path / "m.onnx", external_data=True, smallest_external=0)
    assert opened(tmp_path / "m.onnx")["nodes"] == ["MatMul", "Relu"]
