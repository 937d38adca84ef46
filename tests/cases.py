"""The cases of a pass, read from its Markdown file.

A case is a section: a title, the model before in an `onnx` block, the model after in a second one (without it
the model must stay as it is), what the pass must say that it missed in a `missed` block, a line each, and the
pipeline in a `pipeline` block where it is not the pass alone that the file is named after. A pass that rounds on
purpose says in a `tolerance` block how far its answers may lie from the model's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

from graphopt.numerics import DEFAULT_TOLERANCE

BLOCKS = {"onnx": 2, "missed": 1, "pipeline": 1, "tolerance": 1}  # how many of each a case may have


@dataclass
class Case:
    """One section of a Markdown file."""

    file: Path
    title: str
    blocks: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in BLOCKS})

    def __str__(self) -> str:
        return f"{self.file.stem}: {self.title}"

    @property
    def before(self) -> str:
        return self.blocks["onnx"][0]

    @property
    def after(self) -> str | None:
        return self.blocks["onnx"][1] if len(self.blocks["onnx"]) > 1 else None

    @property
    def pipeline(self) -> str:
        return self.blocks["pipeline"][0].strip() if self.blocks["pipeline"] else self.file.stem

    @property
    def tolerance(self) -> float:
        return float(self.blocks["tolerance"][0]) if self.blocks["tolerance"] else DEFAULT_TOLERANCE

    @property
    def missed(self) -> list[str]:
        return [line for block in self.blocks["missed"] for line in block.splitlines() if line.strip()]


def read_cases(folder: Path) -> list[Case]:
    """Read every case below a folder; raises ValueError where a section is no case."""
    return [case for file in sorted(folder.glob("*.md")) for case in _read_file(file)]


def _read_file(file: Path) -> Iterator[Case]:
    case: Case | None = None
    tokens = MarkdownIt().parse(file.read_text(encoding="utf-8"))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and token.tag == "h2" and following is not None:
            yield from _finished(case)
            case = Case(file, following.content)
        elif token.type == "fence":
            kind = token.info.strip()
            if case is None or kind not in BLOCKS or len(case.blocks[kind]) == BLOCKS[kind]:
                raise ValueError(f"{file.name}: one {kind!r} block too many in {case.title if case else 'no case'!r}")
            case.blocks[kind].append(token.content)
    yield from _finished(case)


def _finished(case: Case | None) -> Iterator[Case]:
    if case is not None:
        if not case.blocks["onnx"]:
            raise ValueError(f"{case.file.name}: {case.title!r} has no onnx block")
        yield case
