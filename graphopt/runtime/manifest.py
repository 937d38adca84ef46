"""What a compiled program says of itself: `manifest.json` in its directory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from graphopt.errors import ModelError
from graphopt.tensors import TensorSpec

FORMAT_VERSION = 4
FILE_NAME = "manifest.json"
WHOLE_MODEL = "optimized.onnx"
WEIGHTS = "weights.bin"
FREESTANDING = "freestanding"
"""The executor of what is built and run on another machine, without any runtime of ours."""


@dataclass(frozen=True)
class Part:
    """One call in the program: values by name in, values by name out.

    Attributes:
        executor: "tvm", "onnxruntime" or `FREESTANDING`.
        file: its code, in the program's directory.
        weights: where the arrays that it takes begin in the program's file of weights, in bytes.
        arena: bytes that a run needs for what lies between inputs and outputs; of onnxruntime that is not known,
            and it is 0.

    """

    executor: str
    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[int, ...] = ()
    arena: int = 0


@dataclass(frozen=True)
class Variant:
    """Native code for one set of shapes.

    Attributes:
        shapes: of each input.
        parts: in the order of execution.

    """

    shapes: dict[str, tuple[int, ...]]
    parts: tuple[Part, ...]

    @property
    def arena(self) -> int:
        """Return the bytes that a run needs in all its parts; they stay allocated from one run to the next."""
        return sum(part.arena for part in self.parts)


@dataclass(frozen=True)
class Placement:
    """Who runs a node of the optimized model, and why not TVM where it is not TVM."""

    node: str
    executor: str
    reason: str = ""


@dataclass(frozen=True)
class CompileReport:
    """How a program came to be.

    Attributes:
        optimization: the report of the pass pipeline, as plain data (`graphopt.pipeline.report.Report`).
        placements: who runs each node; where variants differ, a node is there once for each answer.
        shapes: those of inputs that native code was made for.
        notes: what a user should know, a sentence each.
        seconds: how long each stage took.

    """

    optimization: dict[str, Any] = field(default_factory=dict)
    placements: tuple[Placement, ...] = ()
    shapes: tuple[dict[str, tuple[int, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Manifest:
    """A compiled program.

    Attributes:
        target: the text of the target it was compiled for.
        features: the instruction-set extensions that its code may use.
        threads: how many threads an operator may use.
        inputs, outputs: of the model; symbolic dimensions may take any size.
        variants: the program, once for each set of shapes that it was compiled for.
        batched: the inputs whose leading axis is a batch of samples that do not touch each other, as every
            output's is then; a run may be cut along it. Empty where that is not proved.
        files: the digest of every other file of the program.

    """

    graphopt_version: str
    target: str
    features: tuple[str, ...]
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variants: tuple[Variant, ...]
    batched: tuple[str, ...]
    files: dict[str, str]
    report: CompileReport
    format_version: int = FORMAT_VERSION

    @property
    def is_freestanding(self) -> bool:
        """Whether the program is to be built, and run, on another machine."""
        return any(part.executor == FREESTANDING for variant in self.variants for part in variant.parts)

    def write(self, folder: Path) -> None:
        """Write the manifest into a program's directory."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a program; raises ModelError if the directory holds no program of this format."""
        path = folder / FILE_NAME
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"{str(folder)!r} is no compiled program: {FILE_NAME} is missing or unreadable") from error
        except ValueError as error:
            raise ModelError(f"{str(path)!r} is damaged ({error}); compile the model again") from error
        version = data.get("format_version") if isinstance(data, dict) else None
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{str(folder)!r} has format {version}, this graphopt reads {FORMAT_VERSION}; compile the model again"
            )
        try:
            return _from_dict(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{str(path)!r} is damaged (at {error}); compile the model again") from error


def _from_dict(data: dict[str, Any]) -> Manifest:
    report = data["report"]
    return Manifest(
        graphopt_version=data["graphopt_version"],
        target=data["target"],
        features=tuple(data["features"]),
        threads=data["threads"],
        inputs=tuple(map(_spec, data["inputs"])),
        outputs=tuple(map(_spec, data["outputs"])),
        variants=tuple(Variant(_shapes(one["shapes"]), tuple(map(_part, one["parts"]))) for one in data["variants"]),
        batched=tuple(data["batched"]),
        files=dict(data["files"]),
        report=CompileReport(
            optimization=report["optimization"],
            placements=tuple(Placement(**placement) for placement in report["placements"]),
            shapes=tuple(map(_shapes, report["shapes"])),
            notes=tuple(report["notes"]),
            seconds=report["seconds"],
        ),
    )


def _part(data: dict[str, Any]) -> Part:
    inputs, outputs, weights = (tuple(data[name]) for name in ("inputs", "outputs", "weights"))
    return Part(data["executor"], data["file"], inputs, outputs, weights, data["arena"])


def _shapes(data: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in data.items()}


def _spec(data: dict[str, Any]) -> TensorSpec:
    shape = data["shape"]
    return TensorSpec(data["name"], data["dtype"], None if shape is None else tuple(shape))
