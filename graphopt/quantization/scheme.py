"""Which integers a model is to use, and in which form: `x64{weights=int4 per-channel=false}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np

from graphopt.errors import TargetError
from graphopt.nearest import did_you_mean
from graphopt.pipeline.options import OptionError, build, format_options
from graphopt.quantization.forms import FORMS, Form
from graphopt.spec import Spec, SpecError, parse_spec

_FLOAT = "float32"


@dataclass(frozen=True)
class Scheme:
    """A way to quantize; `str` is a text that `parse_scheme` reads back.

    Attributes:
        form: a key of `FORMS`: who is to take the model.
        activations: the type of activations; `float32` leaves them, and quantizes weights alone.
        weights: the type of weights, whose zero point is 0.
        symmetric: whether the zero point of activations is the middle of their type.
        per_channel: whether each output channel of a weight has its own scale.
        power_of_two: whether every scale is one, as fixed-point arithmetic asks.
        avoid_saturation: whether sums of two neighbouring products must stay in int16, as VPMADDUBSW keeps them, which
            onnxruntime uses on processors without VNNI.

    """

    form: Literal["x64", "tensorrt", "graphopt"] = "x64"
    activations: Literal["uint8", "int8", "uint16", "int16", "float32"] = "uint8"
    weights: Literal["int8", "int4", "int16"] = "int8"
    symmetric: bool = False
    per_channel: bool = True
    power_of_two: bool = False
    avoid_saturation: bool = False

    @property
    def facts(self) -> Form:
        """Return what the form can do."""
        return FORMS[self.form]

    @property
    def weights_only(self) -> bool:
        """Whether activations stay float32."""
        return self.activations == _FLOAT

    @property
    def activation_dtype(self) -> np.dtype[np.generic]:
        """Return the integers of activations."""
        return np.dtype(self.activations)

    @property
    def weight_dtype(self) -> np.dtype[np.generic]:
        """Return the integers of weights."""
        return np.dtype(getattr(ml_dtypes, self.weights, self.weights))

    @property
    def opset(self) -> int:
        """Return the first opset with these types and scales a channel (DequantizeLinear-13 and -21)."""
        return 13 if {self.activations, self.weights} <= {"uint8", "int8", _FLOAT} else 21

    def __str__(self) -> str:
        mine = format_options(self)
        return next((name for name, scheme in SCHEMES.items() if scheme == self), str(Spec("x64", mine)))


SCHEMES = {
    "x64": Scheme(),
    "x64-avx2": Scheme(avoid_saturation=True),
    "x64-pow2": Scheme(power_of_two=True),
    "x64-int16": Scheme(activations="uint16"),
    "tensorrt": Scheme(form="tensorrt", activations="int8", symmetric=True),
    "graphopt": Scheme(form="graphopt"),
    "weights-int8": Scheme(activations="float32"),
    "weights-int4": Scheme(activations="float32", weights="int4"),
}
"""By name; options change one: `x64{symmetric=true}`."""


def parse_scheme(text: str) -> Scheme:
    """Read a scheme: the name of one, and options that change it.

    Raises:
        TargetError: another text.

    """
    try:
        spec = parse_spec(text)
    except SpecError as error:
        raise TargetError(f"cannot read scheme: {error}; write for example x64 or x64{{symmetric=true}}") from error
    if spec.name not in SCHEMES:
        hint = did_you_mean(spec.name, SCHEMES)
        raise TargetError(f"unknown scheme {spec.name!r}{hint}; there are {', '.join(SCHEMES)}")
    try:
        return build(Scheme, Spec(spec.name, {**format_options(SCHEMES[spec.name]), **spec.options}), "scheme")
    except OptionError as error:
        raise TargetError(str(error)) from error
