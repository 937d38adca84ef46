"""Every case of tests/passes: the pass does what its documentation shows, and the model answers as before."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import evaluate, random_feeds
from graphopt.catalog import passes
from graphopt.ir.text.parser import parse_model
from graphopt.ir.verify import verify
from graphopt.numerics import differences
from graphopt.pipeline.manager import PassManager
from graphopt.pipeline.remark import Verdict
from graphopt.pipeline.text import parse_pipeline
from graphopt.targets import host
from tests.canonical import contents, describe, is_close
from tests.cases import Case, read_cases

CASES = read_cases(Path(__file__).parent / "passes")
SEEDS = range(3)


def optimized(case: Case, *, seed: int = 0) -> tuple[ir.Model, list[str]]:
    """Run the case's pipeline on its model, verified before and after; return it and what was missed."""
    model = parse_model(case.before, seed=seed)
    verify(model, types=True)
    report = manager(case).run(model)
    verify(model, types=True)
    return model, [str(remark) for remark in report.remarks if remark.verdict is Verdict.MISSED]


def manager(case: Case) -> PassManager:
    return PassManager(parse_pipeline(case.pipeline, passes()), host())


def given_constants(text: str) -> set[str]:
    """Return the canonical names of the constants whose data the text gives: they are the same for every seed."""
    seeded = [contents(describe(parse_model(text, seed=seed))) for seed in range(8)]
    return {name for name, array in seeded[0].items() if all((other[name] == array).all() for other in seeded)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph(case: Case) -> None:
    model, missed = optimized(case)
    expected_text = case.before if case.after is None else case.after
    expected, actual = describe(parse_model(expected_text)), describe(model)
    assert actual.text == expected.text
    actual_contents = contents(actual)
    for name in given_constants(expected_text):
        assert is_close(contents(expected)[name], actual_contents[name]), f"constant {name}"
    for line in case.missed:
        assert any(line in remark for remark in missed), f"no remark says {line!r}: {missed}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_run_changes_nothing(case: Case) -> None:
    model, _ = optimized(case)
    text = describe(model).text
    assert manager(case).run(model).changes == 0
    assert describe(model).text == text


@pytest.mark.parametrize("case", [case for case in CASES if case.after is not None], ids=str)
def test_answers(case: Case) -> None:
    for seed in SEEDS:
        before = parse_model(case.before, seed=seed)
        feeds = random_feeds(before, seed=seed)
        after, _ = optimized(case, seed=seed)
        for found in differences(evaluate(before, feeds), evaluate(after, feeds)):
            assert found.error <= case.tolerance, f"seed {seed}: {found}"
