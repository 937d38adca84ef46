from __future__ import annotations

from dataclasses import replace

import pytest

from graphopt import processors
from graphopt.errors import TargetError
from graphopt.hardware import available_cores
from graphopt.targets import Precision, host, parse_target, with_precision


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
        ("cpu{speed=9}", "has no option 'speed'; it has mcpu, cores, winograd, precision, mtriple, mattr"),
        ("cpu{cores=0}", "must be a whole number of at least 1"),
        ("cpu{cores=two}", "must be a whole number"),
        ("cpu{winograd=off}", "option winograd=off of a target must be true or false"),
        ("cpu{precision=fp16}", "unknown precision 'fp16'; there are fp32, bf16, auto"),
        ("onnxruntime{precision=bf16}", "target 'onnxruntime' has no precision but that of the model"),
        ("cpu{mcpu=z80}", "unknown processor 'z80'"),
        ("cpu{mcpu=a64fx}", "this machine cannot execute.*to compile for another machine, say which with mtriple"),
        ("cpu{mtriple=arm-none-eabi}", "must begin with one of aarch64, riscv64, x86_64.*take target c"),
        ("cpu{mtriple=aarch64}", "and name a system, as aarch64-linux-gnu does"),
        ("cpu{mtriple=aarch64-apple-darwin}", "must be of a system with ELF objects, not apple"),
        ("cpu{mtriple=aarch64-linux-gnu mcpu=cortex-a27}", "unknown processor 'cortex-a27' of aarch64 .did you mean"),
        ("cpu{mtriple=x86_64-linux-gnu mcpu=cortex-a72}", "unknown processor 'cortex-a72' of x86_64"),
        ("cpu{mtriple=riscv64-linux-gnu mattr=+q}", r"unknown extension '\+q' of riscv64; there are \+v, \+zvl256b"),
        ("cpu{mtriple=aarch64-linux-gnu cores=2}", "option cores=2 of a target must be 1"),
        ("cpu{mattr=+v}", "option mattr of a target is for other machines"),
        ("c{mcpu=cortex-m4}", "target 'c' has no option 'mcpu'; it has weights"),
        ("c{weights=files}", "option weights=files of a target must be one of arrays, blob"),
        ("wasm32{mattr=+relaxed-simd}", "target 'wasm32' has no option 'mattr'; it has winograd"),
        ("wasm32{precision=bf16}", "target 'wasm32' has no option 'precision'"),
        ("cpu{", "cannot read target"),
    ],
)
def test_a_bad_target_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        parse_target(text)


@pytest.mark.parametrize(
    ("text", "bits", "registers", "has", "lacks"),
    [
        ("cpu{mtriple=aarch64-linux-gnu mcpu=cortex-a72}", 128, 32, {"fma", "float16"}, {"int8_dot"}),
        ("cpu{mtriple=aarch64-linux-gnu mcpu=cortex-a76}", 128, 32, {"fma", "int8_dot", "signed_dot"}, {"bf16"}),
        ("cpu{mtriple=aarch64-linux-gnu mcpu=neoverse-v1}", 128, 32, {"int8_dot"}, {"signed_dot"}),
        ("cpu{mtriple=aarch64-linux-gnu mattr=+dotprod}", 128, 32, {"int8_dot"}, set()),
        ("cpu{mtriple=riscv64-linux-gnu}", 128, 8, {"llvm"}, {"int8_dot", "float16"}),
        ("cpu{mtriple=riscv64-linux-gnu mattr=+v}", 128, 32, {"llvm"}, {"float16"}),
        ("cpu{mtriple=riscv64-linux-gnu mcpu=spacemit-x60}", 256, 32, {"llvm"}, set()),
        ("cpu{mtriple=riscv64-linux-gnu mcpu=sifive-x280}", 512, 32, {"llvm"}, set()),
        ("cpu{mtriple=x86_64-linux-gnu mcpu=x86-64-v2}", 128, 16, {"llvm"}, {"fma"}),
        ("cpu{mtriple=x86_64-linux-gnu mcpu=x86-64-v3}", 256, 16, {"fma"}, {"int8_dot"}),
        ("cpu{mtriple=x86_64-linux-gnu mcpu=x86-64-v4}", 512, 32, {"fma"}, {"int8_dot"}),
        ("cpu{mtriple=x86_64-linux-gnu mcpu=icelake-client}", 512, 32, {"int8_dot"}, {"bf16"}),
        ("c", 128, 8, set(), {"llvm", "fma", "winograd", "float16", "web"}),
        ("wasm32", 128, 16, {"llvm", "web"}, {"int8_dot", "fma", "winograd"}),
        ("wasm32{winograd=true}", 128, 16, {"web", "winograd"}, {"fma"}),
    ],
)
def test_another_machine_is_known_by_its_processor(
    text: str, bits: int, registers: int, has: set[str], lacks: set[str]
) -> None:
    target = parse_target(text)
    assert target.freestanding
    assert (target.vector_bits, target.vector_registers, target.cores) == (bits, registers, 1)
    assert all(getattr(target, fact) for fact in has)
    assert not any(getattr(target, fact) for fact in lacks)
    assert parse_target(str(target)) == target


@pytest.mark.parametrize("architecture", ["aarch64", "riscv64"])
def test_processors_have_what_llvm_says(architecture: str) -> None:
    from tvm.target import Target, codegen

    for mcpu in processors.names(architecture):
        facts = {"kind": "llvm", "mtriple": f"{architecture}-linux-gnu", "mcpu": mcpu}
        said = {str(feature) for feature in codegen.llvm_get_cpu_features(Target(facts))}
        known = {linux for llvm, linux in processors.EXTENSIONS[architecture].items() if llvm in said}
        assert processors.features(architecture, mcpu) - processors.BASELINE[architecture] == known, mcpu


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
