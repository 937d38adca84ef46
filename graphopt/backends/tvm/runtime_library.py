"""TVM's runtime: a library of 3 MB and the package that speaks to it; TVM itself, a hundred times as large, compiles.

`import tvm` would read both, and with them all that a compiler knows. What runs a program needs of it only
`libtvm_runtime`: the virtual machine, its memory and its threads.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from graphopt.backends.tvm.abi import check_abi
from graphopt.errors import TargetError

BUNDLED = Path(__file__).parent / "lib"
"""Where the distribution that only runs programs has the library; elsewhere it is TVM's own."""


@cache
def load_runtime() -> Any:
    """Load the library; return the package `tvm_ffi`, which makes tensors and calls functions of it.

    Raises:
        TargetError: it is missing, or its foreign-function layer is of a version that crashes.

    """
    check_abi()
    import tvm_ffi  # noqa: PLC0415  # after the check
    from tvm_ffi.libinfo import load_lib_ctypes  # noqa: PLC0415  # likewise

    try:
        load_lib_ctypes("graphopt", "tvm_runtime", "RTLD_GLOBAL", [BUNDLED, *library_folders()])
    except (OSError, RuntimeError) as error:
        raise TargetError(
            "the library libtvm_runtime is missing or cannot be loaded; run: pip install apache-tvm==0.27.0.post1"
        ) from error
    return tvm_ffi


def library_folders() -> list[Path]:
    """Return where TVM's own libraries are; it is found, and not imported."""
    package = find_spec("tvm")
    return [Path(home) / "lib" for home in (package and package.submodule_search_locations) or ()]
