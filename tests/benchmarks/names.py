"""Which rows of a table to measure."""

from __future__ import annotations

from collections.abc import Collection

from tests.shared_models import SHARED_MODELS, SharedModel


def chosen(names: Collection[str], known: Collection[str]) -> list[str]:
    """Return the known ones that are named, or all where none is; exits with a sentence where one is unknown."""
    if not known:
        raise SystemExit("no row of this table can be measured; let GRAPHOPT_SHARED name a folder that has the models")
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no row of this table is called {unknown[0]!r}; there are {', '.join(known)}")
    return [name for name in known if not names or name in names]


def calibrated() -> dict[str, SharedModel]:
    """Return the networks of the shared folder that have data for calibration, by name."""
    return {model.name: model for model in SHARED_MODELS if model.calibration is not None and model.path.exists()}


def opened(name: str) -> SharedModel:
    """Return such a network; exits with a sentence where it is not there."""
    known = calibrated()
    return known[chosen([name], known)[0]]
