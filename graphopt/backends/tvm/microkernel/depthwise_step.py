"""The step of a depthwise convolution of bytes, as a function in LLVM's own language: four columns of 16 channels.

Vectors of 512 bits hold four columns in their lanes of 128 bits. Unpacking works within these: bytes of four taps come
to stand side by side for four channels of each column, so that four vectors of sums hold a quarter of the channels
each. Narrowing works within them, too, and puts the channels back in order: no other instruction moves anything.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual: VPUNPCKLBW, VPUNPCKLWD, VPDPBUSD, VPACKSSDW,
VPACKUSWB; CVTPS2DQ rounds to nearest, ties to even.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from graphopt.backends.tvm.microkernel.taps import TOGETHER, Taps
from graphopt.digests import digest

_FUNCTION = "graphopt_depthwise_step"
COLUMNS, LANES = 4, 16
"""Outputs of one step: columns, and channels of each."""
BYTES = COLUMNS * LANES
_QUARTERS = range(4)
_DECLARED = """
declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <64 x i8>, <64 x i8>)
declare <32 x i16> @llvm.x86.avx512.packssdw.512(<16 x i32>, <16 x i32>)
declare <64 x i8> @llvm.x86.avx512.packuswb.512(<32 x i16>, <32 x i16>)
declare <16 x i32> @llvm.lrint.v16i32.v16f32(<16 x float>)
declare <32 x i16> @llvm.sadd.sat.v32i16(<32 x i16>, <32 x i16>)
"""


@dataclass(frozen=True)
class Step:
    """Facts that a step is written for.

    Attributes:
        taps: what is read and summed.
        stride: columns of the input from one output to the next, 1 or 2.
        pitches: bytes from one row to the next, of the input and of the output.
        zero_point: added to rounded results, which are then brought between 0 and 255.

    """

    taps: Taps
    stride: int
    pitches: tuple[int, int]
    zero_point: int

    @property
    def name(self) -> str:
        """Return what the function is called: kernels that are compiled together share the names that they import."""
        return f"{_FUNCTION}_{digest([self.text.encode()]).hex()}"

    @cached_property
    def text(self) -> str:
        """What the function computes."""
        return "\n".join([*self._body(), "  ret i32 0", "}", _DECLARED])

    def definition(self) -> str:
        """Return the function (inputs, weights, biases, ratios, outputs), all of them pointers to the first."""
        return f"define i32 @{self.name}(ptr %x, ptr %w, ptr %bias, ptr %ratio, ptr %y) alwaysinline {{\n{self.text}"

    def _body(self) -> Iterator[str]:
        for row in range(self.taps.rows):
            for quarter in _QUARTERS:
                yield from _quarter(f"%sum.{row}.{quarter}.0", "bias", "i32", quarter)
        use = 0
        counts = [0] * self.taps.rows
        pending: dict[int, list[tuple[int, int]]] = {index: [] for index in range(len(self.taps.groups))}
        for row, uses in enumerate(self.taps.uses):
            for index, _ in uses:
                pending[index].append((row, use))
                use += 1
        for index, readers in pending.items():
            yield from self._interleave(index)
            for row, place in readers:
                yield from _add(index, row, counts[row], place)
                counts[row] += 1
        for row, count in enumerate(counts):
            yield from self._narrow(row, count)

    def _interleave(self, group: int) -> Iterator[str]:
        places = self.taps.groups[group]
        names = ["zeroinitializer"] * TOGETHER
        for index, (row, column) in enumerate(places):
            names[index] = f"%tap.{group}.{index}"
            yield from self._load(names[index], row * self.pitches[0] + column * LANES)
        for pair in range(2):
            left, right = names[2 * pair], names[2 * pair + 1]
            for high in range(2):
                name = f"%pair.{group}.{pair}.{high}"
                yield _shuffle(f"{name}.bytes", "64 x i8", left, right, _unpack(1, high))
                yield f"  {name} = bitcast <64 x i8> {name}.bytes to <32 x i16>"
        for quarter in _QUARTERS:
            half, high = divmod(quarter, 2)
            name = f"%quad.{group}.{quarter}"
            left, right = f"%pair.{group}.0.{half}", f"%pair.{group}.1.{half}"
            yield _shuffle(f"{name}.words", "32 x i16", left, right, _unpack(2, high))
            yield f"  {name} = bitcast <32 x i16> {name}.words to <64 x i8>"

    def _load(self, name: str, offset: int) -> Iterator[str]:
        """Load four columns that lie a stride apart."""
        parts = [name] if self.stride == 1 else [f"{name}.first", f"{name}.second"]
        for index, part in enumerate(parts):
            yield f"  {part}.at = getelementptr i8, ptr %x, i64 {offset + index * BYTES}"
            yield f"  {part} = load <64 x i8>, ptr {part}.at, align 1"
        if self.stride > 1:
            chosen = [column * 2 * LANES + lane for column in range(COLUMNS) for lane in range(LANES)]
            yield _shuffle(name, "64 x i8", f"{name}.first", f"{name}.second", chosen)

    def _narrow(self, row: int, count: int) -> Iterator[str]:
        """Multiply the sums with the ratios, round and store them."""
        end = f"{row}"
        for quarter in _QUARTERS:
            name = f"{end}.{quarter}"
            yield from _quarter(f"%ratio.{name}", "ratio", "float", quarter)
            yield f"  %float.{name} = sitofp <16 x i32> %sum.{name}.{count} to <16 x float>"
            yield f"  %product.{name} = fmul <16 x float> %float.{name}, %ratio.{name}"
            yield f"  %whole.{name} = call <16 x i32> @llvm.lrint.v16i32.v16f32(<16 x float> %product.{name})"
        for half in range(2):
            name, left, right = f"{end}.{half}", f"%whole.{end}.{2 * half}", f"%whole.{end}.{2 * half + 1}"
            packed = f"call <32 x i16> @llvm.x86.avx512.packssdw.512(<16 x i32> {left}, <16 x i32> {right})"
            zero = f"<32 x i16> splat (i16 {self.zero_point})"
            yield f"  %words.{name} = {packed}"
            yield f"  %shifted.{name} = call <32 x i16> @llvm.sadd.sat.v32i16(<32 x i16> %words.{name}, {zero})"
        words = f"<32 x i16> %shifted.{end}.0, <32 x i16> %shifted.{end}.1"
        yield f"  %result.{end} = call <64 x i8> @llvm.x86.avx512.packuswb.512({words})"
        yield f"  %y.{end} = getelementptr i8, ptr %y, i64 {row * self.pitches[1]}"
        yield f"  store <64 x i8> %result.{end}, ptr %y.{end}, align 1"


def _add(group: int, row: int, count: int, use: int) -> Iterator[str]:
    """Add the products of a group to the sums of a row, which have been added to before so many times."""
    for quarter in _QUARTERS:
        name, sums = f"%weights.{row}.{quarter}.{count}", f"%sum.{row}.{quarter}"
        yield from _quarter(f"{name}.words", "w", "i32", use * len(_QUARTERS) + quarter)
        yield f"  {name} = bitcast <16 x i32> {name}.words to <64 x i8>"
        operands = f"<16 x i32> {sums}.{count}, <64 x i8> %quad.{group}.{quarter}, <64 x i8> {name}"
        yield f"  {sums}.{count + 1} = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512({operands})"


def _quarter(name: str, pointer: str, kind: str, index: int) -> Iterator[str]:
    """Load 128 bits, of four channels, into each of four columns."""
    yield f"  {name}.at = getelementptr <4 x {kind}>, ptr %{pointer}, i64 {index}"
    yield f"  {name}.four = load <4 x {kind}>, ptr {name}.at, align 4"
    yield _shuffle(name, f"4 x {kind}", f"{name}.four", "poison", [*range(4)] * COLUMNS)


def _shuffle(name: str, kind: str, left: str, right: str, chosen: list[int]) -> str:
    mask = ", ".join(f"i32 {index}" for index in chosen)
    return f"  {name} = shufflevector <{kind}> {left}, <{kind}> {right}, <{len(chosen)} x i32> <{mask}>"


def _unpack(width: int, high: int) -> list[int]:
    """Return which elements, of so many bytes, an unpacking of the low or the high half of each lane takes."""
    count, lane = BYTES // width, LANES // width
    starts = [column * lane + high * lane // 2 for column in range(COLUMNS)]
    return [side * count + start + index for start in starts for index in range(lane // 2) for side in range(2)]
