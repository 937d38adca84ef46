"""Programs for other machines, built by their compilers, and run here, by an emulator, or in Node."""

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
    def tools(self) -> tuple[str, ...]:
        """Return what builds and runs programs."""
        return ("make", self.compiler, *self.emulator[:1])

    @property
    def missing(self) -> str:
        """Say what this machine lacks to build and run programs; nothing where it lacks nothing."""
        lacking = [tool for tool in self.tools if shutil.which(tool) is None]
        if lacking:
            return f"needs {' and '.join(lacking)}, which .ci/run installs"
        unknown = frozenset() if self.emulator else parse_target(self.target).features - host().features
        return f"needs a processor with {', '.join(sorted(unknown))}" if unknown else ""

    def build(self, folder: Path) -> None:
        """Build the program in a directory."""
        command = ["make", f"CC={self.compiler}", self.flags]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)

    def command(self, inputs: list[str], outputs: list[str]) -> list[str]:
        """Return what runs the program in its directory on files."""
        return [*self.emulator, "./run", *inputs, *outputs]


class Web(Machine):
    """A browser's engine, in Node: compiling makes a module, and there is nothing to build."""

    @property
    def tools(self) -> tuple[str, ...]:
        return self.compiler, *self.emulator

    def build(self, folder: Path) -> None:
        pass

    def command(self, inputs: list[str], outputs: list[str]) -> list[str]:
        return [*self.emulator, str(Path(__file__).with_name("run_module.mjs").resolve()), *inputs, "--", *outputs]


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
    "wasm32": Web("wasm32", "wasm-ld", emulator=("node",)),
}
"""By names for people: all that programs are executed for in tests."""


def built(module: graphopt.CompiledModule, folder: Path, machine: Machine) -> Path:
    """Save a program, build it, and return its directory."""
    module.save(folder)
    machine.build(folder)
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
    subprocess.run(machine.command(sources, results), cwd=folder, check=True, capture_output=True)
    return {
        name: np.frombuffer((folder / file).read_bytes(), array.dtype).reshape(array.shape)
        for file, (name, array) in zip(results, like.items(), strict=True)
    }
