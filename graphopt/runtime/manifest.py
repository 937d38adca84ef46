"""What a compiled program says of itself: `manifest.json` among its files.

It is a record of the version of this format, the digest of the text that follows, and that text, a `Manifest`. The
digest tells damage from what was written; the types of all that is read are checked as well, and that names fit
together, so that nothing which a manifest says can fail later.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from graphopt.digests import digest
from graphopt.errors import ModelError
from graphopt.runtime.contents import Contents
from graphopt.tensors import TensorSpec

FORMAT_VERSION = 7
FILE_NAME = "manifest.json"
WHOLE_MODEL = "optimized.onnx"
WEIGHTS = "weights.bin"
GPU = "gpu"
"""The executor of what a plan of launches says, see `graphopt.backends.tvm.gpu.plan`."""
FREESTANDING = "freestanding"
"""The executor of what is built and run on another machine, without any runtime of ours."""

_Size = Annotated[int, msgspec.Meta(ge=0)]
_Executor = Annotated[str, msgspec.Meta(pattern="^(tvm|gpu|onnxruntime|freestanding)$")]
_Count = Annotated[int, msgspec.Meta(ge=1)]


@dataclass(frozen=True)
class Part:
    """One call in the program: values by name in, values by name out.

    Attributes:
        executor: "tvm", `GPU`, "onnxruntime" or `FREESTANDING`.
        file: its code, in the program's directory, or the plan of it.
        weights: where the arrays that it takes begin in the program's file of weights, in bytes.
        arena: bytes that a run needs for what lies between inputs and outputs; of onnxruntime that is not known,
            and it is 0.

    """

    executor: _Executor
    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[_Size, ...] = ()
    arena: _Size = 0


@dataclass(frozen=True)
class Variant:
    """Native code for one set of shapes.

    Attributes:
        shapes: of each input.
        parts: in the order of execution.

    """

    shapes: dict[str, tuple[_Size, ...]]
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
class Machine:
    """What native code asks of the machine that runs it.

    Attributes:
        system: as `sys.platform` says it.
        architecture: as `platform.machine()` says it.
        features: the instruction-set extensions that the code may use.
        tvm_version: of the runtime that the code was compiled for.

    """

    system: str
    architecture: str
    features: tuple[str, ...]
    tvm_version: str


@dataclass(frozen=True)
class Provenance:
    """Where a program's model came from, as the model itself says, and what it may be used for.

    Attributes:
        sha256: of the model's file; empty where it was given otherwise.
        producer, producer_version: what wrote the model.
        graph: the model's name.
        licence: its text, name or address.
        metadata: all that the model says of itself by keys of its own (ONNX's MetadataProps.md).

    """

    sha256: str = ""
    producer: str = ""
    producer_version: str = ""
    graph: str = ""
    licence: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A compiled program.

    Attributes:
        target: the text of the target it was compiled for.
        machine: what its code for a processor runs on; None where it has none.
        threads: how many threads an operator may use.
        inputs, outputs: of the model; symbolic dimensions may take any size.
        variants: the program, once for each set of shapes that it was compiled for.
        batched: the inputs whose leading axis is a batch of samples that do not touch each other, as every
            output's is then; a run may be cut along it. Empty where that is not proved.
        files: the digest of every other file of the program.
        provenance: of the model.

    """

    graphopt_version: str
    target: str
    machine: Machine | None
    threads: _Count
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variants: tuple[Variant, ...]
    batched: tuple[str, ...]
    files: dict[str, str]
    provenance: Provenance
    report: CompileReport

    @property
    def is_freestanding(self) -> bool:
        """Whether the program is to be built, and run, on another machine."""
        return self.has(FREESTANDING)

    def has(self, executor: str) -> bool:
        """Whether a part is for an executor."""
        return any(part.executor == executor for variant in self.variants for part in variant.parts)

    @property
    def use(self) -> str:
        """Say what to do with the directory of a freestanding program."""
        (part,) = self.variants[0].parts
        if part.file.endswith(".wasm"):
            return "import its model.mjs in JavaScript, in a browser or in Node"
        if part.file.startswith("kernels."):
            return f"launch the kernels in its {part.file} as its kernels.json says"
        return "build it with make in its directory, and call model_run of its model.h there"

    def write(self, folder: Path) -> None:
        """Write the manifest into a program's directory."""
        program = msgspec.json.format(msgspec.json.encode(self), indent=1)
        record = _Record(FORMAT_VERSION, digest([program]).hex(), msgspec.Raw(program))
        (folder / FILE_NAME).write_bytes(msgspec.json.encode(record))

    @classmethod
    def read(cls, contents: Contents) -> Manifest:
        """Read the manifest of a program; raises ModelError if there is none of this format, or it is damaged."""
        if not contents.holds(FILE_NAME):
            raise ModelError(f"{str(contents.path)!r} is no compiled program: it has no {FILE_NAME}")
        text = contents.view(FILE_NAME).tobytes()
        try:
            version = msgspec.json.decode(text, type=_Version).format_version
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"{str(contents.path)!r} has format {version}, this graphopt reads {FORMAT_VERSION};"
                    " compile the model again"
                )
            record = msgspec.json.decode(text, type=_Record)
            if digest([bytes(record.program)]).hex() != record.digest:
                raise _damaged(contents, "its content is not what was written")
            manifest = msgspec.json.decode(record.program, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise _damaged(contents, str(error)) from error
        if mistake := _mistake(manifest):
            raise _damaged(contents, mistake)
        return manifest


class _Version(msgspec.Struct):
    """What the manifests of all formats have."""

    format_version: int


class _Record(msgspec.Struct):
    """The file."""

    format_version: int
    digest: str
    program: msgspec.Raw


def _damaged(contents: Contents, reason: str) -> ModelError:
    return ModelError(f"{contents.where(FILE_NAME)} is damaged ({reason}); compile the model again")


def _mistake(manifest: Manifest) -> str:
    """Return what in a manifest does not fit together; nothing where all does."""
    inputs = {spec.name for spec in manifest.inputs}
    if strange := set(manifest.batched) - inputs:
        return f"there is no input {min(strange)!r}"
    if manifest.machine is None and manifest.has("tvm"):
        return "native code is for no machine"
    for variant in manifest.variants:
        if variant.shapes.keys() != inputs:
            return "the shapes of native code are not those of the inputs"
        known = set(inputs)
        for part in variant.parts:
            if part.file not in manifest.files or (part.weights and WEIGHTS not in manifest.files):
                return f"it has no digest for what {part.file!r} needs"
            if missing := set(part.inputs) - known:
                return f"nothing makes {min(missing)!r}, which {part.file!r} reads"
            known.update(part.outputs)
        if missing := {spec.name for spec in manifest.outputs} - known:
            return f"nothing makes the output {min(missing)!r}"
    return "" if WHOLE_MODEL in manifest.files else f"it has no digest for {WHOLE_MODEL!r}"
