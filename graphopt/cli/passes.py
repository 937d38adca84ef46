"""`graphopt passes`: what there is to put into a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphopt.cli.completion import complete_pass_or_preset
from graphopt.cli.console import show, show_json
from graphopt.cli.options import Json
from graphopt.cli.render import fields, table
from graphopt.errors import PipelineError
from graphopt.nearest import did_you_mean
from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS

if TYPE_CHECKING:
    from graphopt.pipeline.base import Pass

PassName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="A pass or a preset; all by default.",
        show_default=False,
        autocompletion=complete_pass_or_preset,
    ),
]


def show_passes(name: PassName = None, *, json: Json = False) -> None:
    """List the passes and presets, or describe one in full.

    Examples:
      graphopt passes
      graphopt passes fold-constants
      graphopt passes O2
      graphopt passes --json

    """
    from graphopt.catalog import passes

    known = passes()
    if name is None:
        _show_all([_describe(one) for one in known.values()], json=json)
    elif name in known:
        _show_pass(_describe(known[name]), json=json)
    elif name in PRESETS:
        show_json({"name": name, "pipeline": PRESETS[name]}) if json else show(PRESETS[name])
    else:
        hint = did_you_mean(name, [*known, *PRESETS])
        raise PipelineError(f"unknown pass {name!r}{hint}; `graphopt passes` lists them")


def _describe(pass_type: type[Pass]) -> dict[str, Any]:
    import inspect

    from graphopt.pipeline.options import options_of

    return {
        "name": pass_type.name,
        "summary": pass_type.summary(),
        "documentation": inspect.getdoc(pass_type) or "",
        "requires": pass_type.requires,
        "options": [option._asdict() for option in options_of(pass_type)],
    }


def _show_all(described: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        show_json({"passes": described, "presets": PRESETS, "default_preset": DEFAULT_PRESET})
        return
    presets = ((f"{name} (default)" if name == DEFAULT_PRESET else name, text) for name, text in PRESETS.items())
    show(
        table(("pass", "what it does"), ((one["name"], one["summary"]) for one in described)),
        "",
        table(("preset", "pipeline"), presets),
    )


def _show_pass(described: dict[str, Any], *, json: bool) -> None:
    if json:
        show_json(described)
        return
    show(fields({"pass": described["name"]}), "", described["documentation"])
    if described["requires"]:
        show("", fields({"after": ", ".join(described["requires"])}))
    if described["options"]:
        rows = ((one["name"], one["type"], _default(one["default"])) for one in described["options"])
        show("", table(("option", "type", "default"), rows))


def _default(text: str | None) -> str:
    return "(required)" if text is None else text or "(empty)"
