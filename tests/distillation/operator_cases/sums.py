"""Cases of operators that sum over axes: products of matrices, reductions, normalizations, softmax."""

from __future__ import annotations

from tests.distillation.operator_cases.case import Case

_NORM = "<float[3] s, float[3] b, float[3] m, float[3] v = {0.5,1,2}>"


def _unary(op: str, *attributes: str) -> list[Case]:
    return [
        Case(f"g (float[2,3] x) => (float[2,3] y) {{ y = {op} {attribute} (x) }}") for attribute in attributes or ("",)
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


SUMS: dict[str, list[Case]] = {
    "ArgMax": _placed("ArgMax"),
    "ArgMin": _placed("ArgMin"),
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
    "Einsum": [
        Case('g (float[2,3] x, float[3,4] z) => (float[2,4] y) { y = Einsum <equation = "ij,jk->ik"> (x, z) }'),
    ],
    "Gemm": [
        Case("g (float[2,3] x) => (float[2,4] y) <float[3,4] w, float[4] b> { y = Gemm (x, w, b) }"),
        Case(
            "g (float[3,2] x) => (float[2,4] y) <float[4,3] w, float[2,1] b> "
            "{ y = Gemm <transA = 1, transB = 1, alpha = 0.5, beta = 2.0> (x, w, b) }"
        ),
        Case("g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = Gemm (x, w) }"),
    ],
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
    "LogSoftmax": [
        *_unary("LogSoftmax", "", "<axis = 0>"),
        Case("g (float[2,3,2] x) => (float[2,3,2] y) { y = LogSoftmax (x) }", 11),
    ],
    "LpNormalization": _unary("LpNormalization", "<axis = 1>", "<axis = 0, p = 1>"),
    "MatMul": [
        Case("g (float[2,3] x) => (float[2,4] y) <float[3,4] w> { y = MatMul (x, w) }"),
        Case("g (float[2,1,2,3] x, float[2,3,2] z) => (float[2,2,2,2] y) { y = MatMul (x, z) }"),
    ],
    "RMSNormalization": [
        Case("g (float[2,3,4] x) => (float[2,3,4] y) <float[4] s> { y = RMSNormalization (x, s) }", 23),
    ],
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
    "Softmax": [
        *_unary("Softmax", "", "<axis = 0>"),
        Case("g (float[2,3,2] x) => (float[2,3,2] y) { y = Softmax (x) }", 11),
    ],
}
