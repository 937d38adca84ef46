"""Cases of operators that move numbers, choose among them, or tell shapes."""

from __future__ import annotations

from tests.distillation.operator_cases.case import Case


def _unary(op: str, *attributes: str) -> list[Case]:
    return [
        Case(f"g (float[2,3] x) => (float[2,3] y) {{ y = {op} {attribute} (x) }}") for attribute in attributes or ("",)
    ]


MOVEMENT: dict[str, list[Case]] = {
    "Cast": [
        Case("g (float[2,3] x) => (float[2,3] y) { d = Cast <to = 11> (x) e = Mul (d, d) y = Cast <to = 1> (e) }")
    ],
    "CastLike": [Case("g (float[2,3] x, double[1] z) => (double[2,3] y) { d = CastLike (x, z) y = Mul (d, d) }")],
    "Concat": [Case("g (float[2,3] x, float[2,1] z) => (float[2,4] y) { y = Concat <axis = -1> (x, z) }")],
    "ConstantOfShape": [
        Case(
            "g (float[2,3] x) => (float[2,3] y) "
            "{ s = Shape (x) c = ConstantOfShape <value = float[1] {2.5}> (s) y = Mul (x, c) }"
        )
    ],
    "DepthToSpace": [
        Case(f'g (float[1,8,2,3] x) => (float[1,2,4,6] y) {{ y = DepthToSpace <blocksize = 2, mode = "{mode}"> (x) }}')
        for mode in ("DCR", "CRD")
    ],
    "Dropout": [
        Case("g (float[2,3] x) => (float[2,3] y) <float r = {0.5}> { y = Dropout (x, r) }"),
        Case("g (float[2,3] x) => (float[2,3] y) { y = Dropout <ratio = 0.3> (x) }", 11),
    ],
    "Expand": [Case("g (float[2,1] x) => (float[3,2,4] y) <int64[3] s = {3,1,4}> { y = Expand (x, s) }")],
    "Flatten": [
        Case(f"g (float[2,3,2] x) => (float[a,b] y) {{ y = Flatten <axis = {axis}> (x) }}") for axis in (0, 1, -1)
    ],
    "Gather": [
        Case("g (float[3,4] x) => (float[3,2,2] y) <int64[2,2] i = {0,-1,2,0}> { y = Gather <axis = 1> (x, i) }"),
        Case("g (float[3,4] x) => (float[4] y) <int64 i = {1}> { y = Gather (x, i) }"),
    ],
    "GatherElements": [
        Case("g (float[2,3] x) => (float[2,2] y) <int64[2,2] i = {0,-1,2,0}> { y = GatherElements <axis = 1> (x, i) }")
    ],
    "Identity": _unary("Identity"),
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
    "Range": [
        Case(
            "g (float[2,3] x) => (float[2,3] y) <float a = {0}, float b = {3}, float c = {1}> "
            "{ r = Range (a, b, c) y = Mul (x, r) }"
        )
    ],
    "Reshape": [
        Case("g (float[2,3,4] x) => (float[2,12] y) <int64[2] s = {0,-1}> { y = Reshape (x, s) }"),
        Case(
            "g (float[2,3,4] x) => (float[4,6] y) "
            "{ s = Shape (x) a = Constant <value_ints = [2]> () d = Gather (s, a) m = Constant <value_ints = [-1]> () "
            "t = Concat <axis = 0> (d, m) y = Reshape (x, t) }"
        ),
    ],
    "Shape": [
        Case(
            "g (float[2,3] x) => (float[3,2] y) { a = Shape <start = 1> (x) b = Shape <end = 1> (x) "
            "s = Concat <axis = 0> (a, b) y = Reshape (x, s) }"
        )
    ],
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
    "SpaceToDepth": [Case("g (float[1,2,4,6] x) => (float[1,8,2,3] y) { y = SpaceToDepth <blocksize = 2> (x) }")],
    "Split": [
        Case("g (float[5,2] x) => (float[2,2] y, float[3,2] z) <int64[2] s = {2,3}> { y, z = Split (x, s) }"),
        Case("g (float[2,5] x) => (float[2,3] y, float[2,2] z) { y, z = Split <axis = 1, num_outputs = 2> (x) }"),
        Case("g (float[2,4] x) => (float[2,1] y, float[2,3] z) { y, z = Split <axis = 1, split = [1,3]> (x) }", 11),
    ],
    "Squeeze": [
        Case("g (float[1,3,1] x) => (float[3,1] y) <int64[1] a = {0}> { y = Squeeze (x, a) }"),
        Case("g (float[1,3,1] x) => (float[3] y) { y = Squeeze (x) }"),
        Case("g (float[1,3,1] x) => (float[1,3] y) { y = Squeeze <axes = [-1]> (x) }", 11),
    ],
    "Tile": [Case("g (float[2,3] x) => (float[4,3] y) <int64[2] r = {2,1}> { y = Tile (x, r) }")],
    "Transpose": [
        Case("g (float[2,3,4] x) => (float[4,2,3] y) { y = Transpose <perm = [2,0,1]> (x) }"),
        Case("g (float[2,3,4] x) => (float[4,3,2] y) { y = Transpose (x) }"),
    ],
    "Unsqueeze": [
        Case("g (float[3,2] x) => (float[1,3,2,1] y) <int64[2] a = {-1,0}> { y = Unsqueeze (x, a) }"),
        Case("g (float[3,2] x) => (float[3,1,2] y) { y = Unsqueeze <axes = [1]> (x) }", 11),
    ],
}
