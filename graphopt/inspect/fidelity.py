"""How far the answers of a changed model lie from those of the model that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphopt.backends.ort.reference import reference_session
from graphopt.tensors import Array, Feeds


@dataclass(frozen=True)
class Fidelity:
    """The answers to some samples, compared.

    Attributes:
        output: the worst by its error, of those of floating-point numbers.
        samples: how many.
        error: ‖ŷ - y‖ / ‖y‖ over all samples.
        agreement: the share of rows [samples, classes] with the same largest element; None for outputs of other ranks,
            which hold no scores of classes.

    """

    output: str
    samples: int
    error: float
    agreement: float | None

    def __str__(self) -> str:
        agreed = "" if self.agreement is None else f"same answer {self.agreement:.2%}, "
        return f"{agreed}relative error {self.error:.3g} of {self.output!r}"


class _Tally:
    def __init__(self) -> None:
        self.noise = self.signal = 0.0
        self.rows = self.agreed = 0
        self.ranked = True

    def add(self, expected: Array, actual: Array) -> None:
        right, made = expected.astype(np.float64), actual.astype(np.float64)
        self.noise += float(np.square(made - right).sum())
        self.signal += float(np.square(right).sum())
        self.ranked &= right.ndim == 2 and right.shape[1] > 1
        if self.ranked:
            self.rows += len(right)
            self.agreed += int((right.argmax(1) == made.argmax(1)).sum())

    @property
    def error(self) -> float:
        return float(np.sqrt(self.noise / self.signal)) if self.signal else float(self.noise > 0)


def compare(
    model: ir.Model,
    changed: ir.Model,
    samples: Iterable[Feeds],
    *,
    threads: int = 0,
    on_samples: Callable[[int], None] | None = None,
) -> Fidelity | None:
    """Run both models in onnxruntime, optimized; None where no output has floating-point numbers.

    Args:
        model, changed: with the same inputs and outputs.
        samples: feeds, samples along the leading axis.
        threads: of onnxruntime; 0 means as many as this process may run on.
        on_samples: told how many are done.

    """
    before = reference_session(model, threads=threads, optimize=True)
    return _compared(((feeds, before.run(feeds)) for feeds in samples), changed, threads, on_samples)


class Judge:
    """Compares several changed models with one, whose answers to a few samples are held."""

    def __init__(self, model: ir.Model, samples: Iterable[Feeds], *, threads: int = 0) -> None:
        session = reference_session(model, threads=threads, optimize=True)
        self._answers = [(feeds, session.run(feeds)) for feeds in samples]
        self._threads = threads

    @property
    def samples(self) -> int:
        """How many samples it has."""
        return sum(_count(feeds) for feeds, _ in self._answers)

    def error(self, changed: ir.Model) -> float:
        """Return the relative error of a model's answers (`Fidelity.error`); 0 where none are numbers to compare."""
        found = _compared(self._answers, changed, self._threads)
        return 0.0 if found is None else found.error


def _count(feeds: Feeds) -> int:
    return max((len(array) for array in feeds.values() if array.ndim), default=1)


def _compared(
    answers: Iterable[tuple[Feeds, Feeds]],
    changed: ir.Model,
    threads: int,
    on_samples: Callable[[int], None] | None = None,
) -> Fidelity | None:
    after = reference_session(changed, threads=threads, optimize=True)
    tallies: dict[str, _Tally] = {}
    done = 0
    for feeds, expected in answers:
        actual = after.run(feeds)
        for name, array in expected.items():
            if array.dtype.kind == "f":
                tallies.setdefault(name, _Tally()).add(array, actual[name])
        done += _count(feeds)
        if on_samples:
            on_samples(done)
    if not tallies:
        return None
    name, worst = max(tallies.items(), key=lambda item: item[1].error)
    return Fidelity(name, done, worst.error, worst.agreed / worst.rows if worst.ranked and worst.rows else None)
