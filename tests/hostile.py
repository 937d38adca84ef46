"""Broken and hostile inputs: one table, a row an input, with the exception and the words that it must end in."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
import zipfile
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

Arrange = Callable[[Path], Path]
"""Puts a model into a folder and returns the path to hand over."""

OLD = "g (float[N,3] x) => (float[N,3] y) { y = Dropout (x) }"
HEADER = '<ir_version: 9, opset_import: ["" : 17, "own" : 1]>'
GOOD = """
g (float[N,3] x) => (float[N,2] y)
<float[3,2] w = {1, 2, 3, 4, 5, 6}>
{ h = MatMul (x, w)  y = Relu (h) }
"""


def proto(text: str = GOOD, header: str = HEADER) -> onnx.ModelProto:
    return onnx.parser.parse_model(header + text)


def file(data: bytes) -> Arrange:
    def write(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(data)
        return path

    return write


def graph(text: str, header: str = HEADER) -> Arrange:
    return file(proto(text, header).SerializeToString())


def body(nodes: str) -> Arrange:
    """Return the good graph with other nodes."""
    return graph(GOOD[: GOOD.index("{ h")] + nodes)


def weight(**fields: Any) -> Arrange:
    """Return the good graph with another tensor as its weight, [3,2] in float32 but for what `fields` say."""
    model = proto()
    tensor = onnx.TensorProto(**{"name": "w", "data_type": onnx.TensorProto.FLOAT, "dims": [3, 2]} | fields)
    model.graph.initializer[0].CopyFrom(tensor)
    return file(model.SerializeToString())


def external(location: str, neighbour: Callable[[Path], object] = lambda _: None, **entries: int) -> Arrange:
    """Return the good graph with its weight in a file, which `neighbour` puts into the folder."""
    pairs = {"location": location, **{key: str(number) for key, number in entries.items()}}
    data = [onnx.StringStringEntryProto(key=key, value=text) for key, text in pairs.items()]
    write = weight(data_location=onnx.TensorProto.EXTERNAL, external_data=data)

    def arrange(folder: Path) -> Path:
        neighbour(folder)
        return write(folder)

    return arrange


def zipped(folder: Path) -> Path:
    path = folder / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"weights")
    return path


def nested(depth: int) -> onnx.ModelProto:
    """Return a model with one If in the other, `depth` times."""
    model = proto("g (float[2] x, bool c) => (float[2] y) { y = Identity (x) }")
    inner = model.graph
    for _ in range(depth):
        node = inner.node[0]
        node.op_type, node.input[0] = "If", "c"
        for name in ("else_branch", "then_branch"):
            attribute = node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH)
            inner = attribute.g
            inner.name = name
            inner.node.add(op_type="Identity", input=["x"], output=[f"{name}_{depth}"])
            inner.output.add(name=f"{name}_{depth}")
    return model


BYTES = proto().SerializeToString()
GOOD_FILE = file(BYTES)
SECRET = bytes(24)


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


F32 = np.float32
X = np.ones((1, 3), F32)

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


@dataclass(frozen=True)
class Command:
    """A command line that must be refused, beside a good `model.onnx`; 2 is the code of wrong usage."""

    id: str
    code: int
    says: str
    line: str
    prepare: Arrange = GOOD_FILE


def feeds(**arrays: Any) -> Arrange:
    def write(folder: Path) -> Path:
        np.savez(folder / "feeds.npz", **arrays)
        return GOOD_FILE(folder)

    return write


def neighbour(name: str, data: bytes) -> Arrange:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return GOOD_FILE(folder)

    return write


OPTIMIZE = "optimize model.onnx -o out"
RUN = "run model.onnx --target onnxruntime"

COMMANDS = [
    Command("no-command-of-ours", 2, "No such command", "shrink model.onnx"),
    Command("no-output", 2, "Missing option", "optimize model.onnx"),
    Command("shape-without-a-name", 2, "names no input", f"{OPTIMIZE} --input-shape 1,3"),
    Command("shape-with-an-empty-name", 2, "names no input", f"{OPTIMIZE} --input-shape :1,3"),
    Command("shape-with-a-hole", 2, "is no dimension", f"{OPTIMIZE} --input-shape x:1,,3"),
    Command("shape-with-a-negative-size", 2, "is no dimension", f"{OPTIMIZE} --input-shape x:-1,3"),
    Command("shape-given-twice", 2, "given twice", f"{OPTIMIZE} --input-shape x:1,3 --input-shape x:2,3"),
    Command("pipeline-and-preset", 2, "exclude each other", f"{OPTIMIZE} --pipeline O1 --preset O2"),
    Command("unknown-preset", 4, "unknown preset 'O9'", f"{OPTIMIZE} --preset O9"),
    Command("no-threads", 2, "threads", "compile model.onnx -o out --threads 0"),
    Command("npz-with-wrong-names", 7, "no input 'z'", f"{RUN} --input feeds.npz", feeds(z=X)),
    Command("npz-of-pickles", 6, "cannot", f"{RUN} --input feeds.npz", feeds(x=np.array([{"a": 1}], object))),
    Command("npz-that-is-none", 6, "'feeds.npz'", f"{RUN} --input feeds.npz", neighbour("feeds.npz", b"none")),
    Command("npz-that-is-missing", 6, "'feeds.npz'", f"{RUN} --input feeds.npz"),
    Command("npy-without-a-name", 6, "gives no input", f"{RUN} --input feeds.npy"),
    Command("program-without-a-manifest", 3, "no compiled program", "run ."),
    Command("output-folder-of-others", 8, "holds other files", "compile model.onnx -o ."),
    Command("output-that-is-a-file", 8, "it is a file", "compile model.onnx -o model.onnx"),
    Command("check-against-nothing", 3, "does not exist", "check model.onnx none.onnx"),
]


@dataclass(frozen=True)
class Working:
    """A valid model of an odd kind, and what to run it on."""

    id: str
    model: onnx.ModelProto
    feeds: Mapping[str, Any]

    @property
    def data(self) -> bytes:
        return self.model.SerializeToString()


WORKING = [
    Working("zero-size-batch", proto(), {"x": np.ones((0, 3), F32)}),
    Working(
        "zero-size-declared",
        proto(
            "g (float[0,3] x) => (float[0,3] y, float[1,3] s) { y = Relu (x)  s = ReduceSum (y, zero) }".replace(
                "{ y", "<int64[1] zero = {0}> { y"
            )
        ),
        {"x": np.ones((0, 3), F32)},
    ),
    Working(
        "zero-size-weight",
        proto("g (float[2,0] x) => (float[2,3] y) <float[0,3] w = {}> { y = MatMul (x, w) }"),
        {"x": np.ones((2, 0), F32)},
    ),
    Working("nan-weights", proto(GOOD.replace("1, 2", "nan, inf")), {"x": X}),
    Working("nan-inputs", proto(), {"x": np.full((1, 3), np.nan, F32)}),
    Working("scalars", proto("g (float x) => (float y) { h = Neg (x)  y = Mul (h, x) }"), {"x": np.array(3, F32)}),
    Working("no-nodes", proto("g (float[2] x) => (float[2] x) {}"), {"x": F32([1, 2])}),
    Working(
        "no-inputs", proto("g () => (float[2] y) { c = Constant <value_floats = [1.0, 2.0]> ()  y = Neg (c) }"), {}
    ),
    Working(
        "one-output-twice",
        proto("g (float[2] x) => (float[2] y, float[2] z) { y = Neg (x)  z = Identity (y) }"),
        {"x": F32([1, 2])},
    ),
    Working(
        "strings", proto("g (string[2] x) => (string[2] y) { y = Identity (x) }"), {"x": np.array(["a", "b"], object)}
    ),
    Working(
        "unused-input",
        proto("g (float[2] x, float[2] z) => (float[2] y) { y = Neg (x) }"),
        {"x": F32([1, 2]), "z": F32([3, 4])},
    ),
    Working("weight-that-is-an-input-too", proto(GOOD.replace("x)", "x, float[3,2] w)", 1)), {"x": X}),
    Working("nested-as-deep-as-protobuf-allows", nested(20), {"x": F32([1, -2]), "c": np.array(True)}),
]


@dataclass(frozen=True)
class Program:
    """What happened to a compiled program, and the words of the sentence that follows."""

    id: str
    says: str
    damage: Callable[[Path], object]


PROGRAMS = [
    Program("code-missing", "lacks its file", lambda at: (at / "part-0.so").unlink()),
    Program("code-empty", "not the file that was compiled", lambda at: (at / "part-0.so").write_bytes(b"")),
    Program("code-that-is-text", "not the file that was compiled", lambda at: (at / "part-0.so").write_text("none")),
    Program("weights-missing", "lacks its file", lambda at: (at / "weights.bin").unlink()),
    Program("model-missing", "optimized.onnx", lambda at: (at / "optimized.onnx").unlink()),
    Program("model-truncated", "optimized.onnx", lambda at: (at / "optimized.onnx").write_bytes(BYTES[:50])),
    Program("manifest-missing", "no compiled program", lambda at: (at / "manifest.json").unlink()),
    Program("manifest-truncated", "damaged", lambda at: (at / "manifest.json").write_text("{")),
]

SEEDS = [
    proto(),
    proto(
        """
        g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        <float[4,3,1,1] k = {1,2,3,4,5,6,7,8,9,10,11,12}, float[4] s = {1,2,3,4}, float[4] v = {4,3,2,1}>
        { c = Conv (x, k)  b = BatchNormalization (c, s, s, v, v)  y = Relu (b) }
        """
    ),
    proto(
        """
        g (float[N,3,4] x) => (float[N,12] y) <int64[1] k = {12}, int64 z = {0}>
        {
            s = Shape (x)  n = Gather (s, z)  axes = Constant <value_ints = [0]> ()  u = Unsqueeze (n, axes)
            c = Concat <axis = 0> (u, k)  y = Reshape (x, c)
        }
        """
    ),
    proto(
        """
        g (float[2] x, int64 n, bool c) => (float[2] y, float[2] z)
        {
            y = Loop (n, c, x) <body = b (int64 i, bool go, float[2] a) => (bool on, float[2] o)
                { on = Identity (go)  o = Add (a, x) }>
            z = If (c) <then_branch = t () => (float[2] p) { p = Relu (x) },
                        else_branch = e () => (float[2] q) { r = Neg (x)  q = Abs (r) }>
        }
        """
    ),
    proto(
        """
        g (float[2] x) => (float[2] y) { y = own.f <alpha = 0.5> (x) }
        <domain: "own", opset_import: ["" : 17]> f <alpha> (a) => (b)
        { t = LeakyRelu <alpha: float = @alpha> (a)  b = Abs (t) }
        """
    ),
]
