"""A story into a file of the form that its suffix says."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from graphopt.errors import MeasurementError, OutputError
from graphopt.files import atomic_path
from graphopt.report.dot import dot
from graphopt.report.html import write_report
from graphopt.report.story import Story

_DRAWING = "py_mini_racer", "resvg_py"
"""What draws pictures: an engine for the page's own JavaScript, and a renderer of what that draws."""


def check_form(path: Path) -> None:
    """Refuse early what cannot be written; raises OutputError or MeasurementError."""
    if path.suffix not in FORMS:
        raise OutputError(f"cannot write {str(path)!r}: name a file {', '.join(FORMS)}")
    if path.suffix in {".svg", ".png"} and not all(map(find_spec, _DRAWING)):
        raise MeasurementError(
            f"a picture {path.suffix} is drawn by mini-racer and resvg-py, which are not installed; "
            "run: pip install 'graphopt[view]'"
        )


def write(story: Story, path: Path) -> None:
    """Write a story; see `Document.write`."""
    check_form(path)
    FORMS[path.suffix](story, path)


def _write_dot(story: Story, path: Path) -> None:
    _write(path, dot(story).encode("utf-8", "replace"))


def _write_svg(story: Story, path: Path) -> None:
    from graphopt.report.picture import svg  # noqa: PLC0415  # needs an extra

    _write(path, svg(story.to_dict()).encode("utf-8", "replace"))


def _write_png(story: Story, path: Path) -> None:
    from graphopt.report.picture import png, svg  # noqa: PLC0415  # needs an extra

    _write(path, png(svg(story.to_dict()), None))


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


FORMS: dict[str, Callable[[Story, Path], None]] = {
    ".html": write_report,
    ".dot": _write_dot,
    ".svg": _write_svg,
    ".png": _write_png,
}
"""How to write each form, by its suffix."""
