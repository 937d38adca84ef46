"""Puts TVM's runtime library into the wheel, taken out of the TVM that is installed where the wheel is built."""

from __future__ import annotations

from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLED = "graphopt/backends/tvm/lib"
"""Where `graphopt.backends.tvm.runtime_library` looks first."""
VERSION = "0.27.0.post1"
"""What `graphopt.backends.tvm.abi` says of a library that lies there."""


class TvmRuntime(BuildHookInterface[Any]):
    """Adds the library with its licence; the wheel is for the platforms that TVM's is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's signature
        """Add files and the tag; raises RuntimeError where another TVM is installed, or one without a library."""
        tvm = distribution("apache-tvm")
        package = find_spec("tvm")
        if tvm.version != VERSION or package is None or package.origin is None:
            raise RuntimeError(f"the wheel is built of apache-tvm {VERSION}, and {tvm.version} is installed")
        home = Path(package.origin).parent
        (library,) = (home / "lib").glob("*tvm_runtime.*")
        for path in (library, home / "LICENSE", home / "NOTICE"):
            build_data["force_include"][str(path)] = f"{BUNDLED}/{path.name}"
        tags = (tvm.read_text("WHEEL") or "").splitlines()
        build_data["tag"] = next(line.removeprefix("Tag: ") for line in reversed(tags) if line.startswith("Tag: "))
        build_data["pure_python"] = False
