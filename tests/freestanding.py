"""Programs for other machines, built by their compilers, and run here or by an emulator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import graphopt
from graphopt.targets import host, parse_target
from graphopt.tensors import Array

SANITIZED = "CFLAGS=-std=c99 -O0 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
STRICT = "CFLAGS=-std=c99 -O2 -Wall -Wextra -Werror"
ARM = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
RISCV = ("qemu-riscv64", "-cpu", "rv64,v=true,vext_spec=v1.0,vlen=256", "-L", "/usr/riscv64-linux-gnu")


@dataclass(frozen=True)
class Machine:
    """Where a program is for, and how it gets there.

    Attributes:
        target: to compile for.
        compiler: of C.
        flags: of it, as make takes them.
        emulator: that runs the program; none where this machine can.

    """

    target: str
    compiler: str
    flags: str = STRICT
    emulator: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """Say what this machine lacks to build and run programs; nothing where it lacks nothing."""
        tools = ("make", self.compiler, *self.emulator[:1])
        lacking = [tool for tool in tools if shutil.which(tool) is None]
        if lacking:
            return f"needs {' and '.join(lacking)}, which .ci/run installs"
        unknown = frozenset() if self.emulator else parse_target(self.target).features - host().features
        return f"needs a processor with {', '.join(sorted(unknown))}" if unknown else ""


def _arm(mcpu: str) -> Machine:
    return Machine(f"cpu{{mtriple=aarch64-linux-gnu mcpu={mcpu}}}", "aarch64-linux-gnu-gcc", emulator=ARM)


def _riscv(options: str) -> Machine:
    return Machine(f"cpu{{mtriple=riscv64-linux-gnu{options}}}", "riscv64-linux-gnu-gcc", emulator=RISCV)


def _x86(mcpu: str) -> Machine:
    return Machine(f"cpu{{mtriple=x86_64-linux-gnu mcpu={mcpu}}}", "gcc")


MACHINES = {
    "c": Machine("c{weights=blob}", "gcc", SANITIZED),
    "c-arrays": Machine("c", "gcc"),
    "c-clang": Machine("c", "clang"),
    "cortex-a72": _arm("cortex-a72"),
    "cortex-a76": _arm("cortex-a76"),
    "neoverse-v1": _arm("neoverse-v1"),
    "riscv64": _riscv(""),
    "riscv64-v": _riscv(" mattr=+v"),
    "riscv64-v256": _riscv(" mattr=+v,+zvl256b"),
    "x86-64-v2": _x86("x86-64-v2"),
    "x86-64-v3": _x86("x86-64-v3"),
    "x86-64-v4": _x86("x86-64-v4"),
}
"""By names for people: all that programs are executed for in tests."""


def built(module: graphopt.CompiledModule, folder: Path, machine: Machine) -> Path:
    """Save a program, build it, and return its directory."""
    module.save(folder)
    command = ["make", f"CC={machine.compiler}", machine.flags]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return folder


def answers(
    module: graphopt.CompiledModule,
    folder: Path,
    machine: Machine,
    feeds: Mapping[str, Array],
    like: Mapping[str, Array],
) -> dict[str, Array]:
    """Build a program, run it on arrays by input name, and return those by output name, of the same kinds as `like`."""
    built(module, folder, machine)
    return run(folder, machine, [feeds[spec.name] for spec in module.inputs], like)


def run(folder: Path, machine: Machine, inputs: list[Array], like: Mapping[str, Array]) -> dict[str, Array]:
    """Run a program that is built."""
    sources = [f"input{index}.bin" for index in range(len(inputs))]
    results = [f"output{index}.bin" for index in range(len(like))]
    for name, array in zip(sources, inputs, strict=True):
        (folder / name).write_bytes(np.ascontiguousarray(array).tobytes())
    subprocess.run([*machine.emulator, "./run", *sources, *results], cwd=folder, check=True, capture_output=True)
    return {
        name: np.frombuffer((folder / file).read_bytes(), array.dtype).reshape(array.shape)
        for file, (name, array) in zip(results, like.items(), strict=True)
    }
