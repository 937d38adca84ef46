from __future__ import annotations

from dataclasses import replace

import pytest

from graphopt.errors import TargetError
from graphopt.targets import Precision, available_cores, host, parse_target, with_precision


def test_cpu_is_this_machine() -> None:
    assert parse_target("cpu") == host("cpu")
    assert host().cores == available_cores()
    assert host().vector_bits in (128, 256, 512)
    assert host().lanes() * 32 == host().vector_bits


@pytest.mark.parametrize("text", ["cpu{cores=1}", "cpu{cores=1 winograd=false}", "cpu{cores=1 precision=fp32}"])
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
        ("cpu{speed=9}", "has no option 'speed'; it has mcpu, cores, winograd, precision"),
        ("cpu{cores=0}", "must be a whole number of at least 1"),
        ("cpu{cores=two}", "must be a whole number"),
        ("cpu{winograd=off}", "option winograd=off of a target must be true or false"),
        ("cpu{precision=fp16}", "unknown precision 'fp16'; there are fp32, bf16, auto"),
        ("onnxruntime{precision=bf16}", "target 'onnxruntime' has no precision but that of the model"),
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


def test_bfloat16_needs_a_processor_that_multiplies_it() -> None:
    without = replace(host(), mcpu="znver3", features=host().features - {"avx512_bf16"})
    native = replace(without, mcpu="znver4", features=without.features | {"avx512_bf16", "sse4a"})
    slow = replace(native, mcpu="sapphirerapids", features=native.features - {"sse4a"})
    assert with_precision(without, "auto") == with_precision(without, "fp32") == without
    with pytest.raises(TargetError, match="'znver3' cannot multiply in bf16: it lacks avx512_bf16; take fp32, or auto"):
        with_precision(without, "bf16")
    assert with_precision(native, "auto") == with_precision(native, "bf16") == replace(native, precision=Precision.BF16)
    assert "precision=bf16" in str(with_precision(native, "auto"))
    assert with_precision(slow, "bf16").precision is Precision.BF16
    assert with_precision(slow, "auto").precision is Precision.FP32
    assert with_precision(replace(native, kind="onnxruntime"), "auto").precision is Precision.FP32
