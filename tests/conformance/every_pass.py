"""Each preset and each pass alone on every case, in every form: python -m tests.conformance.every_pass [JOBS]

Prints a Markdown table, one row a pipeline: of how many cases the answer, the interface and validity stay and a second
run changes nothing. Whatever fails is listed under it, and the exit code is 1. Takes about ten minutes of one core.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from graphopt.pipeline.presets import DEFAULT_PRESET, PRESETS
from passes import PASSES
from tests.conformance.cases import FORMS, Case, expected
from tests.conformance.judgement import ELSEWHERE, failure
from tests.conformance.node_cases import node_cases
from tests.conformance.test_node_cases import KEPT
from tests.conformance.test_wheel_models import NOT_RUN
from tests.conformance.wheel_models import wheel_models

PIPELINES = (*PRESETS, *(name for name in PASSES if name not in ELSEWHERE))
CHUNKS = 64

Verdict = tuple[str, str, str, str | None]
"""Name of the case, its form, the pipeline, and what is wrong."""


def main() -> int:
    """Judge every case by every pipeline in a pool of processes."""
    os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    verdicts: list[Verdict] = []
    with ProcessPoolExecutor(jobs) as pool:
        for done, found in enumerate(pool.map(judge_chunk, range(CHUNKS)), start=1):
            verdicts += found
            sys.stderr.write(f"\r{done} of {CHUNKS}")
    write(verdicts)
    return any(why for *_, why in verdicts)


def judge_chunk(chunk: int) -> list[Verdict]:
    """Judge every so-manieth case."""
    cases = (*node_cases(), *(case for case in wheel_models() if case.name not in NOT_RUN))
    return [verdict for case in cases[chunk::CHUNKS] for verdict in judge(case)]


def judge(case: Case) -> Iterator[Verdict]:
    """Judge one case in each of its forms, where something tells its answer."""
    for form, make in FORMS.items():
        made = make(case)
        answer = expected(made) if made else None
        if made is None or answer is None:
            continue
        for pipeline in PIPELINES:
            folds = not made.inputs and pipeline == DEFAULT_PRESET and case.name not in KEPT
            yield case.name, form, pipeline, failure(made, answer, pipeline, folds=folds)


def write(verdicts: list[Verdict]) -> None:
    """Write the table and the list of failures."""
    tried = Counter((pipeline, form) for _, form, pipeline, _ in verdicts)
    passed = Counter((pipeline, form) for _, form, pipeline, why in verdicts if not why)
    out = sys.stdout.write
    out(f"| pipeline | {' | '.join(FORMS)} |\n{'|---' * (len(FORMS) + 1)}|\n")
    for pipeline in PIPELINES:
        cells = (f"{passed[pipeline, form]:,} of {tried[pipeline, form]:,}" for form in FORMS)
        out(f"| {pipeline} | {' | '.join(cells)} |\n")
    for name, form, pipeline, why in verdicts:
        if why:
            out(f"{name}, {form}, {pipeline}: {why}\n")


if __name__ == "__main__":
    sys.exit(main())
