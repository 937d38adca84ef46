"""What tests do with a page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graphopt
from graphopt.ir.load import Source


@contextmanager
def launched() -> Iterator[Any]:
    """Launch the browser that is installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        held = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield held
        held.close()


class Pages:
    """Report pages in a browser, of which nothing may ask a network, nor go wrong."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._asked: list[str] = []
        self._wrong: list[str] = []
        self._contexts: list[Any] = []

    def open(self, path: Path, *, width: int = 1200, height: int = 800, scheme: str = "light") -> Any:
        """Open a written page."""
        size = {"width": width, "height": height}
        context = self._browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: self._asked.append(request.url))
        page.on("console", lambda message: self._wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._wrong.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-stage]")
        return page

    def close(self) -> None:
        """Close all pages, and say what was wrong with them."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        assert not self._wrong
        assert all(url.startswith(("file:", "blob:", "data:")) for url in self._asked)


def at_stage(page: Any, index: int) -> None:
    page.get_by_test_id("slider").fill(str(index))
    page.wait_for_selector(f'html[data-stage="{index}"]')


def until(page: Any, expression: str) -> None:
    """Wait for an expression to hold; asked from outside, since the page's policy lets no text be run in it."""
    end = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def drive(source: Source, opened: Callable[[Path], Any], path: Path) -> Any:
    """Write the report of a network, move its slider to each stage, find a node that a rewrite made, and click it.

    Returns the page, with that node selected.
    """
    history = graphopt.History("model")
    _, report = graphopt.optimize(source, "O3", observer=history)
    history.write(path)
    sizes = [report.before.nodes, *(record.after.nodes for record in report.passes if record.changes)]
    page = opened(path)
    for index, size in enumerate(sizes):
        at_stage(page, index)
        assert page.get_by_test_id("node-count").inner_text() == str(size)
    story = history.story()
    made = next(node for at in reversed(story.stages[-1].nodes) if (node := story.nodes[at]).made_by)
    page.get_by_test_id("search").fill(made.name)
    page.get_by_test_id("found").locator("[role=option]").first.wait_for()
    page.keyboard.press("Enter")
    page.locator(f'[data-key="n{made.id}"]').click()
    details = page.get_by_test_id("details")
    for origin in made.made_by:
        details.get_by_text(origin.rule).first.wait_for()
    return page
