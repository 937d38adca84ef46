"""The compiled program as its user holds it."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from graphopt.backends.ort.session import Session
from graphopt.errors import RunError, TargetError
from graphopt.files import atomic_path
from graphopt.runtime import feeds as feeding
from graphopt.runtime import integrity
from graphopt.runtime.benchmark import Timing, measure
from graphopt.runtime.dispatch import DispatchTable, Step
from graphopt.runtime.manifest import WEIGHTS, WHOLE_MODEL, CompileReport, Manifest, Part
from graphopt.targets import host
from graphopt.tensors import Array, TensorSpec

_Call = Callable[[Sequence[Array]], Sequence[Array]]


class CompiledModule:
    """A program ready to run. Any number of threads may call it at once.

    `module(x)`, `module(x, y)` and `module({"x": x})` are all `module.run({"x": x})`: numpy arrays by the
    names of the model's outputs. Outputs are the caller's to keep.
    """

    def __init__(self, folder: Path, *, owner: TemporaryDirectory[str] | None = None, lazily: bool = False) -> None:
        """Load the program in a directory; `owner` keeps a temporary one alive as long as the module.

        `lazily`, the whole model, a file as large as all weights, is checked when a run needs it first.
        """
        self._folder = folder
        self._owner = owner
        self._manifest = Manifest.read(folder)
        _check_processor(self._manifest)
        integrity.check_presence(folder, self._manifest.files)
        for name in self._manifest.files.keys() - ({WHOLE_MODEL} if lazily else set()):
            self._check_content(name)
        variants = () if self._manifest.is_freestanding else self._manifest.variants
        self._table = DispatchTable([variant.shapes for variant in variants], self._manifest.batched)
        self._calls = [[_load(folder, part, self._manifest.threads) for part in variant.parts] for variant in variants]

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
                f"the program is for {self.target}, and cannot run here: save it, build it with make in its directory, "
                "and call model_run of its model.h there"
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

    def save(self, path: str | PathLike[str]) -> None:
        """Copy the program to a directory from which `graphopt.load` reads it; raises OutputError."""
        with atomic_path(Path(path)) as temporary:
            temporary.mkdir()  # copytree alone would make the folders above it as well
            shutil.copytree(self._folder, temporary, dirs_exist_ok=True)

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

    def _check_content(self, name: str) -> None:
        integrity.check_content(self._folder / name, self._manifest.files[name])

    @functools.cached_property
    def _whole_model(self) -> Session:
        self._check_content(WHOLE_MODEL)
        return Session(self._folder / WHOLE_MODEL, threads=self._manifest.threads)


def load(path: str | PathLike[str]) -> CompiledModule:
    """Load a program that `CompiledModule.save` or `graphopt compile` wrote.

    Raises:
        ModelError: the directory holds no program, or one of another format or damaged.
        TargetError: it was compiled for a processor that this machine is not.

    """
    return CompiledModule(Path(path))


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Write shapes by input: `x: [1, 3, 8, 8], mask: [1, 8]`."""
    return ", ".join(f"{name}: {list(shape)}" for name, shape in shapes.items())


def _check_processor(manifest: Manifest) -> None:
    if missing := sorted(set(manifest.features) - host().features):
        raise TargetError(
            f"the program was compiled for {manifest.target} and uses {', '.join(missing)},"
            " which this processor lacks; compile the model again here"
        )


def _load(folder: Path, part: Part, threads: int) -> _Call:
    path = folder / part.file
    if part.executor == "tvm":
        from graphopt.backends.tvm.executor import Library, TvmExecutor  # noqa: PLC0415  # not every program needs TVM

        return TvmExecutor(Library(path, folder / WEIGHTS, part.weights), threads).run
    session = Session(path, threads=threads)

    def call(arrays: Sequence[Array]) -> list[Array]:
        results = session.run(dict(zip(part.inputs, arrays, strict=True)))
        return [results[name] for name in part.outputs]

    return call
