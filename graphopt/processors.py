"""What processors can do, by the names that LLVM has for them.

archspec knows those of x86. It knows few of the others, so the tables say of these what LLVM 22 says; a test asks it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping

import archspec.cpu

from graphopt.errors import TargetError
from graphopt.nearest import did_you_mean

_X86 = "x86_64"

EXTENSIONS: Mapping[str, Mapping[str, str]] = {
    "aarch64": {"dotprod": "asimddp", "fullfp16": "asimdhp", "i8mm": "i8mm", "bf16": "bf16"},
    "riscv64": {name: name for name in ("v", "zvl256b", "zvl512b", "zvfh")},
}
"""By architecture: the extensions that make a difference to kernels, by LLVM's names, as Linux lists them."""

BASELINE: Mapping[str, frozenset[str]] = {
    "aarch64": frozenset({"asimd"}),
    "riscv64": frozenset(),
    "wasm32": frozenset({"simd128"}),
}
"""What each processor of an architecture has."""

GENERIC: Mapping[str, str] = {"aarch64": "generic", "riscv64": "generic-rv64", _X86: "x86-64"}
"""The processor of an architecture that all others can do as much as."""

_PROCESSORS: Mapping[str, Mapping[tuple[str, ...], str]] = {
    "aarch64": {
        (): "apple-a10 apple-a7 cortex-a34 cortex-a35 cortex-a53 cortex-a57 cortex-a72 cortex-a73 exynos-m3 falkor "
        "generic kryo thunderx thunderx2t99 thunderx3t110 thunderxt81 thunderxt83 thunderxt88",
        ("fullfp16",): "a64fx apple-a11 apple-a12 carmel",
        ("dotprod",): "saphira",
        ("dotprod", "fullfp16"): "apple-a13 apple-a14 apple-m1 cortex-a55 cortex-a65 cortex-a65ae cortex-a75 "
        "cortex-a76 cortex-a76ae cortex-a77 cortex-a78 cortex-a78ae cortex-a78c cortex-r82 cortex-r82ae cortex-x1 "
        "cortex-x1c exynos-m4 exynos-m5 neoverse-e1 neoverse-n1 tsv110",
        ("dotprod", "fullfp16", "i8mm", "bf16"): "ampere1 ampere1a ampere1b ampere1c apple-a15 apple-a16 apple-a17 "
        "apple-m2 apple-m3 apple-m4 apple-m5 c1-nano c1-premium c1-pro c1-ultra cortex-a320 cortex-a510 cortex-a520 "
        "cortex-a520ae cortex-a710 cortex-a715 cortex-a720 cortex-a720ae cortex-a725 cortex-x2 cortex-x3 cortex-x4 "
        "cortex-x925 fujitsu-monaka gb10 grace neoverse-512tvb neoverse-n2 neoverse-n3 neoverse-v1 neoverse-v2 "
        "neoverse-v3 neoverse-v3ae olympus oryon-1",
    },
    "riscv64": {
        (): "andes-ax25 andes-ax45 andes-nx45 generic-rv64 mips-p8700 sifive-p450 sifive-p550 sifive-s54 sifive-s76 "
        "sifive-u54 sifive-u74 syntacore-scr4-rv64 syntacore-scr5-rv64 veyron-v1 xiangshan-nanhu",
        ("v",): "andes-ax45mpv sifive-p470 sifive-p670 syntacore-scr7",
        ("v", "zvfh"): "sifive-p870 xiangshan-kunminghu",
        ("v", "zvl256b", "zvfh"): "spacemit-x60 tt-ascalon-d8",
        ("v", "zvl256b", "zvl512b", "zvfh"): "sifive-x280 sifive-x390",
    },
}
"""By architecture and extensions; of riscv64 those that Linux runs on, with floats of 64 bits."""


def names(architecture: str) -> tuple[str, ...]:
    """Return the processors of an architecture."""
    if architecture == _X86:
        return tuple(_x86())
    return tuple(name for several in _PROCESSORS[architecture].values() for name in several.split())


def features(architecture: str, mcpu: str) -> frozenset[str]:
    """Return what a processor has, by Linux's names; raises TargetError for an unknown one."""
    known = names(architecture)
    if mcpu not in known:
        raise TargetError(f"unknown processor {mcpu!r} of {architecture}{did_you_mean(mcpu, known)}")
    if architecture == _X86:
        return frozenset(_x86()[mcpu].features)
    found = next(had for had, several in _PROCESSORS[architecture].items() if mcpu in several.split())
    return BASELINE[architecture] | {EXTENSIONS[architecture][extension] for extension in found}


def extensions(architecture: str, mattr: str) -> frozenset[str]:
    """Return what a list such as `+v,+zvl256b` adds, by Linux's names; raises TargetError for what is none."""
    known = EXTENSIONS.get(architecture, {})
    asked = [one for one in mattr.split(",") if one]
    for one in asked:
        if not one.startswith("+") or one[1:] not in known:
            listed = ", ".join(f"+{name}" for name in known) or "none: say it with mcpu"
            raise TargetError(f"unknown extension {one!r} of {architecture}; there are {listed}")
    return frozenset(known[one[1:]] for one in asked)


def vector_bits(features: Collection[str]) -> int:
    """Return the width of a vector register, at least: scalable vectors of Arm are used as NEON's 128 bits."""
    if "avx512f" in features or "zvl512b" in features:
        return 512
    return 256 if "avx2" in features or "zvl256b" in features else 128


def llvm_name(processor: archspec.cpu.Microarchitecture) -> str:
    """Return LLVM's name of what archspec knows by its own."""
    try:
        flags: str = processor.optimization_flags("clang", "18.0")
    except archspec.cpu.UnsupportedMicroarchitecture:
        return str(processor.name)
    marks = [word.partition("=")[2] for word in flags.split() if word.startswith(("-mcpu=", "-march="))]
    return marks[-1] if marks else str(processor.name)


@functools.cache
def by_llvm_name() -> dict[str, archspec.cpu.Microarchitecture]:
    """Return all kinds of processors by the names that LLVM has for them."""
    return {llvm_name(processor): processor for processor in archspec.cpu.TARGETS.values()}


def _x86() -> dict[str, archspec.cpu.Microarchitecture]:
    return {llvm_name(one): one for one in archspec.cpu.TARGETS.values() if one.family.name == _X86}
