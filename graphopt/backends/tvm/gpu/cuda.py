"""CUDA C++ → machine code, by NVRTC from NVIDIA's wheels (the extra `cuda`), or by nvcc where it is installed.

Neither needs a GPU or a driver. Division, square roots and functions are those of IEEE: no `--use_fast_math`, with
which TVM compiles by default, since a program gives the answers of its model.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from graphopt.errors import TargetError

_MATH = "#define INFINITY __int_as_float(0x7f800000)\n"
"""What NVRTC lacks of <math.h>, since it has no headers of the host."""
_PACKAGE = "nvidia.cu13"
_LIBRARY = "libnvrtc.so.13"


def compile_cuda(source: str, arch: str, form: str = "cubin") -> bytes:
    """Return the code of CUDA C++ for a compute capability such as `sm_90`, as `cubin` or as `ptx`.

    Raises:
        TargetError: neither NVRTC nor nvcc is installed, or the one that is makes no code for `arch`, or of the source.

    """
    if _home() is not None:
        return _by_nvrtc(source, arch, form)
    if (compiler := shutil.which("nvcc")) is not None:
        return _by_nvcc(compiler, source, arch, form)
    raise TargetError(
        "kernels for cuda are compiled by NVRTC or nvcc, and neither is installed; run: pip install graphopt[cuda]"
    )


@cache
def _home() -> Path | None:
    """Return the folder of NVIDIA's wheels, which has NVRTC and headers of CUDA."""
    try:
        package = find_spec(_PACKAGE)
    except ModuleNotFoundError:
        return None
    homes = map(Path, (package and package.submodule_search_locations) or ())
    return next((home for home in homes if (home / "lib" / _LIBRARY).exists()), None)


def _by_nvrtc(source: str, arch: str, form: str) -> bytes:
    home, program = _home(), ctypes.c_void_p()
    if home is None:
        raise TargetError(f"{_LIBRARY} is missing; run: pip install graphopt[cuda]")
    library = ctypes.CDLL(str(home / "lib" / _LIBRARY))
    text = (_MATH + source).encode()
    if library.nvrtcCreateProgram(ctypes.byref(program), text, b"kernels.cu", 0, None, None):
        raise RuntimeError("NVRTC takes no program")
    try:
        options = [f"--gpu-architecture={arch}", "--device-int128", "-default-device"]
        options += [f"-I{home / folder}" for folder in ("include", "include/cccl")]
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if library.nvrtcCompileProgram(program, len(options), array):
            raise _refusal("NVRTC", arch, _bytes(library, program, "ProgramLog").decode(errors="replace"))
        return _bytes(library, program, form.upper())
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _bytes(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    """Return what NVRTC has of a program: `CUBIN`, `PTX` or `ProgramLog`."""
    size = ctypes.c_size_t()
    if library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)):
        raise RuntimeError(f"NVRTC has no {what}")
    buffer = ctypes.create_string_buffer(size.value)
    if library[f"nvrtcGet{what}"](program, buffer):
        raise RuntimeError(f"NVRTC has no {what}")
    return buffer.raw if what == "CUBIN" else buffer.value


def _by_nvcc(compiler: str, source: str, arch: str, form: str) -> bytes:
    with TemporaryDirectory(prefix="graphopt-") as folder:
        path, made = Path(folder) / "kernels.cu", Path(folder) / "kernels.out"
        path.write_text(source)
        command = [compiler, f"-{form}", f"-arch={arch}", "-O3", "-o", str(made), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
        if done.returncode:
            raise _refusal("nvcc", arch, done.stderr)
        return made.read_bytes()


def _refusal(compiler: str, arch: str, log: str) -> TargetError:
    """Return what to say of kernels that a compiler takes not: one too old for a GPU, or one that lacks its headers."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    reason = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it does not say why")
    return TargetError(f"{compiler} makes no code for {arch} of the model's kernels: {reason}; compile for cpu")
