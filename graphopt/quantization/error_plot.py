"""A picture of an error table: the signal to noise of each layer, and what it costs the answers."""

from __future__ import annotations

import math
from pathlib import Path

from graphopt import pictures
from graphopt.quantization.error_table import ErrorTable


def draw(table: ErrorTable, path: Path) -> None:
    """Draw a line a layer into a file of one of `pictures.FORMATS`; raises OutputError.

    On the left is the signal to noise of what it makes, with nothing where that is exact; on the right the error of
    the answers where it alone is quantized, where that was measured.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra, and half a second to import

    layers = table.layers
    costs = [(row, 100 * one.contribution) for row, one in enumerate(layers) if one.contribution is not None]
    figure = Figure(figsize=(10 if costs else 6, 1.2 + 0.18 * len(layers)), layout="constrained")
    left, *right = figure.subplots(1, 2 if costs else 1, squeeze=False, sharey=True)[0]
    left.barh(range(len(layers)), [one.sqnr if math.isfinite(one.sqnr) else 0.0 for one in layers])
    left.set_yticks(range(len(layers)), [f"{one.layer} ({one.operator})" for one in layers], fontsize="x-small")
    left.invert_yaxis()
    left.set_xlabel("signal to quantization noise, dB")
    for axes in right:
        axes.barh([row for row, _ in costs], [cost for _, cost in costs], color="tab:orange")
        axes.set_xlabel("error of the answers with this layer alone quantized, %")
    for axes in (left, *right):
        axes.margins(y=0.01)
        axes.spines[["top", "right"]].set_visible(False)
    pictures.save(figure, path)
