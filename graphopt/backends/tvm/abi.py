"""What compiled code and the runtime rely on: one version of TVM and of its foreign-function layer, aligned tensors."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from graphopt.errors import TargetError

TVM_VERSION = "0.27.0.post1"
"""The version whose runtime library comes along where TVM itself is not installed."""
WORKING_FFI = frozenset({"0.1.14.post0", "0.1.14.post1"})
ALIGNMENT = 64
"""Bytes; TVM's kernels read vectors from tensors aligned to this."""
PREPARE = "prepare"
"""The function of a program with an arena that touches its memory, without arguments and without results."""


def check_abi() -> None:
    """Refuse a `apache-tvm-ffi` with which apache-tvm 0.27 crashes.

    0.27 declares `>=0.1.14.post0`, but with 0.1.15 every structural comparison ends in a segmentation
    fault, which no caller could catch. Call this before the first `import tvm` or `import tvm_ffi`.

    Raises:
        TargetError: TVM's foreign-function layer is not installed, or of another version.

    """
    try:
        found = version("apache-tvm-ffi")
    except PackageNotFoundError as error:
        raise TargetError(
            f"the TVM backend needs the package {error.name}; run: pip install apache-tvm-ffi==0.1.14.post1"
        ) from error
    if found not in WORKING_FFI:
        raise TargetError(
            f"apache-tvm 0.27 crashes with the installed apache-tvm-ffi {found}; "
            "run: pip install apache-tvm-ffi==0.1.14.post1"
        )


def tvm_version() -> str:
    """Return the version of TVM that is installed, or that of its runtime library where only this is."""
    try:
        return version("apache-tvm")
    except PackageNotFoundError:
        return TVM_VERSION
