"""From operators to kernels: Relax's own lowerings of the operators that we emit or that the importer emits."""

from __future__ import annotations

from collections.abc import Iterator

import tvm
from tvm import relax

_KERNEL_CALLS = frozenset({"relax.call_tir", "relax.call_dps_packed"})


def legalize(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module in which operators are calls of kernels, as far as TVM has them; needs a current target."""
    return relax.transform.LegalizeOps()(relax.backend.DispatchSortScan()(module))


def without_kernel(module: tvm.IRModule) -> str | None:
    """Return why a legalized module cannot run, or None."""
    for call in _calls(module["main"]):
        name = call.op.name if isinstance(call.op, tvm.ir.Op) else str(call.op)
        if name not in _KERNEL_CALLS:
            return f"TVM has no kernel for {name}"
        if name == "relax.call_dps_packed":
            function = call.args[0].global_symbol
            if tvm.get_global_func(function, allow_missing=True) is None:
                return f"the TVM runtime has no {function}"
    return None


def _calls(function: relax.Function) -> Iterator[relax.Call]:
    found: list[relax.Call] = []
    relax.analysis.post_order_visit(
        function.body, lambda expr: found.append(expr) if isinstance(expr, relax.Call) else None
    )
    return iter(found)
