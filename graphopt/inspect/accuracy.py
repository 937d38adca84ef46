"""How often a classifier is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.errors import CalibrationError
from graphopt.tensors import Feeds


def accuracy(
    model: ir.Model,
    samples: Iterable[Feeds],
    labels: npt.NDArray[np.int64],
    *,
    threads: int = 0,
    on_samples: Callable[[int], None] | None = None,
) -> float:
    """Return the share of samples whose largest score is that of their label.

    Args:
        model: its first output holds scores, [samples, classes].
        samples: feeds, samples along the leading axis.
        labels: of the samples, in their order.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_samples: told how many are done.

    Raises:
        CalibrationError: the output holds no scores of such classes.

    """
    session = reference_session(model, threads=threads, optimize=True)
    done = right = 0
    for feeds in samples:
        name, scores = next(iter(session.run(feeds).items()))
        if scores.ndim != 2 or scores.shape[1] <= int(labels.max(initial=0)):
            raise CalibrationError(
                f"output {name!r} of shape {list(scores.shape)} has no scores of {int(labels.max(initial=0)) + 1} "
                "classes; leave the labels out"
            )
        expected = labels[done : done + len(scores)]  # what a fixed batch is filled up with has none
        right += int((scores[: len(expected)].argmax(1) == expected).sum())
        done += len(expected)
        if on_samples:
            on_samples(done)
    return right / max(done, 1)
