"""What a program is compiled for, as facts: passes and schedules ask for these, never for a target's name."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from enum import StrEnum

from graphopt import processors
from graphopt.spec import Spec
from graphopt.targets.gpu import GPUS, VECTOR_BYTES

_DOTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Extensions that multiply int8."""


class Precision(StrEnum):
    """In which numbers products are computed that a model asks for in float32; sums are always float32."""

    FP32 = "fp32"
    BF16 = "bf16"


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
        return self.kind in GPUS

    @property
    def sources_only(self) -> bool:
        """Whether a program is the sources of its kernels, which nothing here can launch."""
        return self.gpu and not GPUS[self.kind].launched

    @property
    def threads_per_block(self) -> int:
        """How many threads of a GPU a schedule may put into a block."""
        return GPUS[self.kind].threads

    @property
    def shared_bytes(self) -> int:
        """How much memory the threads of a block of a GPU may share."""
        return GPUS[self.kind].shared_bytes

    @property
    def kernel_arguments(self) -> int:
        """How many tensors a kernel of a GPU may take."""
        return GPUS[self.kind].arguments

    @property
    def tensor_alignment(self) -> int:
        """The bytes of which the place of each tensor in the arena is a multiple."""
        return GPUS[self.kind].alignment if self.gpu else VECTOR_BYTES

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
        kind = processors.by_llvm_name().get(self.mcpu)
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
WEIGHTS = {
    "arrays": "constant arrays in C sources, which any compiler takes",
    "blob": "a binary file that the assembler includes, quick to write and to build",
}
_SCALAR_REGISTERS = 32
"""For float32, of processors without vectors that have floats at all."""
