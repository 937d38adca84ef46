"""Which integers a model is to use, and in which form: `x64{weights=int4 per-channel=false}`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from graphopt.errors import TargetError
from graphopt.quantization.forms import FORMS, Form
from graphopt.spec import Spec, SpecError, parse_spec

_FLOAT = "float32"
_ACTIVATIONS = ("uint8", "int8", "uint16", "int16", _FLOAT)
_WEIGHTS = ("int8", "int4", "int16")
_BOOLS = {"true": True, "false": False}


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

    """

    form: str = "x64"
    activations: str = "uint8"
    weights: str = "int8"
    symmetric: bool = False
    per_channel: bool = True
    power_of_two: bool = False

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
        name, base = max(SCHEMES.items(), key=lambda item: _agreement(self, item[1]))
        return str(Spec(name, {key: text for key, text in _texts(self).items() if text != _texts(base)[key]}))


SCHEMES = {
    "x64": Scheme(),
    "x64-pow2": Scheme(power_of_two=True),
    "x64-int16": Scheme(activations="uint16"),
    "tensorrt": Scheme(form="tensorrt", activations="int8", symmetric=True),
    "graphopt": Scheme(form="graphopt"),
    "weights-int8": Scheme(activations=_FLOAT),
    "weights-int4": Scheme(activations=_FLOAT, weights="int4"),
}
"""By name; options change one: `x64{symmetric=true}`."""

_CHOICES: Mapping[str, Iterable[str]] = {
    "form": FORMS,
    "activations": _ACTIVATIONS,
    "weights": _WEIGHTS,
    "symmetric": _BOOLS,
    "per-channel": _BOOLS,
    "power-of-two": _BOOLS,
}


def parse_scheme(text: str) -> Scheme:
    """Read a scheme: the name of one, and options that change it.

    Raises:
        TargetError: another text.

    """
    try:
        spec = parse_spec(text)
    except SpecError as error:
        raise TargetError(f"cannot read scheme: {error}; write for example x64 or x64{{weights=int4}}") from error
    if spec.name not in SCHEMES:
        raise TargetError(f"unknown scheme {spec.name!r}{_suggest(spec.name, SCHEMES)}; there are {', '.join(SCHEMES)}")
    changes: dict[str, str | bool] = {}
    for option, value in spec.options.items():
        if option not in _CHOICES:
            known = f"{_suggest(option, _CHOICES)}; it has {', '.join(_CHOICES)}"
            raise TargetError(f"scheme {spec.name!r} has no option {option!r}{known}")
        if value not in _CHOICES[option]:
            raise TargetError(f"option {option}={value} of a scheme must be {'|'.join(_CHOICES[option])}")
        changes[option.replace("-", "_")] = _BOOLS.get(value, value)
    return dataclasses.replace(SCHEMES[spec.name], **changes)  # type: ignore[arg-type]  # checked above, by name


def _texts(scheme: Scheme) -> dict[str, str]:
    fields = ((field.name.replace("_", "-"), getattr(scheme, field.name)) for field in dataclasses.fields(scheme))
    return {name: str(value).lower() for name, value in fields}


def _agreement(scheme: Scheme, other: Scheme) -> int:
    mine, theirs = _texts(scheme), _texts(other)
    return sum(mine[name] == theirs[name] for name in mine)


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
