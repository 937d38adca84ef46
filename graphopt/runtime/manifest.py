"""What a compiled program says of itself: `manifest.json` in its directory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from graphopt.errors import ModelError
from graphopt.tensors import TensorSpec

FORMAT_VERSION = 1
FILE_NAME = "manifest.json"
WHOLE_MODEL = "optimized.onnx"


@dataclass(frozen=True)
class Part:
    """One call in the program: values by name in, values by name out.

    Attributes:
        executor: "tvm" or "onnxruntime".
        file: its code, in the program's directory.

    """

    executor: str
    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


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
        placements: who runs each node.
        notes: what a user should know, a sentence each.
        seconds: how long each stage took.

    """

    optimization: dict[str, Any] = field(default_factory=dict)
    placements: tuple[Placement, ...] = ()
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
        specialized: the shapes of inputs that the parts were compiled for; with others the whole optimized
            model runs in onnxruntime.
        parts: the program, in order.
        files: the SHA-256 of every other file of the program.

    """

    graphopt_version: str
    target: str
    features: tuple[str, ...]
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    specialized: dict[str, tuple[int, ...]]
    parts: tuple[Part, ...]
    files: dict[str, str]
    report: CompileReport
    format_version: int = FORMAT_VERSION

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
        except (KeyError, TypeError) as error:
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
        specialized={name: tuple(shape) for name, shape in data["specialized"].items()},
        parts=tuple(
            Part(part["executor"], part["file"], tuple(part["inputs"]), tuple(part["outputs"]))
            for part in data["parts"]
        ),
        files=dict(data["files"]),
        report=CompileReport(
            optimization=report["optimization"],
            placements=tuple(Placement(**placement) for placement in report["placements"]),
            notes=tuple(report["notes"]),
            seconds=report["seconds"],
        ),
    )


def _spec(data: dict[str, Any]) -> TensorSpec:
    shape = data["shape"]
    return TensorSpec(data["name"], data["dtype"], None if shape is None else tuple(shape))
