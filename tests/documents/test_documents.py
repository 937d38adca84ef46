"""Every document: its blocks run and print what it shows, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents.commands import complaints
from tests.documents.markdown import CHECKOUT, FOLDERS, Document, documents
from tests.documents.reference import FOLDER, pages
from tests.documents.runner import Reader

_PATH = re.compile(rf"({'|'.join(FOLDERS)})/[\w./-]+")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cache of compiled programs that documents share: most of them compile the same network."""
    return tmp_path_factory.mktemp("programs")


@pytest.mark.parametrize("document", documents(), ids=str)
def test_blocks(document: Document, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(document, tmp_path, programs, monkeypatch)
    for block in document.blocks:
        reader.follow(block)
    if reader.missing:
        pytest.skip(f"ran but for blocks that need {', '.join(sorted(reader.missing))}")


def test_commands_exist() -> None:
    found = [complaint for document in documents() for complaint in complaints(document)]
    assert not found, "\n".join(found)


def test_links_lead_somewhere() -> None:
    broken = [f"{document}:{line}: {link}" for document in documents() for line, link in _broken(document)]
    assert not broken, "\n".join(broken)


def test_paths_exist() -> None:
    gone = [
        f"{document}:{line}: {span}"
        for document in documents()
        for line, span in document.spans
        if _PATH.fullmatch(span) and not (CHECKOUT / span).exists() and span not in written(document)
    ]
    texts = ((document, document.path.read_text(encoding="utf-8")) for document in documents())
    reasons = (
        (document, reason) for document, text in texts for reason in re.findall(r"<!-- run: skip (.*) -->", text)
    )
    gone += [
        f"{document}: {path.group()}"
        for document, reason in reasons
        for path in _PATH.finditer(reason)
        if not (CHECKOUT / path.group()).exists()
    ]
    assert not gone, "\n".join(gone)


def written(document: Document) -> set[str]:
    """Return the files that a reader writes, who works in a clone."""
    return {block.directives["file"].removeprefix("clone/") for block in document.blocks if "file" in block.directives}


@pytest.mark.parametrize("name", pages())
def test_the_reference_says_what_the_code_says(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8") if (FOLDER / name).exists() else ""
    assert written == pages()[name], f"{name} is out of date; run: make docs"


def _broken(document: Document) -> list[tuple[int, str]]:
    broken = []
    for line, link in document.links:
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (document.path.parent / path).resolve() if path else document.path
        if not target.exists() or (anchor and anchor not in Document(target).anchors):
            broken.append((line, link))
    return broken
