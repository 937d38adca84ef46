"""The report page's own parts: its markup, its style, its modules as one script, and the layouter it carries.

The modules under `page/` are ES modules that name each other by `import`. A page of one file cannot import, so they are
put one after another, each after those it imports, and the words `import` and `export` fall away. What no module
imports is not shipped. This works as long as no two modules give one name to two things at their top level, which a
browser would refuse to read, and as long as imports are spelled `import { … } from "./module.js";`.
"""

from __future__ import annotations

import base64
import html
import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parent / "page"
ELK = PAGE / "vendor" / "elk-worker.min.js.gz"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class|let)\b)", re.MULTILINE)


@cache
def script(root: str) -> str:
    """Return the module `root` and all that it imports as one script, without imports."""
    texts: dict[str, str] = {}
    _gather(root, texts)
    return "".join(texts.values())


def style() -> str:
    """Return the page's style sheet."""
    return (PAGE / "style.css").read_text(encoding="utf-8")


def document(title: str, story: bytes) -> str:
    """Return the page as one file that needs no other.

    Args:
        title: what the page is about; any text.
        story: the story as JSON, compressed by gzip.
    """
    parts = {
        "title": html.escape(title),
        "style": f"<style>\n{style()}</style>",
        "story": f'<script type="application/gzip+json" id="story">{_base64(story)}</script>',
        "script": f'<script type="application/gzip+javascript" id="elk">{_base64(ELK.read_bytes())}</script>\n'
        f'<script type="module">\n{script("main")}</script>',
    }
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    return re.sub(r"<!--graphopt:(\w+)-->", lambda found: parts[found[1]], page)


def _gather(name: str, texts: dict[str, str]) -> None:
    text = (PAGE / f"{name}.js").read_text(encoding="utf-8")
    texts[name] = ""  # marks it, so that modules that import each other end
    for imported in _IMPORT.findall(text):
        if imported not in texts:
            _gather(imported, texts)
    del texts[name]
    texts[name] = _EXPORT.sub("", _IMPORT.sub("", text))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
