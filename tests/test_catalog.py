from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import onnx_ir as ir
import pytest

from graphopt import catalog
from graphopt.errors import PipelineError
from graphopt.pipeline.base import Pass
from graphopt.pipeline.context import Context
from graphopt.pipeline.text import parse_pipeline


@dataclass(frozen=True)
class Foreign(Pass):
    """Come from another package."""

    name: ClassVar[str] = "foreign"

    def run(self, model: ir.Model, ctx: Context) -> int:
        return 0


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    catalog.passes.cache_clear()
    yield
    catalog.passes.cache_clear()


def offer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    offered = [EntryPoint(name, value, catalog.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(catalog, "entry_points", lambda group: offered if group == catalog.ENTRY_POINT_GROUP else [])


def test_each_pass_stands_under_its_own_name_and_says_what_it_does() -> None:
    for name, pass_type in catalog.passes().items():
        assert pass_type.name == name
        assert len(pass_type.summary()) > 10
        assert set(pass_type.requires) <= set(catalog.passes())


def test_another_package_adds_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "foreign", f"{__name__}:Foreign")
    assert parse_pipeline("foreign", catalog.passes()).steps == (Foreign(),)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("other", f"{__name__}:Foreign", "must be a Pass named 'other'"),
        ("foreign", "json:dumps", "must be a Pass named 'foreign'"),
        ("foreign", "no_such_package:Foreign", "cannot be loaded"),
    ],
)
def test_a_bad_offer_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    offer(monkeypatch, name, value)
    with pytest.raises(PipelineError, match=sentence):
        catalog.passes()


def test_a_name_of_ours_cannot_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Foreign, "name", "fold-constants")
    offer(monkeypatch, "fold-constants", f"{__name__}:Foreign")
    with pytest.raises(PipelineError, match="offered twice"):
        catalog.passes()
