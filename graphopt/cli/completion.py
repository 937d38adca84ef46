"""What a shell may complete: passes, presets, targets. A shell waits for it, so nothing heavy is imported.

Where a function yields nothing, shells complete names of files.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from graphopt.pipeline.presets import PRESETS

Completions = Iterable[tuple[str, str]]
"""Words, and what they mean."""

_REQUEST = "_GRAPHOPT_COMPLETE"
_LINES = "_TYPER_COMPLETE_ARGS", "COMP_WORDS"
"""Where shells put the command line that is to be completed: zsh, fish and PowerShell the one, bash the other."""
_ENTRY_POINTS = "graphopt.passes"


def words_given() -> list[str]:
    """Return the command line, which stands in the environment where a shell asks how it goes on."""
    if _REQUEST not in os.environ:
        return sys.argv
    line = next(filter(None, map(os.environ.get, _LINES)), "")
    try:
        return shlex.split(line)
    except ValueError:  # a quote is open yet
        return line.split()


def pass_names() -> list[str]:
    """Return the names of all passes: ours are those of files, and importing them takes half a second."""
    found = find_spec("passes")
    folders = found.submodule_search_locations or () if found else ()
    entries = [path for folder in folders for path in Path(folder).iterdir() if path.name[0] not in "._"]
    ours = [path.stem.replace("_", "-") for path in entries if path.is_dir() or path.suffix == ".py"]
    return sorted({*ours, *(one.name for one in entry_points(group=_ENTRY_POINTS))} - {"--init--"})


def one_of(*words: str) -> Callable[[str], Completions]:
    """Return what completes one word of several."""

    def complete(incomplete: str) -> Completions:
        return [(word, "") for word in words if word.startswith(incomplete)]

    return complete


def several_of(*words: str) -> Callable[[str], Completions]:
    """Return what completes the last word of a list with commas."""

    def complete(incomplete: str) -> Completions:
        return _last(incomplete, ((word, "") for word in words))

    return complete


def complete_preset(incomplete: str) -> Completions:
    """Complete the name of a preset."""
    return [(name, "a preset") for name in PRESETS if name.startswith(incomplete)]


def complete_pass(incomplete: str) -> Completions:
    """Complete the name of a pass."""
    return [(name, "") for name in pass_names() if name.startswith(incomplete)]


def complete_pass_or_preset(incomplete: str) -> Completions:
    """Complete the name of a pass or a preset."""
    return [*complete_preset(incomplete), *complete_pass(incomplete)]


def complete_pipeline(incomplete: str) -> Completions:
    """Complete the last pass or preset of a pipeline's text."""
    return _last(incomplete, [*complete_preset(""), *complete_pass("")])


def complete_target(incomplete: str) -> Completions:
    """Complete the kind of a target."""
    from graphopt.targets import KINDS

    return [(name, what) for name, what in KINDS.items() if name.startswith(incomplete)]


def _last(incomplete: str, words: Completions) -> Iterator[tuple[str, str]]:
    before, comma, last = incomplete.rpartition(",")
    if "{" in last and "}" not in last:  # options of a pass
        return
    yield from ((f"{before}{comma}{word}", what) for word, what in words if word.startswith(last))
