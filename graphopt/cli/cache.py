"""`graphopt cache`: the compiled programs that are kept, and what tuning found."""

from __future__ import annotations

from typing import Annotated

import typer

from graphopt.cli.console import mention, show, show_json
from graphopt.cli.options import Json
from graphopt.cli.render import fields
from graphopt.cli.summary import quantity

Clear = Annotated[bool, typer.Option("--clear", help="Remove all programs.")]
ClearTuned = Annotated[bool, typer.Option("--clear-tuned", help="Remove what `graphopt tune` found.")]


def manage_cache(*, clear: Clear = False, clear_tuned: ClearTuned = False, json: Json = False) -> None:
    """Say where compiled programs and tuned kernels are kept and how big they are, or remove them.

    Examples:
      graphopt cache
      graphopt cache --clear
      graphopt cache --clear-tuned
      GRAPHOPT_CACHE=/var/tmp/graphopt graphopt cache --json

    """
    from graphopt.compiler import tuned
    from graphopt.runtime import cache

    programs = cache.clear() if clear else None
    kernels = tuned.clear() if clear_tuned else None
    folder, size, kept = str(cache.cache_folder()), cache.size(), tuned.read()
    counts = {machine: len(records) for machine, records in kept.machines.items()}
    if json:
        removed = {"removed": programs, "removed_tuned": kernels}
        found = {"folder": folder, "bytes": size, "tuned": counts, "damage": kept.damage or None}
        show_json(found | {name: count for name, count in removed.items() if count is not None})
        return
    rows: dict[str, object] = {"folder": folder, "size": quantity(size, "B")}
    rows["tuned"] = kept.damage or [f"{count} kernels on {machine}" for machine, count in counts.items()] or "no kernel"
    if clear:
        rows["removed"] = f"{programs} programs"
    if clear_tuned:
        rows["forgotten"] = f"{kernels} tuned kernels"
    (mention if clear or clear_tuned else show)(fields(rows))
