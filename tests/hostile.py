"""Broken and hostile inputs: one table, a row an input, with the exception and the words that it must end in."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir

from graphopt.errors import ModelError, OutputError, PipelineError, RunError, TargetError
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from tests.arrangements import (
    BYTES,
    F32,
    GOOD,
    GOOD_FILE,
    OLD,
    SECRET,
    Arrange,
    X,
    body,
    external,
    file,
    graph,
    nested,
    weight,
    zipped,
)


@dataclass(frozen=True)
class Interrupt(Pass):
    """A user who presses Ctrl-C while a pass runs."""

    name = "interrupt"

    def run(self, model: ir.Model, ctx: Context) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0


@dataclass(frozen=True)
class Late(Pass):
    """A pass with an option, which must come after another one."""

    name = "late"
    requires = ("infer-shapes",)
    limit: int = 1

    def run(self, model: ir.Model, ctx: Context) -> int:
        return 0


@dataclass(frozen=True)
class Bad:
    """An input that must end in one sentence.

    Attributes:
        error: what is raised.
        says: words of its sentence.
        model: the model's file; good unless said otherwise.
        pipeline, target, shapes: the request.
        feeds: what the compiled program is called with.
        place: where results go, in the folder.
        disk: the bytes that a file may grow to before the disk is full.

    """

    id: str
    error: type[BaseException]
    says: str
    model: Arrange = GOOD_FILE
    pipeline: str | None = None
    target: str | None = None
    shapes: Mapping[str, Sequence[Any]] | None = None
    feeds: Mapping[str, object] | None = None
    place: str = "out"
    disk: int | None = None

    def applies_to(self, attempt: Callable[..., object]) -> bool:
        """Whether an attempt gets as far as the row's fault."""
        return self.feeds is None or attempt.__name__ == "compile_cached"

    def is_command(self, name: str) -> bool:
        """Whether a command can express the row."""
        if self.feeds is not None:
            return name == "run" and all(isinstance(array, np.ndarray) for array in self.feeds.values())
        return name == "compile" or (name == "optimize" and self.target is None)

    def arguments(self, command: str, folder: Path) -> list[str]:
        """Return the row as a command line, after putting its model and feeds into the folder."""
        line = [command, str(self.model(folder)), "-o", str(folder / self.place)]
        if self.feeds is not None:
            np.savez(folder / "feeds.npz", **self.feeds)
            line += ["--input", str(folder / "feeds.npz")]
        if command != "optimize":
            line += ["--target", self.target or "onnxruntime"]
        if self.pipeline is not None:
            line += ["--pipeline", self.pipeline]
        for name, dims in (self.shapes or {}).items():
            line += ["--input-shape", f"{name}:{','.join(map(str, dims))}"]
        return line


BAD = [
    # No model at all.
    Bad("missing-file", ModelError, "does not exist", lambda folder: folder / "none.onnx"),
    Bad("directory", ModelError, "is a directory", lambda folder: folder),
    Bad("empty-file", ModelError, "is empty", file(b"")),
    Bad("text", ModelError, "is text", file(b"not a model\n")),
    Bad("git-lfs-pointer", ModelError, "git lfs pull", file(b"version https://git-lfs.github.com/spec/v1\n")),
    Bad("zip", ModelError, "zip archive", zipped),
    Bad("pickle", ModelError, "pickle", file(pickle.dumps({"weights": 1}, protocol=2))),
    Bad("gzip", ModelError, "gzip", file(gzip.compress(BYTES))),
    Bad("truncated-at-1", ModelError, "truncated or damaged", file(BYTES[:1])),
    Bad("truncated-at-a-quarter", ModelError, "truncated or damaged", file(BYTES[: len(BYTES) // 4])),
    Bad("truncated-at-the-half", ModelError, "truncated or damaged", file(BYTES[: len(BYTES) // 2])),
    Bad("truncated-at-the-last-byte", ModelError, "truncated or damaged", file(BYTES[:-1])),
    Bad("without-a-graph", ModelError, "holds no graph", file(onnx.ModelProto(ir_version=9).SerializeToString())),
    Bad("text-that-is-no-utf-8", ModelError, "no UTF-8", file(BYTES.replace(b"Relu", b"R\xfflu"))),
    # Versions and operators.
    Bad(
        "ir-version-of-the-future", ModelError, "IR version 99", graph(GOOD, '<ir_version: 99, opset_import: ["":17]>')
    ),
    Bad("opset-missing", ModelError, "imports no operator set", graph(GOOD, "<ir_version: 9>")),
    Bad("opset-old-and-training", ModelError, "is_test is 0", graph(OLD, '<ir_version: 3, opset_import: ["" : 6]>')),
    Bad("opset-too-new", ModelError, "opset 999", graph(GOOD, '<ir_version: 9, opset_import: ["" : 999]>')),
    Bad("opset-beyond-int32", ModelError, str(2**40), graph(GOOD, f'<ir_version: 9, opset_import: ["" : {2**40}]>')),
    Bad("unknown-domain", ModelError, "unknown domain 'own'", body("{ y = own.Mystery (x, w) }")),
    Bad("domain-without-import", ModelError, "not imported", body("{ y = other.Mystery (x, w) }")),
    Bad("unknown-operator", ModelError, "Matmul (-> y) is unknown", body("{ y = Matmul (x, w) }")),
    Bad("too-few-inputs", ModelError, "1 inputs where its operator takes 2", body("{ y = MatMul (x) }")),
    Bad("missing-attribute", ModelError, "required attribute 'axis'", body("{ y = Concat (x, x) }")),
    Bad("unknown-attribute", ModelError, "attribute 'beta'", body("{ y = MatMul <beta = 1> (x, w) }")),
    Bad("attribute-of-the-wrong-type", ModelError, "'axis'", body("{ y = Softmax <axis = 0.5> (x) }")),
    Bad("unknown-element-type", ModelError, "element type 99", weight(data_type=99, raw_data=SECRET)),
    # The graph.
    Bad("cycle", ModelError, "cycle", body("{ a = Add (x, b)  b = Relu (a)  y = MatMul (b, w) }")),
    Bad("wrong-order", ModelError, "sort the nodes", body("{ y = Relu (h)  h = MatMul (x, w) }")),
    Bad(
        "duplicate-value", ModelError, "'h' is defined twice", body("{ h = Relu (x)  h = Neg (x)  y = MatMul (h, w) }")
    ),
    Bad("dangling-input", ModelError, "'nowhere', which nothing defines", body("{ y = MatMul (x, nowhere) }")),
    Bad("output-without-producer", ModelError, "output 'y'", body("{ h = MatMul (x, w) }")),
    Bad(
        "subgraph-reads-what-comes-later",
        ModelError,
        "'late'",
        graph(
            "g (float[2] x, bool c) => (float[2] y) { y = If (c) <then_branch = t () => (float[2] a)"
            " { a = Relu (late) }, else_branch = e () => (float[2] b) { b = Neg (x) }>  late = Abs (x) }"
        ),
    ),
    Bad("nested-too-deep", ModelError, "truncated or damaged", file(nested(60).SerializeToString())),
    Bad(
        "recursive-function",
        ModelError,
        "'f' calls itself",
        graph(
            "g (float[2] x) => (float[2] y) { y = own.f (x) }"
            ' <domain: "own", opset_import: ["own" : 1]> f (a) => (b) { b = own.f (a) }'
        ),
    ),
    # Shapes and data.
    Bad("huge-dimensions", ModelError, "larger than any memory", graph(GOOD.replace("N,3", f"{2**40},{2**40}"))),
    Bad("negative-dimension", ModelError, "size -7", graph(GOOD.replace("[N,3]", "[-7,3]"))),
    Bad("huge-weight", ModelError, "larger than any memory", weight(dims=[2**40, 2**40])),
    Bad("negative-weight", ModelError, "impossible shape", weight(dims=[-3, 2], raw_data=SECRET)),
    Bad("weight-shorter-than-its-shape", ModelError, "needs 24 bytes and holds 20", weight(raw_data=SECRET[:20])),
    Bad("weight-without-data", ModelError, "holds no data", weight()),
    Bad("weight-that-contradicts", ModelError, "do not fit", weight(dims=[6, 1], raw_data=SECRET)),
    Bad(
        "conv-weight-that-contradicts",
        ModelError,
        "do not fit",
        graph("g (float[1,3,8,8] x, float[4,5,3,3] k) => (float[1,4,6,6] y) { y = Conv (x, k) }"),
    ),
    # External data.
    Bad("external-missing", ModelError, "is missing", external("w.bin")),
    Bad(
        "external-short", ModelError, "short of the 24", external("w.bin", lambda at: (at / "w.bin").write_bytes(b"1"))
    ),
    Bad("external-parent", ModelError, "outside of", external("../secret.bin")),
    Bad("external-absolute", ModelError, "outside of", external("/etc/hostname")),
    Bad("external-symlink", ModelError, "outside of", external("w", lambda at: (at / "w").symlink_to("/etc/hostname"))),
    Bad("external-device", ModelError, "is missing", external("w", lambda at: os.mkfifo(at / "w"))),
    Bad("external-negative-offset", ModelError, "the offset '-8'", external("w.bin", file(SECRET), offset=-8)),
    # The request.
    Bad("unknown-pass", PipelineError, "did you mean 'fold-constants'", pipeline="fold-constant"),
    Bad("unknown-preset", PipelineError, "'O9'", pipeline="O9"),
    Bad("unknown-option", PipelineError, "did you mean 'limit'", pipeline="infer-shapes,late{limits=1}"),
    Bad("option-of-the-wrong-type", PipelineError, "limit=many", pipeline="infer-shapes,late{limit=many}"),
    Bad("option-given-twice", PipelineError, "given twice", pipeline="infer-shapes,late{limit=1 limit=2}"),
    Bad("pass-too-early", PipelineError, "must come after 'infer-shapes'", pipeline="late,infer-shapes"),
    Bad("fixpoint-unclosed", PipelineError, "missing ')'", pipeline="fixpoint(infer-shapes"),
    Bad("fixpoint-without-body", PipelineError, "expected '('", pipeline="fixpoint,infer-shapes"),
    Bad("pipeline-with-a-hole", PipelineError, "expected a name", pipeline="infer-shapes,,late"),
    Bad("unknown-target", TargetError, "did you mean 'cpu'", target="cpuu"),
    Bad("unknown-target-option", TargetError, "'threads'", target="cpu{threads=2}"),
    Bad("target-option-of-no-use", TargetError, "cores=0", target="cpu{cores=0}"),
    Bad("unknown-precision", TargetError, "there are fp32, bf16, auto", target="cpu{precision=int4}"),
    Bad("unknown-processor", TargetError, "did you mean 'haswell'", target="cpu{mcpu=hasswell}"),
    Bad("target-unclosed", TargetError, "cannot read target", target="cpu{"),
    Bad("shape-of-no-input", ModelError, "no input 'z'", shapes={"z": [1, 3]}),
    Bad("shape-of-another-rank", ModelError, "has rank 2", shapes={"x": [1, 3, 1]}),
    Bad("shape-against-a-fixed-size", ModelError, "fixed at 3", shapes={"x": [1, 4]}),
    Bad(
        "shapes-that-conflict",
        ModelError,
        "would be both 2 and 3",
        graph("g (float[N] x, float[N] z) => (float[N] y) { y = Add (x, z) }"),
        shapes={"x": [2], "z": [3]},
    ),
    Bad(
        "shape-that-the-model-contradicts",
        ModelError,
        "do not fit",
        graph(GOOD.replace("[N,3]", "[N,K]")),
        shapes={"x": [1, 5]},
    ),
    # The run.
    Bad("run-another-shape", RunError, "dimension 1 must be 3", feeds={"x": np.ones((1, 4), F32)}),
    Bad("run-another-rank", RunError, "'x' has 1 dimension", feeds={"x": np.ones(3, F32)}),
    Bad("run-another-dtype", RunError, "must be float32, got float64", feeds={"x": np.ones((1, 3))}),
    Bad("run-another-name", RunError, "no input 'image'", feeds={"image": X}),
    Bad("run-too-few", RunError, "'x' is missing", feeds={}),
    Bad("run-too-many", RunError, "no input 'z'", feeds={"x": X, "z": X}),
    Bad("run-ragged", RunError, "'x'", feeds={"x": [[1.0, 2.0, 3.0], [1.0]]}),
    Bad("run-none", RunError, "'x' must be float32", feeds={"x": None}),
    # The result.
    Bad("output-below-a-file", OutputError, "cannot write", place="model.onnx/out"),
    Bad("output-in-no-folder", OutputError, "cannot write", place="none/out"),
    Bad("device-that-is-full", OutputError, "cannot write", place="/dev/full"),
    Bad("full-disk", OutputError, "cannot write", disk=64),
    Bad("interrupted", KeyboardInterrupt, "", pipeline="infer-shapes,interrupt,late"),
]
