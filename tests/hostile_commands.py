"""Command lines that must be refused, and what may happen to a compiled program: two tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.arrangements import BYTES, GOOD_FILE, Arrange, X


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


def folder_too(name: str) -> Arrange:
    def make(folder: Path) -> Path:
        (folder / name).mkdir()
        return GOOD_FILE(folder)

    return make


OPTIMIZE = "optimize model.onnx -o out"
RUN = "run model.onnx --target onnxruntime"

COMMANDS = [
    Command("no-command-of-ours", 2, "no such command", "shrink model.onnx"),
    Command("no-output", 2, "missing option", "optimize model.onnx"),
    Command("shape-without-a-name", 2, "names no input", f"{OPTIMIZE} --input-shape 1,3"),
    Command("shape-with-an-empty-name", 2, "names no input", f"{OPTIMIZE} --input-shape :1,3"),
    Command("shape-with-a-hole", 2, "is no dimension", f"{OPTIMIZE} --input-shape x:1,,3"),
    Command("shape-with-a-negative-size", 2, "is no dimension", f"{OPTIMIZE} --input-shape x:-1,3"),
    Command("shape-given-twice", 2, "given twice", f"{OPTIMIZE} --input-shape x:1,3 --input-shape x:2,3"),
    Command("pipeline-and-preset", 2, "exclude each other", f"{OPTIMIZE} --pipeline O1 --preset O2"),
    Command(
        "program-in-place-of-a-folder", 8, "it is a directory", "compile model.onnx -o a.gopt", folder_too("a.gopt")
    ),
    Command("program-that-is-a-model", 3, "no compiled program", "run a.gopt", neighbour("a.gopt", BYTES)),
    Command("text-of-a-program", 2, "are for models", "inspect a.gopt --text", neighbour("a.gopt", BYTES)),
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
    Command("diff-against-nothing", 3, "does not exist", "diff model.onnx none.onnx"),
    Command("diff-against-a-program", 3, "'a.gopt'", "diff model.onnx a.gopt", neighbour("a.gopt", b"none")),
    Command("stage-of-a-program", 2, "are for models", "inspect a.gopt --stage tir", neighbour("a.gopt", BYTES)),
    Command("stage-that-is-none", 2, "'ptx'", "inspect model.onnx --stage ptx"),
    Command("kernel-without-a-stage", 2, "is for --stage", "inspect model.onnx --kernel x"),
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
