"""Objects to one WebAssembly module, by LLVM's linker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from graphopt.backends.tvm.driver.web.entry import NAME
from graphopt.errors import TargetError

LINKER = "wasm-ld"
STACK_BYTES = 64 << 10
"""Kernels keep no more than a kilobyte there."""
IMPORTED = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "erf", "exp", "exp10", "exp2"),
    *("expm1", "fmod", "hypot", "log", "log10", "log1p", "log2", "pow", "round", "sin", "sinh", "tan", "tanh"),
)
"""Functions of the C library that the loader gives a module, of float64 and, with an f behind their names, float32."""
_NUMBERED = re.compile(rf"{LINKER}-(\d+)")
_UNDEFINED = re.compile(r"undefined symbol: (\S+)")


def wasm_linker() -> str:
    """Return the path of LLVM's linker, the newest where only numbered ones are installed.

    Raises:
        TargetError: there is none.

    """
    found = shutil.which(LINKER) or next(filter(None, map(shutil.which, _numbered())), None)
    if found is None:
        raise TargetError(
            f"target wasm32 needs LLVM's linker, and there is no {LINKER} on the PATH; install it (Debian: "
            "apt install lld, macOS: brew install lld)"
        )
    return found


def link(linker: str, codes: Sequence[Any], module: Path) -> None:
    """Link `tvm.runtime.Module`s; a module exports `model_run`, its memory, and where memory is free.

    Raises:
        ValueError: the code calls a function that the loader has not; or what the linker says.

    """
    with TemporaryDirectory(prefix="graphopt-") as folder:
        objects = [Path(folder) / f"{index}.o" for index in range(len(codes))]
        for code, path in zip(codes, objects, strict=True):
            code.write_to_file(str(path))
        allowed = Path(folder) / "imported"
        allowed.write_text("".join(f"{name}\n{name}f\n" for name in IMPORTED), encoding="ascii")
        command = [linker, "--no-entry", f"--export={NAME}", "--export=__heap_base", "--strip-all", "--stack-first"]
        command += ["-z", f"stack-size={STACK_BYTES}", "--fatal-warnings", f"--allow-undefined-file={allowed}"]
        done = subprocess.run([*command, "-o", module, *objects], capture_output=True, text=True, check=False)  # noqa: S603  # our own list
    if missing := _UNDEFINED.search(done.stderr):
        raise ValueError(f"WebAssembly has no {missing.group(1)}")
    if done.returncode:
        raise ValueError(f"{linker} failed: {' '.join(done.stderr.split())}")


def _numbered() -> list[str]:
    """Return the names of linkers as Debian's older packages call them, the newest first."""
    names = {path.name for folder in os.get_exec_path() if Path(folder).is_dir() for path in Path(folder).iterdir()}
    numbers = sorted((int(found.group(1)) for name in names if (found := _NUMBERED.fullmatch(name))), reverse=True)
    return [f"{LINKER}-{number}" for number in numbers]
