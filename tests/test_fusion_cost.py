"""What is fused depends on facts of the target, and on nothing else about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphopt.compiler.optimize import optimize
from graphopt.ir.text.parser import parse_model
from graphopt.targets import Target, parse_target

CORE = replace(parse_target("cpu{cores=1}"), vector_bits=256, l2_bytes=1 << 20)
NINE_TIMES = "g (float[256,1024] x, float[9,256,1024] z) => (float[9,256,1024] y) { a = Neg (x) y = Add (a, z) }"
GATE = "g (float[64] x, float[999,64] z) => (float[999,64] y) { s = Sigmoid (x) y = Mul (s, z) }"
FULL = "g (float[999,64] x, float[999,64] z) => (float[999,64] y) { s = Sigmoid (x) y = Mul (s, z) }"


def is_fused(text: str, target: Target) -> bool:
    return bool(optimize(parse_model(text), "infer-shapes,fuse-operators", target=target).model.functions)


@pytest.mark.parametrize(("l2_bytes", "fused"), [(1 << 20, False), (1 << 19, True)])
def test_what_the_cache_does_not_hold_is_computed_again(l2_bytes: int, fused: bool) -> None:
    assert is_fused(NINE_TIMES, replace(CORE, l2_bytes=l2_bytes)) is fused


@pytest.mark.parametrize(("cores", "fused"), [(1, False), (256, True)])
def test_many_cores_compute_rather_than_meet_again(cores: int, fused: bool) -> None:
    assert is_fused(GATE, replace(CORE, cores=cores)) is fused


@pytest.mark.parametrize("vector_bits", [128, 256, 512])
def test_values_of_the_result_s_shape_are_never_worth_storing(vector_bits: int) -> None:
    assert is_fused(FULL, replace(CORE, vector_bits=vector_bits))
