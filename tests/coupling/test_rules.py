"""Every rule by cases: which groups a graph has, what stays and why, what the graph is without some channels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
import pytest

from graphopt.backends.ort.reference import random_feeds
from graphopt.coupling.couple import couple
from graphopt.coupling.groups import Group
from graphopt.coupling.rules.table import ADJUSTMENTS, RULES
from graphopt.coupling.shrink import shrink
from graphopt.ir.text.parser import parse_model
from graphopt.ir.walk import nodes
from tests.canonical import contents, describe
from tests.coupling.agreement import check_agreement

CASES = Path(__file__).parent / "rules.md"


@dataclass(frozen=True)
class Case:
    """A graph, its groups, what it freezes with the reason, what leaves it, and the graph then."""

    title: str
    before: str
    groups: list[str]
    frozen: dict[tuple[str, int], str]
    removal: dict[str, list[int]]
    after: str | None

    def __str__(self) -> str:
        return self.title


def read_cases() -> list[Case]:
    sections = re.split(r"(?m)^## ", CASES.read_text(encoding="utf-8"))[1:]
    return [read_case(section) for section in sections]


def read_case(section: str) -> Case:
    blocks: dict[str, list[str]] = {"onnx": [], "groups": [], "frozen": [], "remove": []}
    for kind, content in re.findall(r"(?ms)^```(\w+)\n(.*?)^```", section):
        blocks[kind].append(content)
    lines = {kind: [line for content in blocks[kind] for line in content.splitlines()] for kind in blocks}
    frozen = {}
    for line in lines["frozen"]:
        place, _, why = line.partition(": ")
        name, axis = place.split()
        frozen[name, int(axis)] = why
    removal = {name: [*map(int, numbers.split())] for name, _, numbers in (x.partition(": ") for x in lines["remove"])}
    before, *after = blocks["onnx"]
    return Case(section.splitlines()[0], before, lines["groups"], frozen, removal, after[0] if after else None)


ALL = read_cases()


def written(group: Group) -> str:
    """Write a group as the cases do: its name, how many channels, its producers → its consumers."""
    makers, readers = (
        " ".join(str(node.outputs[0].name) for node in side) for side in (group.producers, group.consumers)
    )
    return f"{group.name}: {len(group.channels)} {makers} → {readers}".replace("  ", " ").strip()


def test_the_cases_are_read() -> None:
    assert len(ALL) == CASES.read_text(encoding="utf-8").count("\n## ") > 40
    assert all(case.groups or case.frozen for case in ALL)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_groups(case: Case) -> None:
    coupling = couple(parse_model(case.before))
    assert [written(group) for group in coupling.groups] == case.groups
    for place, why in case.frozen.items():
        assert why in coupling.frozen.get(place, ""), (place, coupling.frozen.get(place))


@pytest.mark.parametrize("case", [case for case in ALL if case.after is not None], ids=str)
def test_without_the_channels(case: Case) -> None:
    model = parse_model(case.before)
    shrink(model, couple(model), case.removal)
    actual, expected = describe(model), describe(parse_model(case.after or ""))
    assert actual.text == expected.text
    for name, array in contents(expected).items():
        assert array.dtype.kind == "f" or (array == contents(actual)[name]).all(), name


@pytest.mark.parametrize("case", [case for case in ALL if case.groups], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_shrinking_is_masking(case: Case, seed: int) -> None:
    model = parse_model(case.before, seed=seed)
    check_agreement(model, random_feeds(model, seed=seed), seed=seed)


def operators(model: ir.Model) -> set[str]:
    return {node.op_type for node in nodes(model)}


def test_every_rule_has_a_case() -> None:
    covered = set().union(*(operators(parse_model(case.before)) for case in ALL))
    assert set(RULES) - covered == set()


def test_every_adjustment_has_a_case_that_shows_it() -> None:
    shown = set().union(*(operators(parse_model(case.before)) for case in ALL if case.after is not None))
    assert set(ADJUSTMENTS) - shown == set()
