"""From the text of a target to its facts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import archspec.cpu

from graphopt import processors
from graphopt.errors import TargetError
from graphopt.hardware import available_cores, cache_bytes
from graphopt.nearest import did_you_mean
from graphopt.processors import llvm_name, vector_bits
from graphopt.spec import Spec, SpecError, parse_spec
from graphopt.targets.facts import AUTO, KINDS, PRECISIONS, WEIGHTS, Precision, Target
from graphopt.targets.gpu import GPUS

_OPTIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("mcpu", "cores", "winograd", "precision", "mtriple", "mattr"),
    "c": ("weights",),
    "wasm32": ("winograd",),
    "cuda": ("arch",),
    "opencl": ("device",),
    "metal": (),
    "webgpu": (),
    "onnxruntime": ("mcpu", "cores", "winograd", "precision"),
}
_UNBUILDABLE = {
    "vulkan": "the code generator for SPIR-V, which its wheel has not",
    "rocm": "ROCm, with whose device functions kernels are linked, and graphopt looks for no installation of it",
}
"""GPUs that TVM knows, and what it lacks for them."""
_OLDEST_ARCH, _DEFAULT_ARCH = 75, "sm_80"
"""CUDA 13 compiles for compute capability 7.5 and later."""
_GPU_VECTOR_BITS = 512
"""Blocks of 16 channels lie together: half a warp reads them at once."""
_NOT_ELF = "apple", "darwin", "windows"
_SMALL_L1_BYTES, _SMALL_L2_BYTES = 32 << 10, 512 << 10
"""The caches of a machine that nothing is known of."""


def parse_target(text: str) -> Target:
    """Read a target such as `cpu`, `cpu{cores=1}` or `cpu{mcpu=haswell}`; what is not said is detected here.

    `cpu{winograd=false}` computes every product of a convolution, `cpu{precision=bf16}` multiplies in bfloat16.
    `cpu{mtriple=aarch64-linux-gnu mcpu=cortex-a72}`, `c` and `wasm32` are other machines, and programs for them
    freestanding. `cuda{arch=sm_90}` is a GPU of NVIDIA's, of compute capability 9.0 or a later one of the same major
    number; `opencl` is any device of OpenCL, and `opencl{device=pocl}` one with that in its name or its platform's.

    Raises:
        TargetError: unknown kind, option or processor, or one that this machine cannot execute, nor compile for;
            bfloat16 where the processor does not multiply it.

    """
    try:
        spec = parse_spec(text)
    except SpecError as error:
        raise TargetError(f"cannot read target: {error}; write for example cpu or cpu{{cores=2}}") from error
    if spec.name in _UNBUILDABLE:
        raise TargetError(f"target {spec.name} cannot be built: TVM lacks {_UNBUILDABLE[spec.name]}; take opencl")
    if spec.name not in KINDS:
        raise TargetError(f"unknown target {spec.name!r}{did_you_mean(spec.name, KINDS)}; there are {', '.join(KINDS)}")
    for option in spec.options:
        if option not in _OPTIONS[spec.name]:
            known = ", ".join(_OPTIONS[spec.name])
            raise TargetError(f"target {spec.name!r} has no option {option!r}; it has {known}")
    target = _machine(spec)
    if "winograd" in spec.options:
        target = dataclasses.replace(target, winograd=_truth("winograd", spec.options["winograd"]))
    return with_precision(target, spec.options["precision"]) if "precision" in spec.options else target


def with_precision(target: Target, precision: str) -> Target:
    """Return a target with one of `PRECISIONS`.

    Raises:
        TargetError: there is no such precision, or the processor does not multiply bfloat16 natively.

    """
    if precision not in PRECISIONS:
        raise TargetError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
    native = target.kind == "cpu" and target.bf16
    if precision == AUTO:
        pays = native and target.bf16_speedup > 1
        return dataclasses.replace(target, precision=Precision.BF16 if pays else Precision.FP32)
    if precision == Precision.BF16 and not native:
        raise TargetError(_why_no_bf16(target))
    return dataclasses.replace(target, precision=Precision(precision))


def host(kind: str = "cpu") -> Target:
    """Return the machine this runs on."""
    features = frozenset(archspec.cpu.detect.detected_info().features)
    processor = archspec.cpu.host()
    return Target(
        kind=kind,
        mcpu=llvm_name(processor),
        features=features,
        vector_bits=vector_bits(features),
        cores=available_cores(),
        l1_bytes=cache_bytes("index0", 32 << 10),
        l2_bytes=cache_bytes("index2", 512 << 10),
    )


def _machine(spec: Spec) -> Target:
    """Return the machine that a target is for, apart from how it computes."""
    if spec.name == "c":
        return _any_machine(spec.options.get("weights", "arrays"))
    if spec.name == "wasm32":
        return _web_machine()
    if spec.name in GPUS:
        return _gpu(spec.name, spec.options)
    if "mtriple" in spec.options:
        return _other_machine(spec.options)
    if "mattr" in spec.options:
        raise TargetError(
            "option mattr of a target is for other machines; say which with mtriple, as in riscv64-linux-gnu"
        )
    target = host(spec.name)
    if "mcpu" in spec.options:
        target = _with_mcpu(target, spec.options["mcpu"])
    return dataclasses.replace(target, cores=_core_count(spec.options["cores"])) if "cores" in spec.options else target


def _any_machine(weights: str) -> Target:
    """Return the machine of C: loops over four numbers, which compilers make vectors of where there are some.

    Winograd takes several times the memory, which small machines have not.
    """
    if weights not in WEIGHTS:
        raise TargetError(f"option weights={weights} of a target must be one of {', '.join(WEIGHTS)}")
    caches = _SMALL_L1_BYTES, _SMALL_L2_BYTES
    return Target("c", "generic", frozenset(), 128, 1, *caches, winograd=False, weights=weights)


def _web_machine() -> Target:
    """Return the machine of WebAssembly with fixed-width SIMD, which browsers have since 2023: no fma, one thread.

    Winograd makes files of weights, which are downloaded, several times as large; who wants it says so.
    """
    caches = _SMALL_L1_BYTES, _SMALL_L2_BYTES
    features = processors.BASELINE["wasm32"]
    return Target("wasm32", "generic", features, 128, 1, *caches, winograd=False, mtriple="wasm32-unknown-unknown")


def _gpu(kind: str, options: Mapping[str, str]) -> Target:
    """Return a GPU: of NVIDIA's, one of a generation; of others nothing is known."""
    arch = options.get("arch", _DEFAULT_ARCH if kind == "cuda" else "")
    if arch and (re.fullmatch(r"sm_\d{2,3}", arch) is None or int(arch.removeprefix("sm_")) < _OLDEST_ARCH):
        raise TargetError(
            f"option arch={arch} of a target must be a compute capability from sm_{_OLDEST_ARCH} on, as sm_90"
        )
    caches = _SMALL_L1_BYTES, _SMALL_L2_BYTES
    device = options.get("device", "")
    return Target(kind, "", frozenset(), _GPU_VECTOR_BITS, 1, *caches, winograd=False, arch=arch, device=device)


def _other_machine(options: Mapping[str, str]) -> Target:
    """Return a machine that is not this one."""
    mtriple = options["mtriple"]
    architecture = mtriple.partition("-")[0]
    if architecture not in processors.GENERIC or mtriple == architecture:
        raise TargetError(
            f"option mtriple={mtriple} of a target must begin with one of {', '.join(processors.GENERIC)}, and name a "
            "system, as aarch64-linux-gnu does; for any other processor take target c"
        )
    if foreign := next((system for system in _NOT_ELF if system in mtriple), None):
        raise TargetError(f"option mtriple={mtriple} of a target must be of a system with ELF objects, not {foreign}")
    if options.get("cores", "1") != "1":
        raise TargetError(f"option cores={options['cores']} of a target must be 1: programs for other machines use one")
    mcpu = options.get("mcpu", processors.GENERIC[architecture])
    mattr = options.get("mattr", "")
    features = processors.features(architecture, mcpu) | processors.extensions(architecture, mattr)
    caches = _SMALL_L1_BYTES, _SMALL_L2_BYTES
    return Target("cpu", mcpu, features, vector_bits(features), 1, *caches, mtriple=mtriple, mattr=mattr)


def _with_mcpu(target: Target, mcpu: str) -> Target:
    known = processors.by_llvm_name()
    if mcpu == target.mcpu:
        return target
    if mcpu not in known:
        raise TargetError(f"unknown processor {mcpu!r}{did_you_mean(mcpu, known)}")
    features = frozenset(known[mcpu].features)
    if missing := sorted(features - target.features):
        raise TargetError(
            f"this machine cannot execute code for {mcpu!r}: it lacks {', '.join(missing)}; to compile for another "
            "machine, say which with mtriple"
        )
    return dataclasses.replace(target, mcpu=mcpu, features=features, vector_bits=vector_bits(features))


def _why_no_bf16(target: Target) -> str:
    if target.kind != "cpu":
        return f"target {target.kind!r} has no precision but that of the model; take fp32, or target cpu"
    return (
        f"the processor {target.mcpu!r} cannot multiply in bf16: it lacks avx512_bf16; take fp32, or auto, which is "
        "bf16 only where the processor has it"
    )


def _core_count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise TargetError(f"option cores={text} of a target must be a whole number of at least 1")
    return int(text)


def _truth(option: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise TargetError(f"option {option}={text} of a target must be true or false")
    return text == "true"
