"""For each operator that PyTorch executes, graphs in ONNX's text form; opset 21 unless a case says another."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A graph; its inputs are of small sizes, since gradients are checked element by element."""

    text: str
    opset: int = 21


def _unary(op: str, *attributes: str) -> list[Case]:
    return [
        Case(f"g (float[2,3] x) => (float[2,3] y) {{ y = {op} {attribute} (x) }}") for attribute in attributes or ("",)
    ]


def _positive(op: str) -> list[Case]:
    return [
        Case(f"g (float[2,3] x) => (float[2,3] y) <float h = {{0.5}}> {{ s = Mul (x, x) p = Add (s, h) y = {op} (p) }}")
    ]


def _bounded(op: str) -> list[Case]:
    return [
        Case(f"g (float[2,3] x) => (float[2,3] y) <float h = {{0.9}}> {{ t = Tanh (x) p = Mul (t, h) y = {op} (p) }}")
    ]


def _binary(op: str) -> list[Case]:
    return [Case(f"g (float[2,3] x, float[3] z) => (float[2,3] y) {{ y = {op} (x, z) }}")]


def _compared(op: str) -> list[Case]:
    """Of a comparison the gradient is that of what it chooses."""
    return [Case(f"g (float[2,3] x, float[3] z) => (float[2,3] y) {{ c = {op} (x, z) y = Where (c, x, z) }}")]


def _logical(op: str) -> list[Case]:
    return [
        Case(
            "g (float[2,3] x, float[3] z) => (float[2,3] y) "
            f"{{ a = Greater (x, z) b = Less (x, z) c = {op} (a, b) y = Where (c, x, z) }}"
        )
    ]


def _reduced(op: str) -> list[Case]:
    return [
        Case(f"g (float[2,3,2] x) => (float[2,1,2] y) <int64[1] a = {{1}}> {{ y = {op} (x, a) }}"),
        Case(f"g (float[2,3,2] x) => (float[3] y) <int64[2] a = {{0,-1}}> {{ y = {op} <keepdims = 0> (x, a) }}"),
        Case(f"g (float[2,3,2] x) => (float[1,1,1] y) {{ y = {op} (x) }}"),
        Case(f"g (float[2,3,2] x) => (float[2,3] y) {{ y = {op} <axes = [2], keepdims = 0> (x) }}", 11),
    ]


def _placed(op: str) -> list[Case]:
    return [
        Case(
            "g (float[2,3] x) => (float[2,1] y) "
            f"{{ i = {op} <axis = 1, select_last_index = {last}> (x) y = GatherElements <axis = 1> (x, i) }}"
        )
        for last in (0, 1)
    ]


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


_HALF, _ALIGNED = 'coordinate_transformation_mode = "half_pixel"', 'coordinate_transformation_mode = "align_corners"'
_ASYMMETRIC = 'coordinate_transformation_mode = "asymmetric"'
_NORM = "<float[3] s, float[3] b, float[3] m, float[3] v = {0.5,1,2}>"

CASES: dict[str, list[Case]] = {
    "Abs": _unary("Abs"),
    "Acos": _bounded("Acos"),
    "Add": _binary("Add"),
    "And": _logical("And"),
    "ArgMax": _placed("ArgMax"),
    "ArgMin": _placed("ArgMin"),
    "Asin": _bounded("Asin"),
    "Atan": _unary("Atan"),
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
    "BatchNormalization": [
        Case(f"g (float[2,3,2,2] x) => (float[2,3,2,2] y) {_NORM} {{ y = BatchNormalization (x, s, b, m, v) }}"),
        Case(
            f"g (float[2,3] x) => (float[2,3] y) {_NORM} {{ y = BatchNormalization <epsilon = 0.1> (x, s, b, m, v) }}",
            9,
        ),
        Case(
            f"g (float[2,3,2,2] x) => (float[2,3,2,2] y, float[3] p, float[3] q) {_NORM} "
            "{ y, p, q = BatchNormalization <training_mode = 1, momentum = 0.7> (x, s, b, m, v) }"
        ),
    ],
    "Cast": [
        Case("g (float[2,3] x) => (float[2,3] y) { d = Cast <to = 11> (x) e = Mul (d, d) y = Cast <to = 1> (e) }")
    ],
    "CastLike": [Case("g (float[2,3] x, double[1] z) => (double[2,3] y) { d = CastLike (x, z) y = Mul (d, d) }")],
    "Ceil": _unary("Ceil"),
    "Celu": _unary("Celu", "<alpha = 0.7>"),
    "Clip": [
        Case("g (float[2,3] x) => (float[2,3] y) <float a = {-0.5}, float b = {0.4}> { y = Clip (x, a, b) }"),
        Case("g (float[2,3] x) => (float[2,3] y) <float b = {0.4}> { y = Clip (x, , b) }"),
        Case("g (float[2,3] x) => (float[2,3] y) { y = Clip <min = -0.5, max = 0.4> (x) }", 9),
    ],
    "Concat": [Case("g (float[2,3] x, float[2,1] z) => (float[2,4] y) { y = Concat <axis = -1> (x, z) }")],
    "ConstantOfShape": [
        Case(
            "g (float[2,3] x) => (float[2,3] y) "
            "{ s = Shape (x) c = ConstantOfShape <value = float[1] {2.5}> (s) y = Mul (x, c) }"
        )
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
    "Cos": _unary("Cos"),
    "Cosh": _unary("Cosh"),
    "DepthToSpace": [
        Case(f'g (float[1,8,2,3] x) => (float[1,2,4,6] y) {{ y = DepthToSpace <blocksize = 2, mode = "{mode}"> (x) }}')
        for mode in ("DCR", "CRD")
    ],
    "Div": [
        Case(
            "g (float[2,3] x, float[3] z) => (float[2,3] y) <float c = {3}> "
            "{ t = Tanh (z) d = Add (t, c) y = Div (x, d) }"
        ),
        Case(
            "g (float[5,5] x) => (float[a,b] y) <int64[2] n = {7,-7}, int64[2] d = {2,2}> "
            "{ e = Div (n, d) z = Sub (d, d) y = Slice (x, z, e) }"
        ),
    ],
    "Dropout": [
        Case("g (float[2,3] x) => (float[2,3] y) <float r = {0.5}> { y = Dropout (x, r) }"),
        Case("g (float[2,3] x) => (float[2,3] y) { y = Dropout <ratio = 0.3> (x) }", 11),
    ],
    "Einsum": [
        Case('g (float[2,3] x, float[3,4] z) => (float[2,4] y) { y = Einsum <equation = "ij,jk->ik"> (x, z) }'),
    ],
    "Elu": _unary("Elu", "<alpha = 1.5>"),
    "Equal": _compared("Equal"),
    "Erf": _unary("Erf"),
    "Exp": _unary("Exp"),
    "Expand": [Case("g (float[2,1] x) => (float[3,2,4] y) <int64[3] s = {3,1,4}> { y = Expand (x, s) }")],
    "Flatten": [
        Case(f"g (float[2,3,2] x) => (float[a,b] y) {{ y = Flatten <axis = {axis}> (x) }}") for axis in (0, 1, -1)
    ],
    "Floor": _unary("Floor"),
    "Gather": [
        Case("g (float[3,4] x) => (float[3,2,2] y) <int64[2,2] i = {0,-1,2,0}> { y = Gather <axis = 1> (x, i) }"),
        Case("g (float[3,4] x) => (float[4] y) <int64 i = {1}> { y = Gather (x, i) }"),
    ],
    "GatherElements": [
        Case("g (float[2,3] x) => (float[2,2] y) <int64[2,2] i = {0,-1,2,0}> { y = GatherElements <axis = 1> (x, i) }")
    ],
    "Gelu": _unary("Gelu", "", '<approximate = "tanh">'),
    "Gemm": [
        Case("g (float[2,3] x) => (float[2,4] y) <float[3,4] w, float[4] b> { y = Gemm (x, w, b) }"),
        Case(
            "g (float[3,2] x) => (float[2,4] y) <float[4,3] w, float[2,1] b> "
            "{ y = Gemm <transA = 1, transB = 1, alpha = 0.5, beta = 2.0> (x, w, b) }"
        ),
        Case("g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = Gemm (x, w) }"),
    ],
    "GlobalAveragePool": [Case("g (float[1,2,3,4] x) => (float[1,2,1,1] y) { y = GlobalAveragePool (x) }")],
    "GlobalMaxPool": [Case("g (float[1,2,3,4] x) => (float[1,2,1,1] y) { y = GlobalMaxPool (x) }")],
    "Greater": _compared("Greater"),
    "GreaterOrEqual": _compared("GreaterOrEqual"),
    "GroupNormalization": [
        Case(
            "g (float[2,4,3] x) => (float[2,4,3] y) <float[4] s, float[4] b> "
            "{ y = GroupNormalization <num_groups = 2> (x, s, b) }"
        ),
        Case(
            "g (float[2,4,3] x) => (float[2,4,3] y) <float[2] s, float[2] b> "
            "{ y = GroupNormalization <num_groups = 2> (x, s, b) }",
            18,
        ),
    ],
    "HardSigmoid": _unary("HardSigmoid", "<alpha = 0.3, beta = 0.4>"),
    "HardSwish": _unary("HardSwish"),
    "Identity": _unary("Identity"),
    "InstanceNormalization": [
        Case(
            "g (float[2,3,4,2] x) => (float[2,3,4,2] y) <float[3] s, float[3] b> "
            "{ y = InstanceNormalization <epsilon = 0.01> (x, s, b) }"
        )
    ],
    "LRN": [
        Case(f"g (float[1,5,2,2] x) => (float[1,5,2,2] y) {{ y = LRN <size = {size}, alpha = 0.5, bias = 2.0> (x) }}")
        for size in (3, 5)
    ],
    "LayerNormalization": [
        Case("g (float[2,3,4] x) => (float[2,3,4] y) <float[4] s, float[4] b> { y = LayerNormalization (x, s, b) }"),
        Case("g (float[2,3,4] x) => (float[2,3,4] y) <float[3,4] s> { y = LayerNormalization <axis = 1> (x, s) }"),
    ],
    "LeakyRelu": _unary("LeakyRelu", "<alpha = 0.2>"),
    "Less": _compared("Less"),
    "LessOrEqual": _compared("LessOrEqual"),
    "Log": _positive("Log"),
    "LogSoftmax": [
        *_unary("LogSoftmax", "", "<axis = 0>"),
        Case("g (float[2,3,2] x) => (float[2,3,2] y) { y = LogSoftmax (x) }", 11),
    ],
    "LpNormalization": _unary("LpNormalization", "<axis = 1>", "<axis = 0, p = 1>"),
    "MatMul": [
        Case("g (float[2,3] x) => (float[2,4] y) <float[3,4] w> { y = MatMul (x, w) }"),
        Case("g (float[2,1,2,3] x, float[2,3,2] z) => (float[2,2,2,2] y) { y = MatMul (x, z) }"),
    ],
    "Max": [Case("g (float[2,3] x, float[3] z, float[2,1] u) => (float[2,3] y) { y = Max (x, z, u) }")],
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
    "Mean": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Mean (x, z) }")],
    "Min": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Min (x, z) }")],
    "Mish": _unary("Mish"),
    "Mod": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Mod <fmod = 1> (x, z) }")],
    "Mul": _binary("Mul"),
    "Neg": _unary("Neg"),
    "Not": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { a = Less (x, z) c = Not (a) y = Where (c, x, z) }")],
    "Or": _logical("Or"),
    "PRelu": [Case("g (float[2,3,2] x) => (float[2,3,2] y) <float[3,1] s> { y = PRelu (x, s) }")],
    "Pad": [
        *(
            Case(
                "g (float[1,2,3,4] x) => (float[a,b,c,d] y) "
                f"<int64[8] p = {{0,0,1,2,0,0,2,{last}}}, float v = {{0.7}}> "
                f'{{ y = Pad <mode = "{mode}"> (x, p, v) }}'
            )
            for mode, last in (("constant", -1), ("reflect", 1), ("edge", 1), ("wrap", 1))
        ),
        Case("g (float[2,3] x) => (float[2,5] y) <int64[2] p = {1,1}, int64[1] a = {-1}> { y = Pad (x, p, , a) }"),
        Case("g (float[2,3] x) => (float[3,5] y) { y = Pad <pads = [1,0,0,2], value = 0.3> (x) }", 10),
    ],
    "Pow": [
        Case("g (float[2,3] x) => (float[2,3] y) <float e = {3}> { y = Pow (x, e) }"),
        Case("g (float[2,3] x) => (float[2,3] y) <int64 e = {2}> { y = Pow (x, e) }"),
    ],
    "RMSNormalization": [
        Case("g (float[2,3,4] x) => (float[2,3,4] y) <float[4] s> { y = RMSNormalization (x, s) }", 23),
    ],
    "Range": [
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float a = {0}, float b = {3}, float c = {1}> "
            "{ r = Range (a, b, c) y = Mul (x, r) }"
        )
    ],
    "Reciprocal": _positive("Reciprocal"),
    "ReduceL1": _reduced("ReduceL1"),
    "ReduceL2": _reduced("ReduceL2"),
    "ReduceLogSum": [
        Case("g (float[2,3] x) => (float[2,1] y) <int64[1] a = {1}> { s = Mul (x, x) y = ReduceLogSum (s, a) }")
    ],
    "ReduceLogSumExp": _reduced("ReduceLogSumExp"),
    "ReduceMax": _reduced("ReduceMax"),
    "ReduceMean": [
        *_reduced("ReduceMean"),
        Case("g (float[2,3] x) => (float[2,3] y) { y = ReduceMean <noop_with_empty_axes = 1> (x) }"),
    ],
    "ReduceMin": _reduced("ReduceMin"),
    "ReduceProd": _reduced("ReduceProd"),
    "ReduceSum": [
        *_reduced("ReduceSum")[:3],
        Case("g (float[2,3,2] x) => (float[2,3] y) { y = ReduceSum <axes = [2], keepdims = 0> (x) }", 11),
    ],
    "ReduceSumSquare": _reduced("ReduceSumSquare"),
    "Relu": _unary("Relu"),
    "Reshape": [
        Case("g (float[2,3,4] x) => (float[2,12] y) <int64[2] s = {0,-1}> { y = Reshape (x, s) }"),
        Case(
            "g (float[2,3,4] x) => (float[4,6] y) "
            "{ s = Shape (x) a = Constant <value_ints = [2]> () d = Gather (s, a) m = Constant <value_ints = [-1]> () "
            "t = Concat <axis = 0> (d, m) y = Reshape (x, t) }"
        ),
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
    "Round": _unary("Round"),
    "Selu": _unary("Selu"),
    "Shape": [
        Case(
            "g (float[2,3] x) => (float[3,2] y) { a = Shape <start = 1> (x) b = Shape <end = 1> (x) "
            "s = Concat <axis = 0> (a, b) y = Reshape (x, s) }"
        )
    ],
    "Sigmoid": _unary("Sigmoid"),
    "Sign": _unary("Sign"),
    "Sin": _unary("Sin"),
    "Sinh": _unary("Sinh"),
    "Size": [
        Case("g (float[2,3] x) => (float[2,3] y) { n = Size (x) f = Cast <to = 1> (n) y = Div (x, f) }"),
    ],
    "Slice": [
        Case(
            "g (float[3,5] x) => (float[2,2] y) "
            "<int64[2] s = {1,-1}, int64[2] e = {9223372036854775807,-9223372036854775807}, "
            "int64[2] a = {0,1}, int64[2] t = {1,-3}> { y = Slice (x, s, e, a, t) }"
        ),
        Case("g (float[3,5] x) => (float[2,5] y) { y = Slice <starts = [-2], ends = [3], axes = [0]> (x) }", 9),
    ],
    "Softmax": [
        *_unary("Softmax", "", "<axis = 0>"),
        Case("g (float[2,3,2] x) => (float[2,3,2] y) { y = Softmax (x) }", 11),
    ],
    "Softplus": _unary("Softplus"),
    "Softsign": _unary("Softsign"),
    "SpaceToDepth": [Case("g (float[1,2,4,6] x) => (float[1,8,2,3] y) { y = SpaceToDepth <blocksize = 2> (x) }")],
    "Split": [
        Case("g (float[5,2] x) => (float[2,2] y, float[3,2] z) <int64[2] s = {2,3}> { y, z = Split (x, s) }"),
        Case("g (float[2,5] x) => (float[2,3] y, float[2,2] z) { y, z = Split <axis = 1, num_outputs = 2> (x) }"),
        Case("g (float[2,4] x) => (float[2,1] y, float[2,3] z) { y, z = Split <axis = 1, split = [1,3]> (x) }", 11),
    ],
    "Sqrt": _positive("Sqrt"),
    "Squeeze": [
        Case("g (float[1,3,1] x) => (float[3,1] y) <int64[1] a = {0}> { y = Squeeze (x, a) }"),
        Case("g (float[1,3,1] x) => (float[3] y) { y = Squeeze (x) }"),
        Case("g (float[1,3,1] x) => (float[1,3] y) { y = Squeeze <axes = [-1]> (x) }", 11),
    ],
    "Sub": _binary("Sub"),
    "Sum": [Case("g (float[2,3] x, float[3] z, float[2,1] u) => (float[2,3] y) { y = Sum (x, z, u) }")],
    "Swish": [Case("g (float[2,3] x) => (float[2,3] y) { y = Swish <alpha = 1.5> (x) }", 24)],
    "Tan": _bounded("Tan"),
    "Tanh": _unary("Tanh"),
    "ThresholdedRelu": _unary("ThresholdedRelu", "<alpha = 0.3>"),
    "Tile": [Case("g (float[2,3] x) => (float[4,3] y) <int64[2] r = {2,1}> { y = Tile (x, r) }")],
    "Transpose": [
        Case("g (float[2,3,4] x) => (float[4,2,3] y) { y = Transpose <perm = [2,0,1]> (x) }"),
        Case("g (float[2,3,4] x) => (float[4,3,2] y) { y = Transpose (x) }"),
    ],
    "Unsqueeze": [
        Case("g (float[3,2] x) => (float[1,3,2,1] y) <int64[2] a = {-1,0}> { y = Unsqueeze (x, a) }"),
        Case("g (float[3,2] x) => (float[3,1,2] y) { y = Unsqueeze <axes = [1]> (x) }", 11),
    ],
    "Upsample": [
        Case(
            f"g (float[1,1,2,3] x) => (float[1,1,4,9] y) <float[4] s = {{1,1,2,3}}> "
            f'{{ y = Upsample <mode = "{mode}"> (x, s) }}',
            9,
        )
        for mode in ("nearest", "linear")
    ],
    "Where": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) <bool[3] c = {1,0,1}> { y = Where (c, x, z) }")],
    "Xor": _logical("Xor"),
}

QUANTIZED: dict[str, list[Case]] = {
    "QuantizeLinear": [
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float s = {0.1}, uint8 z = {100}> "
            "{ q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }"
        ),
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float[3] s = {0.1,0.02,0.3}, int8[3] z = {0,5,-3}> "
            "{ q = QuantizeLinear <axis = 1> (x, s, z) y = DequantizeLinear <axis = 1> (q, s, z) }"
        ),
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float s = {0.01}> "
            "{ q = QuantizeLinear (x, s) y = DequantizeLinear (q, s) }"
        ),
        Case(
            "g (float[2,4] x) => (float[2,4] y) <float[2,2] s = {0.1,0.02,0.3,0.04}, int8[2,2] z = {0,1,2,3}> "
            "{ q = QuantizeLinear <axis = 1, block_size = 2> (x, s, z) "
            "y = DequantizeLinear <axis = 1, block_size = 2> (q, s, z) }"
        ),
    ],
    "DequantizeLinear": [
        Case(
            "g (float[2,3] x) => (float[2,4] y) "
            "<int8[3,4] q = {1,2,3,4,5,-6,-7,-8,9,10,127,-128}, float[4] s = {0.1,0.2,0.3,0.4}> "
            "{ w = DequantizeLinear <axis = 1> (q, s) y = MatMul (x, w) }"
        ),
    ],
}
"""Rounding has no gradient but the one that is put in its place, so finite differences say nothing."""
