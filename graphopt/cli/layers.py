"""The layers of a model as a table: what each computes and moves, and after a profile how long it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from graphopt.cli.console import say
from graphopt.cli.render import table
from graphopt.cli.summary import quantity

if TYPE_CHECKING:
    from graphopt.benchmark.profile import Profile
    from graphopt.inspect.layers import Layer

_HEADS = "layer", "operator", "output", ">parameters", ">MACs", ">FLOPs", ">bytes", ">FLOPs/byte"
_TIMED = ">ms", ">GFLOP/s", ">share"


def layer_table(layers: Iterable[Layer]) -> Table:
    """Lay out the layers of a model as it is."""
    return table(_HEADS, map(_row, layers))


def timed_table(found: Profile) -> Table:
    """Lay out the layers of a model as compiled; those of one kernel share its time, which stands at the largest."""
    from graphopt.benchmark.timed import timed_layers

    rows = []
    for one in timed_layers(found):
        time = "" if one.seconds is None else f"{one.seconds * 1e3:.3f}"
        share = "" if one.share is None else f"{one.share:.1%}"
        rows.append((*_row(one.layer), time, _rate(one.rate), share))
    return table((*_HEADS, *_TIMED), rows)


def timed_totals(found: Profile) -> dict[str, object]:
    """Say how long a run takes in all."""
    return {
        "run": f"{found.whole.median:.3f} ms, of which layers {found.in_kernels * 1e3:.3f} ms, one by one",
        "no time": "of layers that are computed in one kernel with the one before or behind them",
    }


def timed_document(found: Profile) -> dict[str, object]:
    """Return the same as plain data; layers with the same kernel were computed, and timed, together."""
    from graphopt.benchmark.timed import timed_layers

    timed = [
        asdict(one.layer)
        | {"kernel": one.kernel, "executor": one.executor}
        | {"ms": None if one.seconds is None else one.seconds * 1e3, "gflops": one.rate, "share": one.share}
        for one in timed_layers(found)
    ]
    return {"run_ms": found.whole.median, "kernels_ms": found.in_kernels * 1e3, "layers": timed}


def warn_of_noise(found: Profile) -> None:
    """Warn of times that other programs disturbed."""
    if found.others is not None and not found.others.is_quiet:
        say(f"warning: {found.others} meanwhile: the times are not to be trusted")


def _row(layer: Layer) -> tuple[str, ...]:
    counts = (layer.parameters or None, layer.macs or None, layer.flops or None, layer.bytes)
    intensity = "" if not layer.intensity else f"{layer.intensity:.3g}"
    output = f"{layer.dtype} {layer.shape}"
    return layer.name, layer.op, output, *("" if one is None else quantity(one) for one in counts), intensity


def _rate(rate: float | None) -> str:
    return "" if not rate else f"{rate:.1f}"
