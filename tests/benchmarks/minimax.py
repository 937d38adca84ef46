"""The polynomials of erf: python -m tests.benchmarks.minimax prints their coefficients, in about a minute.

Remez's exchange on a grid, in 50 digits, for the error of erf relative to erf; the constant is rounded to float32, the
rest fitted anew, and so on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import mpmath as mp
import numpy as np

Function = Callable[[mp.mpf], mp.mpf]
_GRID = 2000
_ROUNDS = 40


def main() -> None:
    """Write the coefficients of both polynomials."""
    mp.mp.dps = 50
    near = rounded(
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)), mp.mpf("1e-9"), 1, 6
    )
    far = rounded(lambda t: mp.log(mp.erfc(t)) / t, lambda t: t * mp.erfc(t) / mp.erf(t), 1, mp.mpf("3.95"), 5)
    sys.stdout.write(f"NEAR = {near}\nFAR = {far}\n")


def rounded(f: Function, weight: Function, low: mp.mpf, high: mp.mpf, degree: int) -> list[float]:
    """Return float32 coefficients of a polynomial whose largest weighted distance from f is about the smallest."""
    done: list[float] = []
    for power in range(degree + 1):
        rest = _without(f, done)
        done.append(float(np.float32(float(remez(rest, weight, low, high, range(power, degree + 1))[0]))))
    return done


def _without(f: Function, coefficients: list[float]) -> Function:
    known = tuple(coefficients)
    return lambda x: f(x) - sum(c * x**i for i, c in enumerate(known))


def remez(f: Function, weight: Function, low: mp.mpf, high: mp.mpf, powers: range) -> list[mp.mpf]:
    """Return the coefficients of Σ cₖ·xᵏ for which max |weight·(Σ − f)| is smallest."""
    count = len(powers) + 1
    points = [low + (high - low) * (1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / _GRID)) / 2 for i in range(_GRID)]
    values, weights = [f(x) for x in points], [weight(x) for x in points]
    chosen = [round((i + 0.5) / count * _GRID - 0.5) for i in range(count)]
    for _ in range(_ROUNDS):
        rows = [[points[j] ** p for p in powers] + [(-1) ** i / weights[j]] for i, j in enumerate(chosen)]
        *coefficients, level = mp.lu_solve(mp.matrix(rows), mp.matrix([values[j] for j in chosen]))
        terms = [sum(c * x**p for c, p in zip(coefficients, powers, strict=True)) for x in points]
        errors = [w * (term - value) for w, term, value in zip(weights, terms, values, strict=True)]
        if max(map(abs, errors)) < abs(level) * (1 + mp.mpf("1e-6")):
            break
        chosen = alternation(errors, count)
    return coefficients


def alternation(errors: list[mp.mpf], count: int) -> list[int]:
    """Return where the largest errors of alternating sign are."""
    runs: list[int] = []
    for place, error in enumerate(errors):
        if not runs or (errors[runs[-1]] > 0) != (error > 0):
            runs.append(place)
        elif abs(error) > abs(errors[runs[-1]]):
            runs[-1] = place
    while len(runs) > count:
        runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
    return runs


if __name__ == "__main__":
    main()
