from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphopt.errors import PipelineError
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.pipeline.options import options_of
from graphopt.pipeline.presets import PRESETS
from graphopt.pipeline.text import Fixpoint, Pipeline, parse_pipeline


@dataclass(frozen=True)
class First(Pass):
    """Do nothing, first."""

    name: ClassVar[str] = "first"
    max_bytes: int = 1024
    ratio: float = 0.5
    deep: bool = False
    mode: Literal["fast", "exact"] = "fast"
    axes: tuple[int, ...] = ()
    label: str = ""

    def run(self, model: ir.Model, ctx: Context) -> int:
        return 0


@dataclass(frozen=True)
class Second(Pass):
    """Do nothing, after `first`."""

    name: ClassVar[str] = "second"
    requires: ClassVar[tuple[str, ...]] = ("first",)
    level: int

    def run(self, model: ir.Model, ctx: Context) -> int:
        return 0


PASSES = {"first": First, "second": Second}

firsts = st.builds(
    First,
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.sampled_from(["fast", "exact"]),
    st.lists(st.integers(), max_size=3).map(tuple),
    st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=6),
)
steps = st.recursive(
    firsts, lambda inner: st.lists(inner, max_size=3).map(lambda some: Fixpoint(Pipeline(tuple(some)))), max_leaves=5
)


@given(st.lists(steps, max_size=4))
def test_a_printed_pipeline_parses_to_itself(some: list[Pass | Fixpoint]) -> None:
    pipeline = Pipeline(tuple(some))
    assert parse_pipeline(str(pipeline), PASSES) == pipeline


def test_options_left_at_their_defaults_are_not_printed() -> None:
    assert str(First()) == "first"
    assert str(First(deep=True, axes=(0, 1))) == "first{deep=true axes=0,1}"


def test_white_space_is_free() -> None:
    text = " first , fixpoint( first{ deep=true } ,second{level=2} ) "
    assert str(parse_pipeline(text, PASSES)) == "first,fixpoint(first{deep=true},second{level=2})"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("frist", "unknown pass 'frist' .did you mean 'first'"),
        ("O9", "unknown pass 'O9'"),
        ("first{max=1}", "has no option 'max'.*it has max-bytes, ratio"),
        ("first{max-bytes=big}", "option max-bytes=big of pass 'first' must be int"),
        ("first{deep=yes}", r"must be true\|false"),
        ("first{mode=slow}", r"must be fast\|exact"),
        ("first,second", "needs option 'level'"),
        ("second{level=1}", "'second' must come after 'first'"),
        ("first,", "expected a name, found the end"),
        ("fixpoint first", r"expected '\(' after fixpoint"),
        ("fixpoint(first", r"missing '\)'"),
        ("first)", "unexpected '\\)'"),
        ("first first", "unexpected 'f'"),
    ],
)
def test_a_bad_pipeline_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        parse_pipeline(text, PASSES)


def test_options_are_listed_with_type_and_default() -> None:
    listed = {option.name: (option.type, option.default) for option in options_of(First)}
    assert listed["max-bytes"] == ("int", "1024")
    assert listed["mode"] == ("fast|exact", "fast")
    assert listed["axes"] == ("int,…", "")
    assert options_of(Second)[0].default is None


def test_every_preset_is_a_pipeline_of_known_passes() -> None:
    from graphopt.catalog import passes

    for name, text in PRESETS.items():
        assert parse_pipeline(name, passes()) == parse_pipeline(text, passes())
