"""Which epoch is the best, and the picture of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphopt.distillation.history import Epoch, History
from graphopt.distillation.plot import draw


def epoch(number: int, agreement: float | None, loss: float | None) -> Epoch:
    return Epoch(number, 0.1, 1.0 if number else None, loss, agreement)


@pytest.mark.parametrize(
    ("later", "is_better"),
    [
        ((0.95, 9.0), True),  # more than one standard error of 0.9 above
        ((0.85, 0.1), False),  # more than one below
        ((0.92, 1.1), False),  # by chance
        ((0.88, 0.9), True),
        ((0.90, 1.0), True),  # of equals the later one
        ((None, 0.9), True),
        ((None, 1.1), False),
        ((None, None), True),  # nothing is held out
    ],
)
def test_agreement_counts_beyond_chance_and_the_loss_within(later: tuple[float | None, float | None], is_better: bool):
    best = epoch(1, None if later[0] is None else 0.9, 1.0)
    assert epoch(2, *later).beats(best, 100) is is_better


@pytest.mark.parametrize("agreement", [0.5, None])
@pytest.mark.parametrize("held_out_loss", [0.5, None])
def test_whatever_is_known_is_drawn(tmp_path: Path, agreement: float | None, held_out_loss: float | None):
    epochs = tuple(epoch(number, agreement, held_out_loss) for number in range(3))
    draw(History("distill", 9, 1, 5, 2, epochs, 1, 0.1), tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text(encoding="utf-8")
