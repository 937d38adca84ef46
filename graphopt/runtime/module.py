"""The compiled program as its user holds it."""

from __future__ import annotations

import functools
import platform
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from graphopt.backends.tvm.abi import tvm_version
from graphopt.errors import ModelError, RunError, TargetError
from graphopt.runtime import feeds as feeding
from graphopt.runtime import integrity, signature
from graphopt.runtime.benchmark import Timing, measure
from graphopt.runtime.contents import Contents, release
from graphopt.runtime.dispatch import DispatchTable, Step
from graphopt.runtime.forms import SUFFIX, open_program, write_program
from graphopt.runtime.manifest import FILE_NAME, GPU, WEIGHTS, WHOLE_MODEL, CompileReport, Manifest, Part, Provenance
from graphopt.targets import host
from graphopt.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from graphopt.backends.ort.session import Session

_Call = Callable[[Sequence[Array]], Sequence[Array]]
_NAMED = 4
"""How many missing extensions of a processor a sentence names."""


class CompiledModule:
    """A program ready to run. Any number of threads may call it at once.

    `module(x)`, `module(x, y)` and `module({"x": x})` are all `module.run({"x": x})`: numpy arrays by the
    names of the model's outputs. Outputs are the caller's to keep. Tensors of PyTorch and of others that speak DLPack
    are taken as they are, if they lie in memory of the processor; `torch.from_dlpack` makes tensors of outputs.
    """

    def __init__(
        self,
        path: Path,
        *,
        owner: TemporaryDirectory[str] | None = None,
        lazily: bool = False,
        trusted_key: Path | None = None,
    ) -> None:
        """Load the program at a path; `owner` keeps a temporary directory alive as long as the module.

        `lazily`, the whole model, a file as large as all weights, is checked when a run needs it first. See `load`.
        """
        self._contents = open_program(path)
        self._owner = owner
        self._manifest = Manifest.read(self._contents)
        _check_machine(self._manifest)
        integrity.check_presence(self._contents, self._manifest.files, (FILE_NAME, signature.FILE_NAME))
        if trusted_key is not None:
            self._check_signature(trusted_key)
        for name in self._manifest.files.keys() - ({WHOLE_MODEL} if lazily else set()):
            self._check_content(name)
        if not lazily:
            release(self._contents.view(WHOLE_MODEL))  # few runs need it
        variants, threads = self._manifest.variants, self._manifest.threads
        if self._manifest.is_freestanding:
            variants = ()
        self._table = DispatchTable([variant.shapes for variant in variants], self._manifest.batched)
        uploaded: dict[int, object] = {}
        self._calls = [
            [_load(self._contents, part, threads, uploaded) for part in variant.parts] for variant in variants
        ]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in the model's order."""
        return self._manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in the model's order."""
        return self._manifest.outputs

    @property
    def variants(self) -> tuple[dict[str, tuple[int, ...]], ...]:
        """The shapes of inputs that there is native code for; empty where onnxruntime runs everything."""
        return tuple(dict(variant.shapes) for variant in self._manifest.variants)

    @property
    def arenas(self) -> tuple[int, ...]:
        """The bytes that a run of each of `variants` needs for what lies between its inputs and its outputs.

        They were planned when the program was compiled, and are kept for the next run; every thread that runs
        has its own. What onnxruntime takes for its parts comes on top.
        """
        return tuple(variant.arena for variant in self._manifest.variants)

    @property
    def batched(self) -> tuple[str, ...]:
        """The inputs whose batch may be any sum of those of `variants`, natively; empty where that is not proved."""
        return self._manifest.batched

    @property
    def report(self) -> CompileReport:
        """How the program came to be: passes, placements, seconds."""
        return self._manifest.report

    @property
    def manifest(self) -> Manifest:
        """All that the program says of itself, of which the other properties are parts."""
        return self._manifest

    @property
    def provenance(self) -> Provenance:
        """Where the model came from, and what it may be used for, as it says."""
        return self._manifest.provenance

    @property
    def target(self) -> str:
        """The target it was compiled for, as text."""
        return self._manifest.target

    @property
    def threads(self) -> int:
        """How many threads an operator may use."""
        return self._manifest.threads

    def __call__(self, *arguments: object) -> dict[str, Array]:
        """Run on positional arrays in the order of `inputs`, or on one mapping from names; see `run`."""
        return self.run(feeding.bind(self.inputs, arguments))

    def run(self, feeds: Mapping[str, object]) -> dict[str, Array]:
        """Run on arrays by input name; return arrays by output name.

        Shapes of `variants` run natively, and batches that are sums of theirs as a sequence of runs, where the
        inputs are `batched`; every other shape runs too, the whole model in onnxruntime.

        Raises:
            RunError: a wrong name, count, dtype or shape.
            TargetError: the program is for another machine.

        """
        if self._manifest.is_freestanding:
            raise TargetError(
                f"the program is for {self.target}, and cannot run here: save it, then {self._manifest.use}"
            )
        values = feeding.check(self.inputs, feeds)
        try:
            feeding.check_shapes(self.inputs, values)
            steps = self._table.steps(values)
            if not steps:
                return self._whole_model.run(values)
        except RunError as error:
            raise RunError(f"{error}{self._and_native()}") from error
        results = [self._run(step, values) for step in steps]
        if len(results) == 1:
            return results[0]
        return {spec.name: np.concatenate([result[spec.name] for result in results]) for spec in self.outputs}

    def benchmark(self, *arguments: object, repeats: int = 30, warm_up: int = 3) -> Timing:
        """Time runs on the arguments of a call."""
        feeds = feeding.bind(self.inputs, arguments)
        return measure(lambda: self.run(feeds), repeats=repeats, warm_up=warm_up)

    def save(self, path: str | PathLike[str], *, signing_key: str | PathLike[str] | None = None) -> None:
        """Write the program where `graphopt.load` reads it.

        `NAME.gopt` is one file, any other path a directory of the same files. It is signed by the private key in a
        file (`graphopt.runtime.signature`), or keeps the signature that it has.

        Raises:
            OutputError: it cannot be written there.
            ModelError: the key is none.
            TargetError: it is a program for another machine, which takes a directory.

        """
        if self._manifest.is_freestanding and Path(path).suffix == SUFFIX:
            raise TargetError(
                f"a program for target {self.target} is used from a directory; save it under a name without {SUFFIX}"
            )
        files = self._files()
        if signing_key is not None:
            files[signature.FILE_NAME] = np.frombuffer(signature.sign(files, Path(signing_key)), np.uint8)
        elif self._contents.holds(signature.FILE_NAME):
            files[signature.FILE_NAME] = self._contents.view(signature.FILE_NAME)
        write_program(files, Path(path))

    def __repr__(self) -> str:
        inputs, outputs = ", ".join(map(str, self.inputs)), ", ".join(map(str, self.outputs))
        return f"CompiledModule({inputs} -> {outputs}; {self.target}{self._and_native()})"

    def _run(self, step: Step, given: Mapping[str, Array]) -> dict[str, Array]:
        values = dict(given)
        if step.samples is not None:
            values.update((name, given[name][step.samples]) for name in self.batched)
        for part, call in zip(self._manifest.variants[step.variant].parts, self._calls[step.variant], strict=True):
            results = call([values[name] for name in part.inputs])
            values.update(zip(part.outputs, results, strict=True))
        return {spec.name: values[spec.name] for spec in self.outputs}

    def _and_native(self) -> str:
        """Say which shapes are native, behind a semicolon; nothing where none is."""
        if not self.variants:
            return ""
        sums = ", and for batches that are sums of these" if self.batched else ""
        return f"; native code is there for {' or '.join(map(describe, self.variants))}{sums}"

    def _files(self) -> dict[str, Array]:
        """Return the content of each file that makes up the program."""
        return {name: self._contents.view(name) for name in (FILE_NAME, *self._manifest.files)}

    def _check_signature(self, key: Path) -> None:
        if not self._contents.holds(signature.FILE_NAME):
            raise ModelError(f"the program {str(self._contents.path)!r} is not signed; save it with signing_key=")
        place = self._contents.where(signature.FILE_NAME)
        signature.verify(self._files(), self._contents.view(signature.FILE_NAME), key, place)

    def _check_content(self, name: str) -> None:
        integrity.check_content(self._contents, name, self._manifest.files[name])

    @functools.cached_property
    def _whole_model(self) -> Session:
        self._check_content(WHOLE_MODEL)
        return _session(self._contents, WHOLE_MODEL, self._manifest.threads)


def load(path: str | PathLike[str], *, trusted_key: str | PathLike[str] | None = None) -> CompiledModule:
    """Load a program that `CompiledModule.save` or `graphopt compile` wrote.

    Code is executed only after the digests of all files were found to be those of the manifest, and with
    `trusted_key`, the public key in a file, only if that key signed it. Without one, a program is what any other is
    that somebody gives you: trust its maker.

    Raises:
        ModelError: there is no program, one of another format or damaged, or it is not signed by the trusted key.
        TargetError: it was compiled for another machine or version of TVM, or what runs it is not installed.

    """
    return CompiledModule(Path(path), trusted_key=None if trusted_key is None else Path(trusted_key))


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Write shapes by input: `x: [1, 3, 8, 8], mask: [1, 8]`."""
    return ", ".join(f"{name}: {list(shape)}" for name, shape in shapes.items())


def _check_machine(manifest: Manifest) -> None:
    """Raise TargetError where this machine cannot run a program's native code."""
    needed = manifest.machine
    if needed is None:
        return
    again = "; compile the model again here"
    here = sys.platform, platform.machine()
    if here != (needed.system, needed.architecture):
        made_for = f"{needed.architecture} under {needed.system}"
        raise TargetError(f"the program was compiled for {made_for}, this machine is {here[1]} under {here[0]}{again}")
    if missing := sorted(set(needed.features) - host().features):
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise TargetError(
            f"the program was compiled for {manifest.target} and uses {', '.join(missing[:_NAMED])}{more},"
            f" which this processor lacks{again}"
        )
    if needed.tvm_version != (found := tvm_version()):
        raise TargetError(
            f"the program was compiled for TVM {needed.tvm_version}, and {found} is installed;"
            " install that version, or compile the model again"
        )


def _load(contents: Contents, part: Part, threads: int, uploaded: dict[int, object]) -> _Call:
    if part.executor == "tvm":
        from graphopt.backends.tvm.executor import Library, TvmExecutor  # noqa: PLC0415  # not every program needs TVM

        with contents.file(part.file) as path:
            return TvmExecutor(Library(path, _weights(contents, part), part.arena), threads).run
    if part.executor == GPU:
        return _load_for_gpu(contents, part, uploaded)
    session = _session(contents, part.file, threads)

    def call(arrays: Sequence[Array]) -> list[Array]:
        results = session.run(dict(zip(part.inputs, arrays, strict=True)))
        return [results[name] for name in part.outputs]

    return call


def _load_for_gpu(contents: Contents, part: Part, uploaded: dict[int, object]) -> _Call:
    """Return what loads a part at its first call: a program for a GPU is compiled, and saved, where there is none."""
    from graphopt.backends.tvm.gpu.plan import GpuPlan  # noqa: PLC0415  # not every program needs it

    plan = GpuPlan.decode(contents.view(part.file).tobytes(), contents.where(part.file))
    if not contents.holds(plan.code):
        raise ModelError(f"the program has no file {plan.code!r}, which {part.file} names; compile the model again")
    loading = threading.Lock()

    @functools.cache
    def loaded() -> _Call:
        from graphopt.backends.tvm.gpu.executor import GpuExecutor, open_device  # noqa: PLC0415  # likewise

        weights = list(zip(part.weights, _weights(contents, part), strict=True))
        return GpuExecutor(plan, contents.view(plan.code).tobytes(), weights, open_device(plan), uploaded).run

    def call(arrays: Sequence[Array]) -> Sequence[Array]:
        with loading:
            run = loaded()
        return run(arrays)

    return call


def _weights(contents: Contents, part: Part) -> list[Array]:
    from graphopt.backends.tvm.weights import read_weights  # noqa: PLC0415  # not every program needs TVM

    return read_weights(contents.view(WEIGHTS), part.weights) if part.weights else []


def _session(contents: Contents, name: str, threads: int) -> Session:
    try:
        from graphopt.backends.ort.session import Session  # noqa: PLC0415  # not every program needs onnxruntime
    except ModuleNotFoundError as error:
        raise TargetError(
            f"{contents.where(name)} runs in onnxruntime, which is not installed; run: pip install onnxruntime"
        ) from error
    model, beside = contents.model(name)
    return Session(model, beside=beside, threads=threads)
