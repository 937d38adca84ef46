"""A scheduled module → a Relax virtual-machine executable."""

from __future__ import annotations

import shutil
from pathlib import Path

import tvm
from tvm import relax

from graphopt.errors import TargetError
from graphopt.targets import Target

_LINKERS = ("g++", "gcc", "clang++", "clang", "c++", "cc")


def tvm_target(target: Target) -> tvm.target.Target:
    """Return a target as TVM knows it."""
    return tvm.target.Target({"kind": "llvm", "mcpu": target.mcpu, "num-cores": target.cores})


def build(module: tvm.IRModule, target: Target) -> relax.VMExecutable:
    """Compile a scheduled module to native code that runs in this process or is exported."""
    return relax.build(module, tvm_target(target))


def export(executable: relax.VMExecutable, path: Path) -> None:
    """Write an executable as a shared library.

    Raises:
        TargetError: no C linker is installed.

    """
    linker = next(filter(None, map(shutil.which, _LINKERS)), None)
    if linker is None:
        raise TargetError(
            f"a library is linked by a C compiler, and none of {', '.join(_LINKERS)} is on the PATH; "
            "install one (Debian: apt install gcc), or run the module in memory"
        )
    executable.export_library(str(path), cc=linker)
