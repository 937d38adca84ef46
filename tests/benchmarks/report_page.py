"""How fast a report page opens and how smoothly it moves, in headless Chromium.

    python tests/benchmarks/report_page.py report.html [more.html ...]

Opens each page three times and prints the best: seconds until the graph is drawn; then, at each step of the slider, how
long one frame of the animation takes in JavaScript (median, worst), and the time from the step to the new drawing, the
first time and when its layout is known; and frames a second while the view pans near and far.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

_STEP = """async (stage) => {
  const began = performance.now();
  graphopt.store.set({ stage });
  while (document.documentElement.dataset.stage !== String(stage)) await new Promise(requestAnimationFrame);
  const shown = performance.now() - began;
  while (graphopt.view.scene.progress < 1) await new Promise(requestAnimationFrame);
  return { shown, frames: graphopt.view.scene.times };
}"""
_PAN = """async (scale) => {
  const { camera } = graphopt.view;
  camera.place(camera.x, 0, scale);
  const times = [];
  let last = performance.now();
  for (let frame = 0; frame < 60; frame++) {
    camera.pan(0, 25);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  return times;
}"""


def _open(browser: Any, path: Path) -> tuple[Any, float]:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    began = time.perf_counter()
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("html[data-stage]")
    return page, time.perf_counter() - began


def _measure(browser: Any, path: Path) -> None:
    best = min(_timed(browser, path) for _ in range(3))
    page, _ = _open(browser, path)
    sys.stdout.write(
        f"{path.name}: opens in {best:.2f} s, {page.evaluate('document.documentElement.dataset.items')} things drawn\n"
    )
    last = int(page.get_by_test_id("slider").get_attribute("max") or 0)
    for turn in ("first", "again"):
        frames: list[float] = []
        shown = []
        for stage in [*range(1, last + 1), *range(last - 1, -1, -1)]:
            step = page.evaluate(_STEP, stage)
            frames += step["frames"]
            shown.append(step["shown"])
        if frames:
            worst = sorted(frames)[int(len(frames) * 0.99)]
            sys.stdout.write(f"  slider, {turn}: new drawing after {median(shown):.0f} ms (at most {max(shown):.0f})")
            sys.stdout.write(f"; a frame takes {median(frames):.1f} ms (99 %: {worst:.1f})\n")
    for name, scale in (("near", 1.0), ("far", 0.15)):
        times = page.evaluate(_PAN, scale)
        sys.stdout.write(
            f"  panning {name}: {1000 / median(times):.0f} frames a second, the longest {max(times):.0f} ms\n"
        )
    page.close()


def _timed(browser: Any, path: Path) -> float:
    page, seconds = _open(browser, path)
    page.close()
    return seconds


def main() -> None:
    """Measure each page that the command names."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name in sys.argv[1:]:
            _measure(browser, Path(name))
        browser.close()


if __name__ == "__main__":
    main()
