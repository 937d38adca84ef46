"""`graphopt inspect --stage`: the kernels of a model from Relax to assembly, and their schedules in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from graphopt.cli.main import build_app
from graphopt.ir.save import save
from tests.networks import network

POOLED = """
g (float[N,3,8,8] x) => (float[N,5] y)
<float[16,3,3,3] w, float[16,5] m>
{
    [first] c = Conv <pads = [1,1,1,1]> (x, w)
    r = Relu (c)
    [pool] p = MaxPool <kernel_shape = [8,8]> (r)
    f = Flatten (p)
    [last] y = MatMul (f, m)
}
"""
SHAPE = "--input-shape", "x:1,3,8,8"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    save(network(POOLED), "model.onnx")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(["inspect"]), ["inspect", "model.onnx", *map(str, arguments)])


def kernels(*arguments: object) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["kernels"]
    return found


def test_relax_calls_kernels_that_are_not_scheduled_yet() -> None:
    main, *others = kernels("--stage", "relax")
    assert main["kernel"] == "main"
    assert all(one["kernel"] in main["text"] for one in others)
    assert [one for one in others if "T.parallel" in one["text"] or "T.vectorized" in one["text"]] == []
    nodes = " ".join(node for one in others for node in one["nodes"])
    assert all(name in nodes for name in ("Conv 'first'", "Relu", "MaxPool 'pool'", "'last'"))


def test_tir_is_scheduled_and_says_how() -> None:
    (conv,) = kernels("--stage", "tir", "--kernel", "first", "--target", "cpu{mtriple=x86_64-linux-gnu mcpu=x86-64-v3}")
    assert "T.vectorized(8)" in conv["text"]
    assert "vectors of 8 elements" in conv["schedule"]
    assert conv["schedule"][0] == "the schedule of conv"
    assert any(sentence.startswith("sums of") and "(tile " in sentence for sentence in conv["schedule"])
    (wide,) = kernels("--stage", "tir", "--kernel", "first", "--target", "cpu{mtriple=x86_64-linux-gnu mcpu=x86-64-v4}")
    assert "vectors of 16 elements" in wide["schedule"]


def test_tir_of_a_gpu_is_that_of_blocks_and_threads() -> None:
    (conv,) = kernels("--stage", "tir", "--kernel", "first", "--target", "cuda")
    assert "threadIdx.x" in conv["text"]
    assert any(sentence.startswith("dealt out to blocks and threads of a GPU") for sentence in conv["schedule"])


def test_llvm_and_assembly_are_of_the_target() -> None:
    older = "--target", "cpu{mtriple=x86_64-linux-gnu mcpu=x86-64-v3}"
    (llvm,) = kernels("--stage", "llvm", "--kernel", "pool", *older)
    (asm,) = kernels("--stage", "asm", "--kernel", llvm["kernel"], *older)
    assert f"@{llvm['kernel']}" in llvm["text"]
    assert "<8 x float>" in llvm["text"]
    assert "vmaxps" in asm["text"]
    assert "ymm" in asm["text"]
    (view,) = [one for one in kernels("--stage", "asm", *older) if "Flatten" in " ".join(one["nodes"])]
    assert view["text"].startswith("no code")


def test_the_text_names_kernel_nodes_and_schedule() -> None:
    text = run("--stage", "tir", "--kernel", "first", *SHAPE).stdout
    assert text.startswith("kernel")
    assert "Conv 'first'" in text
    assert "the schedule of conv" in text


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--stage", "tir", "--kernel", "frist"], 3, "did you mean 'first'?"),
        (["--stage", "asm", "--target", "c"], 5, "becomes C, not asm"),
        (["--stage", "tir", "--target", "onnxruntime"], 5, "no kernels to look into"),
        (["--stage", "tir", "--text"], 2, "--stage goes with neither"),
        (["--kernel", "first"], 2, "is for --stage"),
    ],
)
def test_what_cannot_be_shown_has_a_reason(arguments: list[str], code: int, sentence: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in " ".join(result.stderr.replace("│", "").split())
