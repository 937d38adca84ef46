"""A picture of a training: losses, agreement and rate over its epochs."""

from __future__ import annotations

from pathlib import Path

from graphopt import pictures
from graphopt.distillation.history import History


def draw(history: History, path: Path) -> None:
    """Draw the curves into a file of one of `pictures.FORMATS`; raises OutputError."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra, and half a second to import

    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    curves = (
        (above, "loss of a step", [(one.number, one.loss) for one in history.epochs]),
        (above, "loss of what is held out", [(one.number, one.held_out_loss) for one in history.epochs]),
        (
            below,
            "same answer, %",
            [(one.number, None if one.agreement is None else 100 * one.agreement) for one in history.epochs],
        ),
    )
    for axes, title, points in curves:
        known = [(number, value) for number, value in points if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), label=title)
    for axes in (above, below):
        axes.axvline(
            history.best, color="grey", linestyle=":", linewidth=1, label=f"epoch {history.best}, which is kept"
        )
    rates = below.twinx()
    rates.plot(
        [one.number for one in history.epochs[1:]],
        [one.rate for one in history.epochs[1:]],
        color="tab:green",
        alpha=0.5,
    )
    rates.set_ylabel("learning rate", color="tab:green")
    above.set_yscale("log")
    below.set_xlabel("epoch")
    for axes in (above, below):
        axes.legend(fontsize="small", frameon=False)
        axes.spines[["top"]].set_visible(False)
    pictures.save(figure, path)
