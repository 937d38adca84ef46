"""What a processor multiplies narrow numbers with, as a function in LLVM's own language.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS (which flushes denormal numbers to
zero), VPDPBUSD, VPMADDWD; Arm Architecture Reference Manual for A-profile, SDOT, USDOT; WebAssembly Core
Specification 2.0, i32x4.dot_i16x8_s. VPMADDUBSW is none of them: it saturates.

A processor without the instruction gets the same sums from what it has. For bfloat16 `parse_target` lets no user
there, since it only takes longer; tests run it where they cannot run the other.
"""

from __future__ import annotations

from graphopt.backends.tvm.bfloat16 import STORED
from graphopt.backends.tvm.narrow import NARROW
from graphopt.targets import Target

FUNCTIONS = {1: "graphopt_sum_singles", 2: "graphopt_sum_pairs", 4: "graphopt_sum_quads"}
"""By the number of products that are summed into a lane; kernels that are compiled together share what they import."""
_HEAD = """
define <{lanes} x {sum}> @{function}(<{lanes} x {sum}> %sums, <{numbers} x {number}> %weights, i32 %value) {{
  %first = insertelement <{lanes} x i32> poison, i32 %value, i64 0
  %values = shufflevector <{lanes} x i32> %first, <{lanes} x i32> poison, <{lanes} x i32> zeroinitializer
"""
_TAIL = """
  ret <{lanes} x {sum}> %total
}}
"""
_PAIRS_OF_INTEGERS = {
    (128, "sse2"): "llvm.x86.sse2.pmadd.wd",
    (128, "simd128"): "llvm.wasm.dot",
    (256, "avx2"): "llvm.x86.avx2.pmadd.wd",
    (512, "avx512bw"): "llvm.x86.avx512.pmaddw.d.512",
}
"""VPMADDWD and what is like it, LLVM's names by the bits of a vector and the feature that has it."""
_PAIRS = """
  %a = bitcast <{numbers} x i16> %weights to <{numbers} x bfloat>
  %b = bitcast <{lanes} x i32> %values to <{numbers} x bfloat>
  %total = call <{lanes} x float> @{intrinsic}(
    <{lanes} x float> %sums, <{numbers} x bfloat> %a, <{numbers} x bfloat> %b)
"""
_PAIRS_PORTABLE = """
  %pairs = bitcast <{numbers} x i16> %weights to <{lanes} x i32>
  %low.a = shl <{lanes} x i32> %pairs, splat (i32 16)
  %low.b = shl <{lanes} x i32> %values, splat (i32 16)
  %high.a = and <{lanes} x i32> %pairs, splat (i32 -65536)
  %high.b = and <{lanes} x i32> %values, splat (i32 -65536)
  %low.x = bitcast <{lanes} x i32> %low.a to <{lanes} x float>
  %low.y = bitcast <{lanes} x i32> %low.b to <{lanes} x float>
  %high.x = bitcast <{lanes} x i32> %high.a to <{lanes} x float>
  %high.y = bitcast <{lanes} x i32> %high.b to <{lanes} x float>
  %low = fmul <{lanes} x float> %low.x, %low.y
  %high = fmul <{lanes} x float> %high.x, %high.y
  %part = fadd <{lanes} x float> %sums, %high
  %total = fadd <{lanes} x float> %part, %low
"""
_QUADS = """
  %bytes = bitcast <{lanes} x i32> %values to <{numbers} x i8>
  %total = call <{lanes} x i32> @{intrinsic}(<{lanes} x i32> %sums, <{numbers} x i8> %bytes, <{numbers} x i8> %weights)
"""
_QUADS_AS_PAIRS = """
  %x = bitcast <{lanes} x i32> %values to <{pairs} x i16>
  %x.even = and <{pairs} x i16> %x, splat (i16 255)
  %x.odd = lshr <{pairs} x i16> %x, splat (i16 8)
  %w = bitcast <{numbers} x i8> %weights to <{pairs} x i16>
  %w.high = shl <{pairs} x i16> %w, splat (i16 8)
  %w.even = ashr <{pairs} x i16> %w.high, splat (i16 8)
  %w.odd = ashr <{pairs} x i16> %w, splat (i16 8)
  %even = call <{lanes} x i32> @{intrinsic}(<{pairs} x i16> %x.even, <{pairs} x i16> %w.even)
  %odd = call <{lanes} x i32> @{intrinsic}(<{pairs} x i16> %x.odd, <{pairs} x i16> %w.odd)
  %part = add <{lanes} x i32> %sums, %even
  %total = add <{lanes} x i32> %part, %odd
"""
_QUADS_PORTABLE = """
  %w = bitcast <{numbers} x i8> %weights to <{lanes} x i32>
  %x.0 = and <{lanes} x i32> %values, splat (i32 255)
  %x.1.low = lshr <{lanes} x i32> %values, splat (i32 8)
  %x.1 = and <{lanes} x i32> %x.1.low, splat (i32 255)
  %x.2.low = lshr <{lanes} x i32> %values, splat (i32 16)
  %x.2 = and <{lanes} x i32> %x.2.low, splat (i32 255)
  %x.3 = lshr <{lanes} x i32> %values, splat (i32 24)
  %w.0.high = shl <{lanes} x i32> %w, splat (i32 24)
  %w.0 = ashr <{lanes} x i32> %w.0.high, splat (i32 24)
  %w.1.high = shl <{lanes} x i32> %w, splat (i32 16)
  %w.1 = ashr <{lanes} x i32> %w.1.high, splat (i32 24)
  %w.2.high = shl <{lanes} x i32> %w, splat (i32 8)
  %w.2 = ashr <{lanes} x i32> %w.2.high, splat (i32 24)
  %w.3 = ashr <{lanes} x i32> %w, splat (i32 24)
  %p.0 = mul <{lanes} x i32> %x.0, %w.0
  %p.1 = mul <{lanes} x i32> %x.1, %w.1
  %p.2 = mul <{lanes} x i32> %x.2, %w.2
  %p.3 = mul <{lanes} x i32> %x.3, %w.3
  %s.0 = add <{lanes} x i32> %sums, %p.0
  %s.1 = add <{lanes} x i32> %s.0, %p.1
  %s.2 = add <{lanes} x i32> %s.1, %p.2
  %total = add <{lanes} x i32> %s.2, %p.3
"""
_SINGLES = """
define <{lanes} x i32> @{function}(<{lanes} x i32> %sums, <{lanes} x i8> %weights, <{lanes} x i8> %values) {{
  %w = zext <{lanes} x i8> %weights to <{lanes} x i32>
  %x = zext <{lanes} x i8> %values to <{lanes} x i32>
  %a = bitcast <{lanes} x i32> %x to <{numbers} x i8>
  %b = bitcast <{lanes} x i32> %w to <{numbers} x i8>
  %total = call <{lanes} x i32> @{intrinsic}(<{lanes} x i32> %sums, <{numbers} x i8> %a, <{numbers} x i8> %b)
  ret <{lanes} x i32> %total
}}
"""
_SINGLES_PORTABLE = """
define <{lanes} x i32> @{function}(<{lanes} x i32> %sums, <{lanes} x i8> %weights, <{lanes} x i8> %values) {{
  %w = sext <{lanes} x i8> %weights to <{lanes} x i32>
  %x = zext <{lanes} x i8> %values to <{lanes} x i32>
  %product = mul <{lanes} x i32> %w, %x
  %total = add <{lanes} x i32> %sums, %product
  ret <{lanes} x i32> %total
}}
"""
_DECLARED_PAIRS = """
declare <{lanes} x float> @{intrinsic}(
  <{lanes} x float>, <{numbers} x bfloat>, <{numbers} x bfloat>)
"""
_DECLARED_QUADS = """
declare <{lanes} x i32> @{intrinsic}(<{lanes} x i32>, <{numbers} x i8>, <{numbers} x i8>)
"""
_DECLARED_AS_PAIRS = """
declare <{lanes} x i32> @{intrinsic}(<{pairs} x i16>, <{pairs} x i16>)
"""


def definition(target: Target, dtype: str, together: int) -> str:
    """Return the function (sums, weights of a vector's lanes with their neighbours, a value with its own) → sums.

    `dtype` is that of the weights; see `narrow.NARROW`. Of one product alone, each lane has a value of its own.
    """
    lanes, most = target.lanes(), NARROW[dtype].together
    body, declared, intrinsic = _pairs(target) if dtype == STORED else _quads(target)
    text = _HEAD + body + _TAIL + declared
    if together == 1:
        text = _SINGLES + declared if target.int8_dot else _SINGLES_PORTABLE
    return text.format(
        function=FUNCTIONS[together],
        lanes=lanes,
        numbers=lanes * most,
        pairs=lanes * most // 2,
        sum="float" if dtype == STORED else "i32",
        number="i16" if dtype == STORED else "i8",
        intrinsic=intrinsic,
    )


def _pairs(target: Target) -> tuple[str, str, str]:
    """Return what sums products of bfloat16: the body, declarations, and the intrinsic that they name."""
    intrinsic = f"llvm.x86.avx512bf16.dpbf16ps.{target.vector_bits}"
    return (_PAIRS, _DECLARED_PAIRS, intrinsic) if target.bf16 else (_PAIRS_PORTABLE, "", "")


def _quads(target: Target) -> tuple[str, str, str]:
    """Return the same for 8 bits."""
    if target.int8_dot:
        arm = "llvm.aarch64.neon.sdot.v4i32.v16i8" if target.signed_dot else "llvm.aarch64.neon.usdot.v4i32.v16i8"
        intrinsic = arm if "asimddp" in target.features else f"llvm.x86.avx512.vpdpbusd.{target.vector_bits}"
        return _QUADS, _DECLARED_QUADS, intrinsic
    for (bits, feature), intrinsic in _PAIRS_OF_INTEGERS.items():
        if bits == target.vector_bits and feature in target.features:
            return _QUADS_AS_PAIRS, _DECLARED_AS_PAIRS, intrinsic
    return _QUADS_PORTABLE, "", ""
