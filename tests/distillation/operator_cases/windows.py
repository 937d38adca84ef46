"""Cases of convolutions, pooling and resizing."""

from __future__ import annotations

from tests.distillation.operator_cases.case import Case

_HALF, _ALIGNED = 'coordinate_transformation_mode = "half_pixel"', 'coordinate_transformation_mode = "align_corners"'
_ASYMMETRIC = 'coordinate_transformation_mode = "asymmetric"'


def _window(op: str, *attributes: str) -> list[Case]:
    return [
        Case(f"g (float[1,2,7,6] x) => (float[n,c,h,w] y) {{ y = {op} <{attribute}> (x) }}") for attribute in attributes
    ]


def _conv(x: str, w: str, *attributes: str, op: str = "Conv", bias: int = 4) -> list[Case]:
    rank = x.count(",") + 1
    out = ",".join("nchwd"[:rank])
    return [
        Case(
            f"g (float[{x}] x) => (float[{out}] y) <float[{w}] w, float[{bias}] b> "
            f"{{ y = {op} <{attribute}> (x, w, b) }}"
        )
        for attribute in attributes
    ]


def _resized(x: str, sizes: str, *attributes: str) -> list[Case]:
    rank = x.count(",") + 1
    out = ",".join("nchwd"[:rank])
    return [
        Case(
            f"g (float[{x}] x) => (float[{out}] y) <int64[{rank}] s = {{{sizes}}}> "
            f"{{ y = Resize <{attribute}> (x, , , s) }}"
        )
        for attribute in attributes
    ]


WINDOWS: dict[str, list[Case]] = {
    "AveragePool": [
        *_window(
            "AveragePool",
            "kernel_shape = [2,3]",
            "kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]",
            "kernel_shape = [3,3], strides = [2,2], pads = [1,0,1,2], count_include_pad = 1",
            "kernel_shape = [3,3], strides = [3,3], ceil_mode = 1",
            "kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1], ceil_mode = 1, count_include_pad = 1",
            'kernel_shape = [3,2], strides = [2,2], auto_pad = "SAME_UPPER"',
            'kernel_shape = [2,2], strides = [2,3], auto_pad = "SAME_LOWER"',
            "kernel_shape = [2,2], dilations = [2,3]",
        ),
        Case("g (float[1,2,7] x) => (float[1,2,3] y) { y = AveragePool <kernel_shape = [3], strides = [2]> (x) }"),
        Case("g (float[1,1,4,3,3] x) => (float[1,1,2,2,2] y) { y = AveragePool <kernel_shape = [3,2,2]> (x) }"),
    ],
    "Conv": [
        *_conv(
            "1,2,5,6",
            "4,2,3,3",
            "pads = [1,1,1,1]",
            "strides = [2,1], pads = [0,1,2,1]",
            "dilations = [2,1]",
            'auto_pad = "SAME_UPPER", strides = [2,2]',
            'auto_pad = "SAME_LOWER", strides = [2,3]',
            'auto_pad = "VALID"',
        ),
        *_conv("1,4,5,5", "4,1,3,3", "group = 4"),
        *_conv("1,4,3,3", "6,2,1,1", "group = 2", bias=6),
        *_conv("1,2,7", "4,2,3", "strides = [2], pads = [1,0]"),
        *_conv("1,1,3,4,3", "2,1,2,2,2", "pads = [0,1,0,0,1,1]", bias=2),
        Case("g (float[1,2,4,4] x, float[3,2,2,2] w) => (float[1,3,3,3] y) { y = Conv (x, w) }"),
    ],
    "ConvTranspose": [
        *_conv(
            "1,2,3,4",
            "2,4,3,3",
            "strides = [2,2]",
            "strides = [2,2], pads = [1,0,1,1]",
            "strides = [3,2], output_padding = [2,1]",
            "dilations = [2,1], pads = [1,1,1,1]",
            "strides = [2,2], output_shape = [7,9]",
            'strides = [2,2], auto_pad = "SAME_UPPER"',
            'strides = [2,3], auto_pad = "SAME_LOWER"',
            op="ConvTranspose",
        ),
        *_conv("1,4,3,3", "4,2,2,2", "group = 2, strides = [2,2]", op="ConvTranspose"),
        *_conv("1,2,5", "2,4,3", "strides = [2]", op="ConvTranspose"),
        *_conv("1,1,2,2,3", "1,2,2,2,2", "strides = [2,1,1]", op="ConvTranspose", bias=2),
    ],
    "GlobalAveragePool": [Case("g (float[1,2,3,4] x) => (float[1,2,1,1] y) { y = GlobalAveragePool (x) }")],
    "GlobalMaxPool": [Case("g (float[1,2,3,4] x) => (float[1,2,1,1] y) { y = GlobalMaxPool (x) }")],
    "MaxPool": [
        *_window(
            "MaxPool",
            "kernel_shape = [2,3]",
            "kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]",
            "kernel_shape = [3,3], strides = [2,2], pads = [0,0,1,2]",
            "kernel_shape = [3,3], strides = [3,3], ceil_mode = 1",
            "kernel_shape = [2,2], strides = [2,2], pads = [1,1,0,0], ceil_mode = 1",
            "kernel_shape = [2,2], dilations = [2,3]",
            'kernel_shape = [3,2], strides = [2,2], auto_pad = "SAME_UPPER"',
            'kernel_shape = [2,3], strides = [2,3], auto_pad = "SAME_LOWER"',
        ),
        Case("g (float[1,2,7] x) => (float[1,2,3] y) { y = MaxPool <kernel_shape = [3], strides = [2]> (x) }"),
        Case("g (float[1,1,4,3,3] x) => (float[1,1,2,2,2] y) { y = MaxPool <kernel_shape = [3,2,2]> (x) }"),
    ],
    "Resize": [
        *_resized(
            "1,1,3,4",
            "1,1,6,7",
            f'mode = "nearest", {_ASYMMETRIC}, nearest_mode = "floor"',
            f'mode = "nearest", {_HALF}, nearest_mode = "round_prefer_floor"',
            f'mode = "nearest", {_ALIGNED}, nearest_mode = "ceil"',
            f'mode = "nearest", {_HALF}, nearest_mode = "round_prefer_ceil"',
            f'mode = "linear", {_HALF}',
            f'mode = "linear", {_ALIGNED}',
            f'mode = "linear", {_ASYMMETRIC}',
            'mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"',
            f'mode = "cubic", {_HALF}',
            f'mode = "cubic", {_HALF}, exclude_outside = 1, cubic_coeff_a = -0.5',
        ),
        *_resized("1,1,6,5", "1,1,3,2", f'mode = "linear", {_HALF}', f'mode = "cubic", {_ALIGNED}'),
        Case(
            "g (float[1,1,3,4] x) => (float[1,1,6,8] y) <float[4] s = {1,1,2,2}> "
            '{ y = Resize <mode = "linear"> (x, , s) }'
        ),
        Case(
            "g (float[1,1,4,6] x) => (float[a,b,c,d] y) <int64[2] s = {7,8}> "
            '{ y = Resize <axes = [2,3], keep_aspect_ratio_policy = "not_larger", mode = "linear"> (x, , , s) }'
        ),
        Case(
            "g (float[1,1,3,4] x) => (float[1,1,6,8] y) <float[4] s = {1,1,2,2}> "
            '{ y = Resize <mode = "nearest"> (x, s) }',
            10,
        ),
    ],
    "Upsample": [
        Case(
            f"g (float[1,1,2,3] x) => (float[1,1,4,9] y) <float[4] s = {{1,1,2,3}}> "
            f'{{ y = Upsample <mode = "{mode}"> (x, s) }}',
            9,
        )
        for mode in ("nearest", "linear")
    ],
}
