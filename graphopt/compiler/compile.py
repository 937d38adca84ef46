"""`graphopt.compile`: from a model to a program on this machine."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from graphopt import __version__
from graphopt.backends.tvm.abi import tvm_version
from graphopt.backends.tvm.schedule.choices import DecisionTable
from graphopt.calibration.preprocessing import Preprocessing
from graphopt.calibration.source import Data
from graphopt.compiler import tuned
from graphopt.compiler.emit import Emitted, emit
from graphopt.compiler.freestanding import emit_freestanding
from graphopt.compiler.identity import cache_key, with_external_data
from graphopt.compiler.optimize import optimize
from graphopt.compiler.package import Package
from graphopt.compiler.provenance import provenance
from graphopt.compiler.quantize import quantize
from graphopt.compiler.specialize import specialize
from graphopt.compiler.table import Row, ShapeTable, check_rows, common, rows_of
from graphopt.errors import ModelError, TargetError
from graphopt.inspect.statistics import static_shape, tensor_spec
from graphopt.ir.batchwise.proof import Batchwise, prove_batchwise
from graphopt.ir.fused import inline_kernels
from graphopt.ir.interface import check_interface
from graphopt.ir.load import Source, load
from graphopt.ir.save import save
from graphopt.ir.walk import label
from graphopt.pipeline.presets import DEFAULT_PRESET
from graphopt.pipeline.report import Report
from graphopt.runtime import cache as program_cache
from graphopt.runtime.integrity import digests
from graphopt.runtime.manifest import WHOLE_MODEL, CompileReport, Machine, Manifest, Placement, Provenance, Variant
from graphopt.runtime.module import CompiledModule
from graphopt.targets import Target, parse_target, with_precision

QUANTIZING = "quantize"
"""How the names of the stages begin that come before the cache is looked into."""

SHAPE_FOLDING = "O1"
"""Run again once shapes are fixed: code needs them as constants, whatever pipeline the user chose."""


def compile(  # noqa: A001, PLR0913  # the name that the tool is known by, and all that it can be asked
    model: Source,
    target: str | Target = "cpu",
    *,
    shapes: ShapeTable | None = None,
    pipeline: str = DEFAULT_PRESET,
    threads: int | None = None,
    precision: str | None = None,
    calibration: Data | None = None,
    preprocessing: str | Preprocessing | None = None,
    cache: bool = True,
    on_stage: Callable[[str], None] | None = None,
) -> CompiledModule:
    """Compile a model into a program that gives the same answers.

    Native code is made for fixed shapes: those of the model and of `shapes`, and batch 1 where the leading
    dimension of an input is free. A list of several sets of shapes makes a variant of the code for each, with the
    weights that they share stored once; a run takes the one for the shapes that it is given. A batch that has none
    runs as a sequence of those that have one, 11 as 8 + 1 + 1 + 1, where the samples of the model are proved not to
    touch each other (`graphopt.ir.batchwise`); the notes of the report say what hinders it. The program takes every
    other shape that the model takes as well, and then runs the optimized model in onnxruntime.

    Kernels for which `graphopt.tune` measured better schedules on this target get those.

    Args:
        model: a path, serialized bytes, a ModelProto or an IR model; it stays untouched.
        target: what to compile for (`graphopt.targets`): `cpu` is this machine. With `c`, or `cpu{mtriple=…}`, the
            program is for another one: `save` writes sources and objects that `make` builds there, with `wasm32` a
            WebAssembly module and its loader in JavaScript, and a run is refused.
        shapes: dimensions to fix, by input name, as in `{"x": [8, 3, 224, 224]}`; or a list of such sets,
            `[{"x": [1, 3, 224, 224]}, {"x": [8, 3, 224, 224]}]`, one a variant. The program takes no other size
            in a dimension where all sets say the same.
        pipeline: a preset or the text of a pipeline of passes.
        threads: how many threads the program uses; all cores this process may run on by default.
        precision: of the factors of convolutions and matrix products, whose sums are float32 in any case: `fp32`,
            `bf16`, or `auto`, which is `bf16` where the processor multiplies it natively and `fp32` elsewhere. By
            default what the target says, as in `cpu{precision=bf16}`, and `fp32` where it says nothing.
        calibration: data to quantize the model with before, as `graphopt.quantize` takes them; it then computes in
            integers what it can.
        preprocessing: of pictures among those data.
        cache: keep the program, and find it again at the next equal request (`graphopt.runtime.cache`).
        on_stage: called with the name of each stage before it starts.

    Raises:
        ModelError, PipelineError, TargetError, CalibrationError: the arguments.
        PassFailureError: a pass failed; the message says how to replay it.
        OutputError: the program cannot be written.

    """
    facts = target if isinstance(target, Target) else parse_target(target)
    if threads is not None:
        facts = _with_threads(facts, threads)
    if precision is not None:
        facts = with_precision(facts, precision)
    origin = model
    if calibration is not None:
        model = _quantized(model, calibration, preprocessing, facts, pipeline, on_stage)
    rows = rows_of(shapes)
    decisions = {} if facts.kind == "onnxruntime" else tuned.decisions(facts)
    build = _Build(model, origin, rows, facts, pipeline, decisions, on_stage)
    if not cache:
        owner = TemporaryDirectory(prefix="graphopt-")
        try:
            build(Path(owner.name))
            return CompiledModule(Path(owner.name), owner=owner, lazily=True)
        except BaseException:
            owner.cleanup()
            raise
    key = cache_key(model, target=facts, rows=rows, pipeline=pipeline, decisions=decisions)
    if not program_cache.holds(key):
        key = with_external_data(key, build.model)
    try:
        return CompiledModule(program_cache.entry(key, build), lazily=True)
    except ModelError:  # a damaged entry: whatever happened to it, it can be made again
        program_cache.discard(key)
        return CompiledModule(program_cache.entry(key, build), lazily=True)


@dataclass
class _Build:
    """Builds one program into a directory, of a model that may be made of its origin."""

    source: Source
    origin: Source
    rows: Sequence[Row]
    target: Target
    pipeline: str
    decisions: DecisionTable
    on_stage: Callable[[str], None] | None
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def model(self) -> ir.Model:
        """The source, read and checked."""
        loaded = load(self.source, shapes=common(self.rows))
        check_interface(loaded)
        if len(self.rows) > 1:
            check_rows(loaded, self.rows)
        return loaded

    def __call__(self, folder: Path) -> None:
        with self._stage("optimize"):
            optimized, report = optimize(self.model, self.pipeline, target=self.target)
        with ThreadPoolExecutor() as beside:  # writing a large model takes as long as compiling its kernels
            saved = beside.submit(save, optimized.clone(), folder / WHOLE_MODEL)
            origin = beside.submit(provenance, self.model, self.origin)
            emitted = self._emit(optimized, folder)
            saved.result()
        self._manifest(report, emitted, self._prove(optimized, emitted), digests(folder), origin.result()).write(folder)

    def _emit(self, optimized: ir.Model, folder: Path) -> list[Emitted]:
        """Emit each variant; rows that fix the same shapes make one."""
        if self.target.kind == "onnxruntime":
            return [_nothing_emitted(optimized, "the target is onnxruntime", ())]
        if self.target.freestanding:
            return [self._emit_freestanding(optimized, folder)]
        package = Package(folder)
        emitted: dict[tuple[tuple[int, ...], ...], Emitted] = {}
        for row in self.rows:
            with self._stage("specialize"):
                specialization = specialize(optimized, row)
                if specialization.model is None:
                    return [_nothing_emitted(optimized, specialization.obstacle, (specialization.obstacle,))]
                shapes = tuple(map(static_shape, specialization.model.graph.inputs))
                if shapes in emitted:
                    continue
                specialized = self._folded(specialization.model)
            with self._stage("generate code"):
                emitted[shapes] = emit(specialized, self.target, package, self.decisions)
        return list(emitted.values())

    def _emit_freestanding(self, optimized: ir.Model, folder: Path) -> Emitted:
        if len(self.rows) > 1:
            raise TargetError(f"target {self.target} takes one set of shapes, and {len(self.rows)} are given")
        with self._stage("specialize"):
            specialization = specialize(optimized, self.rows[0])
            if specialization.model is None:
                raise TargetError(f"target {self.target} needs fixed shapes: {specialization.obstacle}")
            specialized = self._folded(specialization.model)
        with self._stage("generate code"):
            return emit_freestanding(specialized, self.target, folder, self.decisions)

    def _folded(self, model: ir.Model) -> ir.Model:
        inline_kernels(model)  # other shapes may make other kernels
        return optimize(model, SHAPE_FOLDING, target=self.target)[0]

    def _prove(self, optimized: ir.Model, emitted: Sequence[Emitted]) -> Batchwise:
        if self.target.freestanding or not any(one.parts for one in emitted):
            return Batchwise()
        with self._stage("specialize"):
            return prove_batchwise(optimized)

    def _manifest(
        self,
        report: Report,
        emitted: Sequence[Emitted],
        batchwise: Batchwise,
        files: dict[str, str],
        origin: Provenance,
    ) -> Manifest:
        variants = tuple(Variant(one.shapes, one.parts) for one in emitted if one.parts)
        notes = [note for one in emitted for note in one.notes]
        if batchwise.obstacle:
            notes.append(f"other batches than those of native code run in onnxruntime: {batchwise.obstacle}")
        return Manifest(
            graphopt_version=__version__,
            target=str(self.target),
            machine=_machine(self.target) if variants and not (self.target.freestanding or self.target.gpu) else None,
            threads=self.target.cores,
            inputs=tuple(map(tensor_spec, self.model.graph.inputs)),
            outputs=tuple(map(tensor_spec, self.model.graph.outputs)),
            variants=variants,
            batched=batchwise.inputs,
            files=files,
            provenance=origin,
            report=CompileReport(
                optimization=report.to_dict(),
                placements=tuple(dict.fromkeys(place for one in emitted for place in one.placements)),
                shapes=tuple(variant.shapes for variant in variants),
                notes=tuple(dict.fromkeys(notes)),
                seconds=self.seconds,
            ),
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        if self.on_stage:
            self.on_stage(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _machine(target: Target) -> Machine:
    """Return what native code for a target asks of a machine."""
    return Machine(sys.platform, platform.machine(), tuple(sorted(target.required_features)), tvm_version())


def _nothing_emitted(model: ir.Model, reason: str, notes: tuple[str, ...]) -> Emitted:
    placements = (Placement(label(node), "onnxruntime", reason) for node in model.graph)
    return Emitted({}, (), tuple(placements), notes)


def _quantized(
    model: Source,
    data: Data,
    preprocessing: str | Preprocessing | None,
    target: Target,
    pipeline: str,
    on_stage: Callable[[str], None] | None,
) -> ir.Model:
    """Quantize a model in the form that the target takes; what the data change is in the model, and so in its key."""
    scheme = "x64" if target.kind == "onnxruntime" else "graphopt"

    def on_progress(step: str, done: int, total: int | None) -> None:
        if on_stage:
            on_stage(f"{QUANTIZING}: {step}, {done} of {total}" if total else f"{QUANTIZING}: {step}")

    return quantize(
        model,
        data,
        scheme,
        preprocessing=preprocessing,
        pipeline=pipeline,
        threads=target.cores,
        on_progress=on_progress,
    ).model


def _with_threads(target: Target, threads: int) -> Target:
    if threads < 1:
        raise TargetError(f"threads={threads} must be at least 1")
    if target.freestanding and threads > 1:
        raise TargetError(f"threads={threads} must be 1 for target {target}: programs for other machines use one")
    return dataclasses.replace(target, cores=threads)
