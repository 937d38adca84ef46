"""What a program is compiled for, as facts: passes and schedules ask for these, never for a target's name."""

from __future__ import annotations

import dataclasses
import functools
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import archspec.cpu

from graphopt import processors
from graphopt.errors import TargetError
from graphopt.hardware import available_cores, cache_bytes
from graphopt.processors import did_you_mean, llvm_name, vector_bits
from graphopt.spec import Spec, SpecError, parse_spec

_DOTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Extensions that multiply int8."""


class Precision(StrEnum):
    """In which numbers products are computed that a model asks for in float32; sums are always float32."""

    FP32 = "fp32"
    BF16 = "bf16"


_VECTOR_BYTES = 64
"""Of the widest registers of processors."""
AUTO = "auto"
"""The precision of a target that takes bfloat16 where the processor multiplies it natively, and in less time."""
PRECISIONS = (*Precision, AUTO)


@dataclass(frozen=True)
class Target:
    """A machine to compile for.

    `str(target)` is a text that `parse_target` reads back; two targets with equal text are equal.

    Attributes:
        kind: the code generator: a key of `KINDS`.
        mcpu: the processor's name as LLVM knows it.
        features: instruction-set extensions, by their names in Linux's /proc/cpuinfo.
        vector_bits: width of one vector register.
        cores: how many the program may use.
        l1_bytes, l2_bytes: data caches of one core.
        winograd: whether a convolution may be computed with fewer products that err by a few roundings more.
        precision: of the factors of long sums of products. It is a permission: what is faster otherwise stays exact.
        mtriple: architecture, system and ABI of another machine, as LLVM writes them; empty for this one.
        mattr: extensions that the processor has beyond those that its name says, as LLVM writes them: `+v,+zvl256b`.
        weights: where a freestanding program has them, a key of `WEIGHTS`.
        arch: the generation of a GPU of NVIDIA's by its compute capability, as `sm_90`; empty elsewhere.
        device: a part of the name that a device of OpenCL has to have; empty where any will do.

    """

    kind: str
    mcpu: str
    features: frozenset[str]
    vector_bits: int
    cores: int
    l1_bytes: int
    l2_bytes: int
    winograd: bool = True
    precision: Precision = Precision.FP32
    mtriple: str = ""
    mattr: str = ""
    weights: str = "blob"
    arch: str = ""
    device: str = ""

    @property
    def architecture(self) -> str:
        """The processor's family: `x86_64`, `aarch64`, `riscv64`, or empty for that of any C compiler."""
        if self.kind == "c":
            return ""
        return self.mtriple.partition("-")[0] or platform.machine()

    @property
    def gpu(self) -> bool:
        """Whether kernels run on a GPU: blocks of threads, with memory of its own."""
        return self.kind in _GPUS

    @property
    def sources_only(self) -> bool:
        """Whether a program is the sources of its kernels, which nothing here can launch."""
        return self.gpu and self.kind not in _LAUNCHED

    @property
    def threads_per_block(self) -> int:
        """How many threads of a GPU a schedule may put into a block."""
        return _GPUS[self.kind].threads

    @property
    def shared_bytes(self) -> int:
        """How much memory the threads of a block of a GPU may share."""
        return _GPUS[self.kind].shared_bytes

    @property
    def kernel_arguments(self) -> int:
        """How many tensors a kernel of a GPU may take."""
        return _GPUS[self.kind].arguments

    @property
    def tensor_alignment(self) -> int:
        """The bytes of which the place of each tensor in the arena is a multiple."""
        return _GPUS[self.kind].alignment if self.gpu else _VECTOR_BYTES

    @property
    def freestanding(self) -> bool:
        """Whether a program is for another machine, as a function and its kernels, or kernels alone, without TVM."""
        return self.kind == "c" or bool(self.mtriple) or self.sources_only

    @property
    def web(self) -> bool:
        """Whether a program is a WebAssembly module."""
        return self.architecture == "wasm32"

    @property
    def llvm(self) -> bool:
        """Whether LLVM makes the code: kernels may then call its intrinsics, and functions in its own language."""
        return self.kind != "c" and not self.gpu

    @property
    def float16(self) -> bool:
        """Whether a freestanding program may compute in float16.

        C99 has no such type, and on RISC-V what TVM puts into objects to convert it takes it in other registers.
        """
        return (self.llvm or self.gpu) and self.architecture != "riscv64"

    @property
    def int8_dot(self) -> bool:
        """Whether one instruction multiplies four int8 pairs and adds them into an int32 lane."""
        return not self.features.isdisjoint(_DOTS)

    @property
    def signed_dot(self) -> bool:
        """Whether what that instruction multiplies with int8 is int8 too; elsewhere it is uint8."""
        return "asimddp" in self.features and "i8mm" not in self.features

    @property
    def fma(self) -> bool:
        """Whether one instruction multiplies and adds with a single rounding."""
        return not self.features.isdisjoint({"fma", "avx512f", "asimd"})

    @property
    def bf16(self) -> bool:
        """Whether one instruction multiplies two bfloat16 pairs and adds them into a float32 lane."""
        return "avx512_bf16" in self.features

    @property
    def bf16_speedup(self) -> float:
        """How many products of bfloat16 a core computes in the time of one in float32.

        VDPBF16PS multiplies two pairs a lane. AMD's processors, those with sse4a, take as long for it as for VFMADD;
        Intel's take four times as long (measured on a Sapphire Rapids).
        """
        return 2.0 if "sse4a" in self.features else 0.5

    @property
    def vector_registers(self) -> int:
        """How many vector registers code may use; of numbers one by one, four are taken for a vector."""
        if not self.architecture or (self.architecture == "riscv64" and "v" not in self.features):
            return _SCALAR_REGISTERS * 32 // self.vector_bits
        return 32 if self.vector_bits == 512 or self.architecture in {"aarch64", "riscv64"} else 16

    @property
    def vectors_per_cycle(self) -> int:
        """How many vector registers a core multiplies and adds in one cycle; it loads as many.

        Zen 4 does half a register of AVX-512 at a time; of what AMD makes, Zen 5 and later have vp2intersect.
        """
        halves = self.vector_bits == 512 and "sse4a" in self.features
        return 1 if halves and "avx512_vp2intersect" not in self.features else 2

    @property
    def required_features(self) -> frozenset[str]:
        """The extensions that code for it may use: those of its kind of processor, and what schedules ask for.

        What else /proc/cpuinfo lists, as `hypervisor`, is of no concern to code.
        """
        kind = _processors().get(self.mcpu)
        if kind is None:
            return self.features
        asked = _DOTS | {"i8mm"} | ({"avx512_bf16"} if self.precision is Precision.BF16 else set())
        return self.features & (frozenset(kind.features) | asked)

    def lanes(self, bits: int = 32) -> int:
        """How many elements of `bits` bits one vector register holds."""
        return self.vector_bits // bits

    def __str__(self) -> str:
        if self.kind == "c":
            return str(Spec(self.kind, {"weights": self.weights}))
        if self.web:
            return str(Spec(self.kind, {"winograd": "true"} if self.winograd else {}))
        if self.gpu:
            facts = {"arch": self.arch, "device": self.device}
            return str(Spec(self.kind, {name: fact for name, fact in facts.items() if fact}))
        options = {"mcpu": self.mcpu, "cores": str(self.cores)}
        if self.mtriple:
            options = {"mtriple": self.mtriple, "mcpu": self.mcpu, **({"mattr": self.mattr} if self.mattr else {})}
        if not self.winograd:
            options["winograd"] = "false"
        if self.precision is not Precision.FP32:
            options["precision"] = self.precision
        return str(Spec(self.kind, options))


KINDS = {
    "cpu": "native code for this machine's processor, or with mtriple for another one, compiled by TVM through LLVM",
    "c": "C99 sources that need no library, for any C compiler and any processor",
    "wasm32": "a WebAssembly module with SIMD and what loads it in JavaScript, for browsers and Node",
    "cuda": "kernels for NVIDIA's GPUs, compiled with or without one at hand",
    "opencl": "kernels in OpenCL C, for GPUs and other devices that have a driver for it",
    "metal": "sources of kernels in Metal's language, which nobody has executed",
    "webgpu": "sources of kernels in WGSL, which nobody has executed",
    "onnxruntime": "an optimized ONNX file, run by onnxruntime",
}
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
WEIGHTS = {
    "arrays": "constant arrays in C sources, which any compiler takes",
    "blob": "a binary file that the assembler includes, quick to write and to build",
}


@dataclass(frozen=True)
class _Gpu:
    """What each device of a kind gives a kernel: the least that its standard promises, or that all GPUs have."""

    threads: int
    shared_bytes: int
    arguments: int
    alignment: int


_GPUS = {
    "cuda": _Gpu(1024, 48 << 10, 512, _VECTOR_BYTES),
    "opencl": _Gpu(256, 32 << 10, 128, 512),  # NVIDIA's have the largest CL_DEVICE_MEM_BASE_ADDR_ALIGN, 4096 bits
    "metal": _Gpu(256, 32 << 10, 31, 256),  # with 1024 threads, TVM's rules take a minute
    "webgpu": _Gpu(256, 16 << 10, 8, 256),
}
_LAUNCHED = frozenset({"cuda", "opencl"})
"""Kinds that there is an executor for."""
_UNBUILDABLE = {
    "vulkan": "the code generator for SPIR-V, which its wheel has not",
    "rocm": "ROCm, with whose device functions kernels are linked, and graphopt looks for no installation of it",
}
"""GPUs that TVM knows, and what it lacks for them."""
_OLDEST_ARCH, _DEFAULT_ARCH = 75, "sm_80"
"""CUDA 13 compiles for compute capability 7.5 and later."""
_GPU_VECTOR_BITS = 512
"""Blocks of 16 channels lie together: half a warp reads them at once."""
_SCALAR_REGISTERS = 32
"""For float32, of processors without vectors that have floats at all."""
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
    if spec.name in _GPUS:
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
    known = _processors()
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


@functools.cache
def _processors() -> dict[str, archspec.cpu.Microarchitecture]:
    """Return the kinds of processors by the names that LLVM has for them."""
    return {llvm_name(processor): processor for processor in archspec.cpu.TARGETS.values()}


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
