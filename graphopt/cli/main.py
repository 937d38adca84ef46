"""The command `graphopt`.

Help and completion must answer at once: what is heavy (onnx, onnx_ir, onnxruntime, tvm, networkx, numpy) is
imported inside the commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from graphopt import __version__
from graphopt.cli.bench import bench_model
from graphopt.cli.bisect import bisect_model
from graphopt.cli.boundary import ErrorBoundary
from graphopt.cli.cache import manage_cache
from graphopt.cli.check import check_models
from graphopt.cli.compile import compile_model
from graphopt.cli.console import show
from graphopt.cli.inspect import inspect_model
from graphopt.cli.optimize import optimize_model
from graphopt.cli.passes import show_passes
from graphopt.cli.run import run_program
from graphopt.cli.why import why_node, why_not_node
from graphopt.ir.collector import patient_collector

_COMMANDS: dict[str, Callable[..., None]] = {
    "compile": compile_model,
    "optimize": optimize_model,
    "run": run_program,
    "inspect": inspect_model,
    "check": check_models,
    "bisect": bisect_model,
    "why": why_node,
    "why-not": why_not_node,
    "passes": show_passes,
    "bench": bench_model,
    "cache": manage_cache,
}


def main() -> None:
    """Run the command line that the process was given."""
    with patient_collector():  # importing sympy alone makes enough objects for it to walk them all, twice
        build_app()()


def build_app() -> typer.Typer:
    """Put the commands together."""
    app = typer.Typer(
        name="graphopt",
        cls=ErrorBoundary,
        callback=_global_options,
        no_args_is_help=True,
        suggest_commands=False,  # click does so itself
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, command in _COMMANDS.items():
        app.command(name)(command)
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
