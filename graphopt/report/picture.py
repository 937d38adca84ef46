"""Pictures of a story's stages without a browser: the page's own modules in V8, and resvg for pixels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graphopt.errors import MeasurementError
from graphopt.report import assets

if TYPE_CHECKING:
    from py_mini_racer import MiniRacer

MOST_PIXELS = 64_000_000
"""More are neither drawn nor looked at: a picture without a width is made smaller instead."""

_LAYOUTER = """
var elk = {{exports: {{}}}};
((module, exports, global, setTimeout) => {{
{text}
}})(elk, elk.exports, globalThis, (work) => {{ work(); return 0; }});
"""
_LAY_OUT = """
var layout = (graph) => {
  let answer;
  const worker = new elk.exports.Worker();
  worker.onmessage = ({ data }) => { answer = data; };
  worker.postMessage({ cmd: "register", algorithms: ["layered"], id: 0 });
  worker.postMessage({ cmd: "layout", graph, layoutOptions: {}, options: {}, id: 1 });
  if (answer.error) throw new Error(answer.error.message ?? String(answer.error));
  return answer.data;
};
"""


def svg(story: dict[str, Any], stage: int = -1, *, whole: bool = False) -> str:
    """Draw a stage of a story as the text of an SVG file; raises MeasurementError where V8 is missing.

    Args:
        story: what the page shows too.
        stage: which of its stages; a negative one counts from the end.
        whole: leave no box closed, however large the graph is.
    """
    count = len(story["stages"])
    index = range(count)[stage]
    title = f"{story['title']}: {story['stages'][index]['name']}"
    with v8() as context:
        arguments = ", ".join(json.dumps(argument) for argument in (story, index, whole, title))
        return str(context.eval(f"picture({arguments}, layout)"))


def png(svg: str, width: int | None = None) -> bytes:
    """Return the picture as PNG, `width` pixels across or as large as drawn; raises MeasurementError without resvg."""
    try:
        import resvg_py  # noqa: PLC0415
    except ImportError as error:
        raise MeasurementError("pixels are drawn by resvg, which is missing; pip install 'graphopt[view]'") from error
    if width is None:
        across, down = _size(svg)
        width = max(1, int(across * min(1.0, (MOST_PIXELS / (across * down)) ** 0.5)))
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=width))


@contextmanager
def v8() -> Iterator[MiniRacer]:
    """Give a V8 that knows the modules of drawings and `layout`; raises MeasurementError where there is none."""
    try:
        from py_mini_racer import MiniRacer  # noqa: PLC0415
    except ImportError as error:
        raise MeasurementError("a graph is drawn by V8, which is missing; pip install 'graphopt[view]'") from error
    with MiniRacer() as context:
        context.eval(_LAYOUTER.format(text=gzip.decompress(assets.ELK.read_bytes()).decode("utf-8")))
        context.eval(assets.script("drawing") + _LAY_OUT)
        yield context


def _size(svg: str) -> tuple[float, float]:
    """Return the width and the height that the text names first."""
    head = svg[: svg.index(">")].split('"')
    named = {name.split()[-1].rstrip("="): text for name, text in zip(head[::2], head[1::2], strict=False)}
    return float(named["width"]), float(named["height"])
