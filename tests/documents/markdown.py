"""Documents as the tests see them: blocks to run and what comes out of them, commands, links and anchors.

What a reader does not see steers how a block is run, in comments that stand right before it:

    <!-- run: skip REASON -->     it is not run; the commands in it still have to exist
    <!-- run: needs node make --> it is run where these programs are
    <!-- run: fails -->           its last command ends with an error
    <!-- run: file NAME -->       it is not run, but written to a file of this name
    <!-- run: prepare
    SHELL COMMANDS                they are run, and need no block
    -->

A block of the language `text` right after one that is run shows what it prints; in a `console` block this stands below
each command. `…` is any text there, and a line of nothing else any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = "graphopt", "models", "passes", "tests"

RUN = frozenset({"sh", "console", "python"})
SHOWN = "text"
OTHERS = frozenset({"onnx", "mermaid", "js", "toml", "markdown"})
"""Languages of blocks that are data or pictures."""

_DIRECTIVE = re.compile(r"<!--\s*run:\s*(?P<verb>\S+)\s*(?P<rest>.*?)\s*-->", re.DOTALL)
_NEEDS_TEXT = {"skip": True, "needs": True, "fails": False, "file": True, "prepare": True}


class DocumentError(Exception):
    """A document says something that its tests cannot follow."""


@dataclass
class Block:
    """Something to run, and what is known of it."""

    language: str
    text: str
    line: int
    shown: str | None = None
    directives: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A Markdown file of the checkout."""

    path: Path

    def __str__(self) -> str:
        return self.path.relative_to(CHECKOUT).as_posix() if self.path.is_relative_to(CHECKOUT) else self.path.name

    @cached_property
    def tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def blocks(self) -> list[Block]:
        """Return what is to be run, in order."""
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        waiting: dict[str, str] = {}
        before: Block | None = None  # the block that a `text` block right here belongs to
        for token in self.tokens:
            line = token.map[0] + 1 if token.map else 0
            if token.type == "html_block":
                for verb, rest in self._directives(token.content, line):
                    if verb == "prepare":
                        yield Block("sh", rest, line)
                    else:
                        waiting[verb] = rest
                before = None
                continue
            if waiting and token.type != "fence":
                raise DocumentError(f"{self}:{line}: no block follows the comment that says how to run it")
            if token.type == "code_block":
                raise DocumentError(f"{self}:{line}: a block without a language; fence it, and say which")
            block = (
                Block(token.info.strip(), token.content, line, directives=waiting) if token.type == "fence" else None
            )
            if block and block.language == SHOWN and before:
                before.shown = block.text
            elif block and self._is_run(block):
                yield block
            before = block if block and block.language in RUN else None
            waiting = {}

    def _is_run(self, block: Block) -> bool:
        if block.language in RUN or "file" in block.directives:
            return True
        if block.language == SHOWN and "skip" not in block.directives:
            raise DocumentError(f"{self}:{block.line}: a text block shows what the block right before it prints")
        if block.language not in OTHERS | {SHOWN}:
            raise DocumentError(f"{self}:{block.line}: documents have no blocks of language {block.language!r}")
        return False

    def _directives(self, html: str, line: int) -> Iterator[tuple[str, str]]:
        for found in _DIRECTIVE.finditer(html):
            verb, rest = found["verb"], found["rest"]
            if verb not in _NEEDS_TEXT or _NEEDS_TEXT[verb] != bool(rest):
                raise DocumentError(f"{self}:{line}: cannot follow {found.group()!r}")
            yield verb, rest

    @cached_property
    def spans(self) -> list[tuple[int, str]]:
        """Return what stands in the text as code, with its line or one near it."""
        return [(line, token.content) for line, token in self._inline() if token.type == "code_inline"]

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """Return where links and pictures lead."""
        found = ((line, token.attrGet("href") or token.attrGet("src")) for line, token in self._inline())
        return [(line, str(target)) for line, target in found if target]

    @cached_property
    def anchors(self) -> set[str]:
        """Return the anchors of headings, as GitHub makes them."""
        anchors: set[str] = set()
        for token, following in zip(self.tokens, self.tokens[1:], strict=False):
            if token.type == "heading_open":
                words = "".join(one.content for one in following.children or () if one.type in {"text", "code_inline"})
                slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
                copies = sum(1 for known in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", known))
                anchors.add(f"{slug}-{copies}" if copies else slug)
        return anchors

    def _inline(self) -> Iterator[tuple[int, Token]]:
        for token in self.tokens:
            for child in token.children or ():
                yield (token.map[0] + 1 if token.map else 0), child


@cache
def documents() -> tuple[Document, ...]:
    """Return every document of the checkout; Markdown below `tests` is cases, but for what explains them."""
    below = (path for folder in FOLDERS for path in sorted((CHECKOUT / folder).rglob("*.md")))
    read = (path for path in below if path.name == "README.md" or path.relative_to(CHECKOUT).parts[0] != "tests")
    read = (path for path in read if "vendor" not in path.parts)  # what others wrote
    return tuple(Document(path) for path in (CHECKOUT / "README.md", *read))
