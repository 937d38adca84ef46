"""Every pass by its name: ours, and those that other packages offer.

Another package adds passes through the entry-point group `graphopt.passes`: each entry point's name is a
pass's name and its object the pass's class.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from graphopt.errors import PipelineError
from graphopt.pipeline.base import Pass

ENTRY_POINT_GROUP = "graphopt.passes"


@functools.cache
def passes() -> Mapping[str, type[Pass]]:
    """Return the known passes by name.

    Raises:
        PipelineError: an entry point is no pass, carries another name, or takes a name of ours.

    """
    from passes import PASSES  # noqa: PLC0415  # `passes` imports graphopt, which must be importable first

    table = dict(PASSES)
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = entry_point.load()
        except Exception as error:
            raise PipelineError(
                f"pass {entry_point.name!r} cannot be loaded from {entry_point.value}: {error};"
                " mend or uninstall the package that offers it"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Pass) and loaded.name == entry_point.name):
            raise PipelineError(
                f"entry point {entry_point.name!r} of {ENTRY_POINT_GROUP} must be a Pass named {entry_point.name!r},"
                f" but {entry_point.value} is not; mend or uninstall the package that offers it"
            )
        if table.setdefault(entry_point.name, loaded) is not loaded:
            raise PipelineError(
                f"pass {entry_point.name!r} is offered twice, the second time by {entry_point.value}; uninstall one"
            )
    return MappingProxyType(table)
