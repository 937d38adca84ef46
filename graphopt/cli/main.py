"""The command `graphopt`.

Help and completion must answer at once: what is heavy (onnx, onnx_ir, onnxruntime, tvm, networkx, numpy) is
imported inside the commands, and a command is imported when it is named.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from graphopt import __version__
from graphopt.cli.boundary import Command, ErrorBoundary
from graphopt.cli.completion import words_given
from graphopt.cli.console import show
from graphopt.ir.collector import patient_collector

_COMMANDS = {
    "compile": "compile_model",
    "optimize": "optimize_model",
    "quantize": "quantize_model",
    "sparsify": "sparsify_model",
    "share": "share_model",
    "prune": "prune_model",
    "factorize": "factorize_model",
    "shorten": "shorten_model",
    "distill": "distill_model",
    "run": "run_program",
    "serve": "serve_programs",
    "inspect": "inspect_model",
    "view": "view_model",
    "diff": "diff_models",
    "doctor": "doctor_model",
    "check": "check_models",
    "extract": "extract_model",
    "rename": "rename_model",
    "reshape": "reshape_model",
    "bisect": "bisect_model",
    "why": "why_node",
    "why-not": "why_not_node",
    "passes": "show_passes",
    "bench": "bench_model",
    "profile": "profile_model",
    "tune": "tune_model",
    "cache": "manage_cache",
}
"""By name, the function of a command: in the module of that name, or in `why` for `why-not`."""


def main() -> None:
    """Run the command line that the process was given."""
    first = next((word for word in words_given()[1:] if not word.startswith("-")), None)
    with patient_collector():  # importing sympy alone makes enough objects for it to walk them all, twice
        try:
            build_app([first] if first in _COMMANDS else _COMMANDS)(prog_name="graphopt")
        finally:
            gc.freeze()  # it would walk them when its patience ends, and the interpreter when it frees them one by one


def build_app(names: Iterable[str] = _COMMANDS) -> typer.Typer:
    """Put commands together, all or those that will be asked for."""
    app = typer.Typer(
        name="graphopt",
        cls=ErrorBoundary,
        callback=_global_options,
        suggest_commands=False,  # click does so itself
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in names:
        module = import_module(f"graphopt.cli.{name.partition('-')[0]}")
        app.command(name, cls=Command)(getattr(module, _COMMANDS[name]))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        show(f"graphopt {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    traceback: Annotated[  # read by the error boundary
        bool, typer.Option("--traceback", help="Show where an error came from.")
    ] = False,
) -> None:
    """Compile ONNX models: small and fast on this machine, with the same answers.

    Examples:
      graphopt optimize model.onnx -o small.onnx
      graphopt compile model.onnx -o program && graphopt run program

    """
