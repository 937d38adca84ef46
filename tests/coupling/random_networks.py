"""Random networks whose channels are free to leave: every way to make, join, part, move and end them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st

SIDE = 6
BATCH = 2
WIDEST = 12
LONGEST = 8


class Map(NamedTuple):
    """A feature map [BATCH, channels, SIDE, SIDE]."""

    name: str
    channels: int


@dataclass
class Network:
    """A network under construction, in ONNX's text form."""

    draw: st.DrawFn
    lines: list[str] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)
    maps: list[Map] = field(default_factory=list)
    read: set[str] = field(default_factory=set)

    def pick(self, *options: object) -> object:
        return self.draw(st.sampled_from(options))

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def weight(self, *shape: int) -> str:
        """Declare a constant with seeded content."""
        return self._declare(f"float{list(shape)} #")

    def vector(self, *shape: int) -> str:
        """Declare a constant, or take one that is there: several readers may share it."""
        known = [name for name, text in self.constants.items() if text == f"float{list(shape)} {name}"]
        return self.draw(st.sampled_from(known)) if known and self.draw(st.booleans()) else self.weight(*shape)

    def integers(self, *numbers: int) -> str:
        content = f"int64[{len(numbers)}] # = {{{', '.join(map(str, numbers))}}}"
        known = [name for name, text in self.constants.items() if text == content.replace("#", name)]
        return known[0] if known else self._declare(content)

    def numbers(self, *numbers: float) -> str:
        return self._declare(f"float[{len(numbers)}] # = {{{', '.join(map(str, numbers))}}}")

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """Add a node; return its output, or the first of several, which are numbered from 0."""
        made = f"v{len(self.lines)}"
        self.read.update(inputs)
        names = made if outputs == 1 else ", ".join(f"{made}_{number}" for number in range(outputs))
        written = ", ".join(f"{key}={value}" for key, value in attributes.items())
        self.lines.append(f"{names} = {op_type} {f'<{written}>' if written else ''} ({', '.join(inputs)})")
        return made

    def _declare(self, text: str) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = text.replace("#", name)
        return name


Step = Callable[[Network, Map], list[Map]]


def conv(net: Network, x: Map) -> list[Map]:
    groups = net.number(1, 2) if x.channels % 2 == 0 else 1
    made, side = net.number(1, 4) * groups, net.pick(1, 3)
    inputs = [x.name, net.weight(made, x.channels // groups, side, side)]
    inputs += [net.vector(made)] if net.draw(st.booleans()) else []
    return [Map(net.op("Conv", *inputs, group=groups, pads=[side // 2] * 4), made)]


def depthwise(net: Network, x: Map) -> list[Map]:
    factor = net.number(1, 2)
    made = x.channels * factor
    weight, bias = net.weight(made, 1, 3, 3), net.vector(made)
    return [Map(net.op("Conv", x.name, weight, bias, group=x.channels, pads=[1] * 4), made)]


def transposed(net: Network, x: Map) -> list[Map]:
    groups = net.pick(1, 1, 2, x.channels) if x.channels % 2 == 0 else net.pick(1, x.channels)
    width = net.number(1, 3)
    weight, bias = net.weight(x.channels, width, 3, 3), net.vector(width * groups)
    return [Map(net.op("ConvTranspose", x.name, weight, bias, group=groups, pads=[1] * 4), width * groups)]


def normalization(net: Network, x: Map) -> list[Map]:
    scale, bias, mean, variance = (net.vector(x.channels) for _ in range(4))
    if net.draw(st.booleans()):
        return [Map(net.op("InstanceNormalization", x.name, scale, bias), x.channels)]
    positive = net.op("Abs", variance)
    return [Map(net.op("BatchNormalization", x.name, scale, bias, mean, positive), x.channels)]


def elementwise(net: Network, x: Map) -> list[Map]:
    kind = net.pick("Relu", "Sigmoid", "HardSwish", "Add", "Mul", "PRelu", "Sub", "Max")
    if kind in ("Relu", "Sigmoid", "HardSwish"):
        return [Map(net.op(kind, x.name), x.channels)]
    shape = net.pick((x.channels, 1, 1), (1, x.channels, 1, 1), (1, 1, 1), (x.channels, SIDE, SIDE))
    return [Map(net.op(kind, x.name, net.vector(*shape)), x.channels)]


def merge(net: Network, x: Map) -> list[Map]:
    other = net.draw(st.sampled_from([y for y in net.maps if y.channels in (x.channels, 1)]))
    return [Map(net.op(net.pick("Add", "Mul", "Min"), x.name, other.name), x.channels)]


def concat(net: Network, x: Map) -> list[Map]:
    other = net.draw(st.sampled_from(net.maps))
    return [Map(net.op("Concat", x.name, other.name, axis=net.pick(1, -3)), x.channels + other.channels)]


def split(net: Network, x: Map) -> list[Map]:
    if x.channels < 2:
        return []
    if x.channels % 2 == 0 and net.draw(st.booleans()):
        first, inputs = x.channels // 2, [x.name]
    else:
        first = net.number(1, x.channels - 1)
        inputs = [x.name, net.integers(first, x.channels - first)]
    made = net.op("Split", *inputs, outputs=2, axis=1)
    return [Map(f"{made}_0", first), Map(f"{made}_1", x.channels - first)]


def slice_(net: Network, x: Map) -> list[Map]:
    first = net.number(0, x.channels - 1)
    last = net.number(first + 1, x.channels)
    bounds = net.pick(
        (first, last), (first - x.channels, last), (first, last - x.channels if last < x.channels else 99)
    )
    starts, ends = (net.integers(bound) for bound in bounds)
    return [Map(net.op("Slice", x.name, starts, ends, net.integers(1)), last - first)]


def gather(net: Network, x: Map) -> list[Map]:
    chosen = net.draw(st.lists(st.integers(-x.channels, x.channels - 1), min_size=1, max_size=4))
    return [Map(net.op("Gather", x.name, net.integers(*chosen), axis=1), len(chosen))]


def pad(net: Network, x: Map) -> list[Map]:
    begin, end = net.number(0, 2), net.number(0, 2)
    return [Map(net.op("Pad", x.name, net.integers(0, begin, 0, 0, 0, end, 0, 0)), x.channels + begin + end)]


def shuffle(net: Network, x: Map) -> list[Map]:
    if x.channels % 2:
        return []
    parted = net.op("Reshape", x.name, net.integers(0, 2, net.pick(x.channels // 2, -1), SIDE, SIDE))
    turned = net.op("Transpose", parted, perm=[0, 2, 1, 3, 4])
    return [Map(net.op("Reshape", turned, net.integers(BATCH, x.channels, SIDE, SIDE)), x.channels)]


def channels_last(net: Network, x: Map) -> list[Map]:
    last = net.op("Transpose", x.name, perm=[0, 2, 3, 1])
    last, made = net.op("Mul", last, net.vector(x.channels)), x.channels
    if net.draw(st.booleans()):
        made = net.number(1, 4)
        last = net.op("MatMul", last, net.weight(x.channels, made))
    if net.draw(st.booleans()):
        last = net.op(net.pick("Softmax", "Softplus"), last)
    return [Map(net.op("Transpose", last, perm=[0, 3, 1, 2]), made)]


def squeeze_and_excite(net: Network, x: Map) -> list[Map]:
    pooled = net.op("GlobalAveragePool", x.name)
    if net.draw(st.booleans()):
        small = net.op("Relu", net.op("Conv", pooled, net.weight(3, x.channels, 1, 1), net.vector(3)))
        wide = net.op("Conv", small, net.weight(x.channels, 3, 1, 1), net.vector(x.channels))
    else:
        small = net.op("Gemm", net.op("Flatten", pooled), net.weight(3, x.channels), net.vector(3), transB=1, alpha=0.5)
        flat = net.op("Gemm", net.op("Relu", small), net.weight(3, x.channels), net.vector(1, x.channels))
        wide = net.op("Unsqueeze", flat, net.integers(2, -1))
    return [Map(net.op("Mul", x.name, net.op("Sigmoid", wide)), x.channels)]


def attention(net: Network, x: Map) -> list[Map]:
    """Attend with one head or two over the positions of the map."""
    heads, width = net.number(1, 2), net.number(1, 3)
    tokens = net.op("Transpose", net.op("Reshape", x.name, net.integers(0, x.channels, SIDE * SIDE)), perm=[0, 2, 1])

    def project(order: list[int]) -> str:
        whole = net.op(
            "Add", net.op("MatMul", tokens, net.weight(x.channels, heads * width)), net.vector(heads * width)
        )
        parted = net.op("Reshape", whole, net.integers(0, 0, heads, width))
        return net.op("Transpose", parted, perm=order)

    query, key, value = project([0, 2, 1, 3]), project([0, 2, 3, 1]), project([0, 2, 1, 3])
    mixed = net.op("MatMul", net.op("Softmax", net.op("MatMul", query, key), axis=-1), value)
    joined = net.op("Reshape", net.op("Transpose", mixed, perm=[0, 1, 3, 2]), net.integers(0, -1, SIDE, SIDE))
    return [Map(joined, heads * width)]


def reduction(net: Network, x: Map) -> list[Map]:
    kind = net.pick("ReduceMean", "ReduceMax", "ReduceL2")
    if net.draw(st.booleans()):
        mean = net.op(kind, x.name, axes=[2, 3])
        return [Map(net.op("Mul", x.name, mean), x.channels)]
    if net.draw(st.booleans()):
        return [Map(net.op("ReduceSum", x.name, net.integers(1)), 1)]
    return [Map(net.op(kind, x.name, axes=[1]), 1)]


def resize(net: Network, x: Map) -> list[Map]:
    if net.draw(st.booleans()):
        inputs = [x.name, "", net.numbers(1, 1, 2, 2)]
    else:
        inputs = [x.name, "", "", net.integers(BATCH, x.channels, 2 * SIDE, 2 * SIDE)]
    large = net.op("Resize", *inputs, mode='"nearest"')
    return [Map(net.op(net.pick("MaxPool", "AveragePool"), large, kernel_shape=[2, 2], strides=[2, 2]), x.channels)]


def depth_and_space(net: Network, x: Map) -> list[Map]:
    mode = net.pick('"DCR"', '"CRD"')
    deep = net.op("SpaceToDepth", x.name, blocksize=2)
    if net.draw(st.booleans()):
        deep = net.op("Mul", deep, net.vector(4 * x.channels, 1, 1))
    return [Map(net.op("DepthToSpace", deep, blocksize=2, mode=mode), x.channels)]


def expand(net: Network, x: Map) -> list[Map]:
    pooled = net.op("GlobalMaxPool", x.name)
    shape = net.integers(net.pick(1, BATCH), net.pick(1, x.channels), SIDE, SIDE)
    return [Map(net.op("Expand", pooled, shape), x.channels)]


def over_channels(net: Network, x: Map) -> list[Map]:
    if net.draw(st.booleans()):
        return [Map(net.op("Softmax", x.name, axis=1), x.channels)]
    return [Map(net.op("LRN", x.name, size=3), x.channels)]


STEPS: tuple[Step, ...] = (
    *[conv] * 4, *[elementwise] * 2, *[merge] * 2, *[concat] * 2, attention, channels_last, depth_and_space, depthwise,
    expand, gather, normalization, over_channels, pad, reduction, resize, shuffle, slice_, split, squeeze_and_excite,
    transposed,
)  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> str:
    """Draw a network; what nothing reads ends in a convolution or a Gemm, whose result is an output."""
    net = Network(draw)
    net.maps += conv(net, Map("x", 3))
    for _ in range(draw(st.integers(1, LONGEST))):
        narrow = [y for y in net.maps if y.channels <= WIDEST]
        net.maps += draw(st.sampled_from(STEPS))(
            net, narrow[-1] if draw(st.booleans()) else draw(st.sampled_from(narrow))
        )
    outputs = []
    for x in [x for x in net.maps if x.name not in net.read]:
        if draw(st.booleans()):
            outputs.append((net.op("Conv", x.name, net.weight(2, x.channels, 1, 1)), f"{BATCH},2,{SIDE},{SIDE}"))
        else:
            size = x.channels * SIDE * SIDE
            outputs.append((net.op("Gemm", net.op("Flatten", x.name), net.weight(size, 2)), f"{BATCH},2"))
    declared = ", ".join(f"float[{shape}] {name}" for name, shape in outputs)
    lines = "\n  ".join(net.lines)
    return (
        f"g (float[{BATCH},3,{SIDE},{SIDE}] x) => ({declared})\n"
        f"<{', '.join(net.constants.values())}>\n{{\n  {lines}\n}}"
    )
