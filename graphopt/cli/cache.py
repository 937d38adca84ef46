"""`graphopt cache`: the compiled programs that are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from graphopt.cli.console import show, show_json
from graphopt.cli.options import Json
from graphopt.cli.render import fields
from graphopt.cli.summary import quantity

Clear = Annotated[bool, typer.Option("--clear", help="Remove all of them.")]


def manage_cache(*, clear: Clear = False, json: Json = False) -> None:
    """Say where compiled programs are kept and how big they are, or remove them.

    Examples:
      graphopt cache
      graphopt cache --clear
      GRAPHOPT_CACHE=/var/tmp/graphopt graphopt cache --json

    """
    from graphopt.runtime import cache

    removed = cache.clear() if clear else None
    folder, size = str(cache.cache_folder()), cache.size()
    if json:
        show_json({"folder": folder, "bytes": size} | ({"removed": removed} if clear else {}))
        return
    rows = {"folder": folder, "size": quantity(size, "B")}
    show(fields(rows | ({"removed": f"{removed} programs"} if clear else {})))
