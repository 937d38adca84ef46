"""What a schedule decided, as sentences."""

from __future__ import annotations

from collections.abc import Iterator

from graphopt.backends.tvm.kernels import Kernel
from graphopt.backends.tvm.stages import StagedKernel

_CONVOLUTIONS = (Kernel.CONV, Kernel.CONV_TRANSPOSE, Kernel.POINTWISE_CONV)
_CHANNELWISE = (Kernel.DEPTHWISE_CONV, Kernel.POOL)
_TILE = "sums of {} columns × blocks of channels stay in registers"
_SENTENCES: dict[tuple[str, str], str] = {
    **{(kind, "tile"): _TILE for kind in (*_CONVOLUTIONS, Kernel.WINOGRAD)},
    **{(kind, "rows"): "a task makes all channels of {} rows" for kind in _CONVOLUTIONS},
    **{(kind, "rows"): "a task makes {} rows of a block of channels" for kind in _CHANNELWISE},
    **{(kind, "columns"): "{} columns at a time stay in registers" for kind in _CHANNELWISE},
    (Kernel.DENSE, "rows"): "sums of {} rows stay in registers",
    (Kernel.DENSE, "panels"): "each for {} vectors of columns beside each other",
    (Kernel.WINOGRAD, "task"): "a task takes {} tiles of the picture through all steps",
}
"""What the option of a knob means, by the kernel that has it."""
_WHOLE = {
    "rows": "a task makes all rows of a tile of channels",
    "task": "each step goes through all tiles before the next begins",
}
"""What None means."""
_SHOWN = 4


def in_words(kernel: StagedKernel) -> tuple[str, ...]:
    """Say how the loops of a kernel are arranged, and what was chosen for it."""
    template = f"the schedule of {kernel.kind}" if kernel.kind else "the generic schedule"
    return (template, *(_choice(kernel.kind, *taken) for taken in kernel.choices.items()), *_loops(kernel))


def _choice(kind: str, knob: str, option: str) -> str:
    sentence = _WHOLE.get(knob) if option == "None" else _SENTENCES.get((kind, knob))
    return f"{sentence.format(option)} ({knob} {option})" if sentence else f"{knob} {option}"


def _loops(kernel: StagedKernel) -> Iterator[str]:
    words = {
        "parallel": "dealt out to threads: loops of {} tasks",
        "vectorized": "vectors of {} elements",
        "unrolled": "unrolled: loops of {} turns",
        "bound": "dealt out to blocks and threads of a GPU: loops of {} turns",
    }
    for kind, sentence in words.items():
        extents = kernel.loops.get(kind, ())
        if extents:
            more = ", …" if len(extents) > _SHOWN else ""
            yield sentence.format(", ".join(map(str, extents[:_SHOWN])) + more)
    if not {"parallel", "bound"} & kernel.loops.keys():
        yield "on one thread: starting others would take longer than the work"
