from __future__ import annotations

import pytest

from graphopt.errors import TargetError
from graphopt.targets import available_cores, host, parse_target


def test_cpu_is_this_machine() -> None:
    assert parse_target("cpu") == host("cpu")
    assert host().cores == available_cores()
    assert host().vector_bits in (128, 256, 512)
    assert host().lanes() * 32 == host().vector_bits


@pytest.mark.parametrize("text", ["cpu{cores=1}", "cpu{cores=1 winograd=false}"])
def test_a_printed_target_parses_to_itself(text: str) -> None:
    target = parse_target(text)
    assert target.cores == 1
    assert target.winograd is ("winograd" not in text)
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gpu", "unknown target 'gpu'"),
        ("cpuu", "did you mean 'cpu'"),
        ("cpu{speed=9}", "has no option 'speed'; it has mcpu, cores, winograd"),
        ("cpu{cores=0}", "must be a whole number of at least 1"),
        ("cpu{cores=two}", "must be a whole number"),
        ("cpu{winograd=off}", "option winograd=off of a target must be true or false"),
        ("cpu{mcpu=z80}", "unknown processor 'z80'"),
        ("cpu{mcpu=a64fx}", "this machine cannot execute"),
        ("cpu{", "cannot read target"),
    ],
)
def test_a_bad_target_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        parse_target(text)


def test_an_older_processor_of_the_family_has_fewer_features() -> None:
    if "avx2" not in host().features:
        pytest.skip("needs an x86 processor with AVX2")
    older = parse_target("cpu{mcpu=haswell}")
    assert older.vector_bits == 256
    assert older.features < host().features | older.features
    assert not older.bf16
