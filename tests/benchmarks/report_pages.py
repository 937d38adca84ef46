"""The report page of every network, driven in headless Chromium: python -m tests.benchmarks.report_pages [NAME ...].

A row for each network of `models` and of the shared folder: the slider went to every stage, and the number of nodes was
that of the pass report; a search found a node, and a click showed which rewrites made it; nothing went wrong, and no
network was asked.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from models import TOPOLOGIES
from tests.benchmarks.names import chosen
from tests.report.driving import Pages, drive, launched
from tests.shared_models import SHARED_MODELS


def main() -> None:
    """Drive each page that is named, or all."""
    shared = {f"{one.name} (trained)": one.path for one in SHARED_MODELS if one.path.exists()}
    digits = {"digits (trained)": Path(__file__).parents[2] / "models" / "digits" / "digits.onnx"}
    trained = digits | shared
    sys.stdout.write("| network | stages | nodes | page | seconds |\n| --- | --- | --- | --- | --- |\n")
    with launched() as browser, TemporaryDirectory() as folder:
        for name in chosen(sys.argv[1:], [*TOPOLOGIES, *trained]):
            began, path = time.perf_counter(), Path(folder) / "report.html"
            pages = Pages(browser)
            page = drive(trained[name] if name in trained else TOPOLOGIES[name](), pages.open, path)
            stages = int(page.get_by_test_id("slider").get_attribute("max")) + 1
            count = page.get_by_test_id("node-count").inner_text()
            pages.close()
            cells = stages, count, f"{path.stat().st_size >> 10} KiB", f"{time.perf_counter() - began:.1f}"
            sys.stdout.write(f"| {name} | {' | '.join(map(str, cells))} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
