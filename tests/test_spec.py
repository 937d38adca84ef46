from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphopt.spec import Spec, SpecError, parse_spec

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.\-]{0,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)


@given(names, st.dictionaries(names, texts, max_size=4))
def test_a_printed_spec_parses_to_itself(name: str, options: dict[str, str]) -> None:
    spec = Spec(name, options)
    assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a name, found the end"),
        ("{a=1}", "expected a name, found '{'"),
        ("cpu{", "missing '}'"),
        ("cpu{a}", "expected 'option=value'"),
        ("cpu{a=1 a=2}", "option 'a' given twice"),
        ("cpu x", "unexpected 'x' at character 5"),
    ],
)
def test_a_broken_spec_says_what_and_where(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        parse_spec(text)
