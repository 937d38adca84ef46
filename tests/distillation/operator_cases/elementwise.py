"""Cases of operators that work number by number."""

from __future__ import annotations

from tests.distillation.operator_cases.case import Case


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


ELEMENTWISE: dict[str, list[Case]] = {
    "Abs": _unary("Abs"),
    "Acos": _bounded("Acos"),
    "Add": _binary("Add"),
    "And": _logical("And"),
    "Asin": _bounded("Asin"),
    "Atan": _unary("Atan"),
    "Ceil": _unary("Ceil"),
    "Celu": _unary("Celu", "<alpha = 0.7>"),
    "Clip": [
        Case("g (float[2,3] x) => (float[2,3] y) <float a = {-0.5}, float b = {0.4}> { y = Clip (x, a, b) }"),
        Case("g (float[2,3] x) => (float[2,3] y) <float b = {0.4}> { y = Clip (x, , b) }"),
        Case("g (float[2,3] x) => (float[2,3] y) { y = Clip <min = -0.5, max = 0.4> (x) }", 9),
    ],
    "Cos": _unary("Cos"),
    "Cosh": _unary("Cosh"),
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
    "Elu": _unary("Elu", "<alpha = 1.5>"),
    "Equal": _compared("Equal"),
    "Erf": _unary("Erf"),
    "Exp": _unary("Exp"),
    "Floor": _unary("Floor"),
    "Gelu": _unary("Gelu", "", '<approximate = "tanh">'),
    "Greater": _compared("Greater"),
    "GreaterOrEqual": _compared("GreaterOrEqual"),
    "HardSigmoid": _unary("HardSigmoid", "<alpha = 0.3, beta = 0.4>"),
    "HardSwish": _unary("HardSwish"),
    "LeakyRelu": _unary("LeakyRelu", "<alpha = 0.2>"),
    "Less": _compared("Less"),
    "LessOrEqual": _compared("LessOrEqual"),
    "Log": _positive("Log"),
    "Max": [Case("g (float[2,3] x, float[3] z, float[2,1] u) => (float[2,3] y) { y = Max (x, z, u) }")],
    "Mean": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Mean (x, z) }")],
    "Min": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Min (x, z) }")],
    "Mish": _unary("Mish"),
    "Mod": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Mod <fmod = 1> (x, z) }")],
    "Mul": _binary("Mul"),
    "Neg": _unary("Neg"),
    "Not": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) { a = Less (x, z) c = Not (a) y = Where (c, x, z) }")],
    "Or": _logical("Or"),
    "PRelu": [Case("g (float[2,3,2] x) => (float[2,3,2] y) <float[3,1] s> { y = PRelu (x, s) }")],
    "Pow": [
        Case("g (float[2,3] x) => (float[2,3] y) <float e = {3}> { y = Pow (x, e) }"),
        Case("g (float[2,3] x) => (float[2,3] y) <int64 e = {2}> { y = Pow (x, e) }"),
    ],
    "Reciprocal": _positive("Reciprocal"),
    "Relu": _unary("Relu"),
    "Round": _unary("Round"),
    "Selu": _unary("Selu"),
    "Sigmoid": _unary("Sigmoid"),
    "Sign": _unary("Sign"),
    "Sin": _unary("Sin"),
    "Sinh": _unary("Sinh"),
    "Softplus": _unary("Softplus"),
    "Softsign": _unary("Softsign"),
    "Sqrt": _positive("Sqrt"),
    "Sub": _binary("Sub"),
    "Sum": [Case("g (float[2,3] x, float[3] z, float[2,1] u) => (float[2,3] y) { y = Sum (x, z, u) }")],
    "Swish": [Case("g (float[2,3] x) => (float[2,3] y) { y = Swish <alpha = 1.5> (x) }", 24)],
    "Tan": _bounded("Tan"),
    "Tanh": _unary("Tanh"),
    "ThresholdedRelu": _unary("ThresholdedRelu", "<alpha = 0.3>"),
    "Where": [Case("g (float[2,3] x, float[3] z) => (float[2,3] y) <bool[3] c = {1,0,1}> { y = Where (c, x, z) }")],
    "Xor": _logical("Xor"),
}
