"""A program under the interface of `onnxruntime.InferenceSession`: existing code changes its import and the path.

    from graphopt import InferenceSession  # was: from onnxruntime import InferenceSession

    session = InferenceSession("model.gopt", providers=["CPUExecutionProvider"])
    logits, = session.run(None, {session.get_inputs()[0].name: image})

It has what code that runs a model asks for (https://onnxruntime.ai/docs/api/python/api_summary.html). What a program
decided when it was compiled, threads and optimizations, no session decides again: options and providers are taken,
and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from graphopt.errors import ModelError, RunError
from graphopt.runtime.forms import is_program
from graphopt.runtime.module import CompiledModule
from graphopt.tensors import Array, TensorSpec

_ELEMENTS = {"float32": "float", "float64": "double", "object": "string"}
"""Element types whose names at onnxruntime are not numpy's."""


@dataclass(frozen=True)
class NodeArg:
    """An input or output.

    Attributes:
        type: as in `tensor(float)`.
        shape: a number a fixed dimension, a text a symbolic one, None one that is unknown; empty, too, where not even
            the rank is known.

    """

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True)
class ModelMetadata:
    """What the model says of itself, as `InferenceSession.get_modelmeta` returns it."""

    producer_name: str
    graph_name: str
    custom_metadata_map: dict[str, str]


class InferenceSession:
    """A program that `graphopt compile` or `CompiledModule.save` wrote."""

    def __init__(
        self,
        path_or_bytes: str | PathLike[str],
        sess_options: object = None,  # noqa: ARG002  # onnxruntime's signature
        providers: Sequence[object] | None = None,  # noqa: ARG002  # likewise
        provider_options: Sequence[object] | None = None,  # noqa: ARG002  # likewise
    ) -> None:
        """Load a program.

        Raises:
            ModelError: it is none, but a model or bytes; or it is damaged.
            TargetError: this machine cannot run it.

        """
        if not isinstance(path_or_bytes, str | PathLike):
            raise ModelError("a session needs the path of a program, which it maps; write the bytes to a file first")
        path = Path(path_or_bytes)
        if path.suffix == ".onnx" and not is_program(path):
            raise ModelError(
                f"{str(path)!r} is a model; compile it first: graphopt compile {path} -o {path.with_suffix('.gopt')}"
            )
        self._module = CompiledModule(path)

    def get_inputs(self) -> list[NodeArg]:
        """Return the inputs in the model's order."""
        return [_node_arg(spec) for spec in self._module.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """Return the outputs in the model's order."""
        return [_node_arg(spec) for spec in self._module.outputs]

    def get_providers(self) -> list[str]:
        """Return what runs the program, by onnxruntime's name for it: the processor."""
        return ["CPUExecutionProvider"]

    def get_modelmeta(self) -> ModelMetadata:
        """Return what the model said of itself."""
        said = self._module.provenance
        return ModelMetadata(said.producer, said.graph, dict(said.metadata))

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, object],
        run_options: object = None,  # noqa: ARG002  # onnxruntime's signature
    ) -> list[Array]:
        """Run on arrays by input name; return the outputs of some names in their order, or all in the model's.

        Raises:
            RunError: there is no such output; a wrong name, dtype or shape of an input.

        """
        known = [spec.name for spec in self._module.outputs]
        names = list(output_names or known)
        if unknown := [name for name in names if name not in known]:
            raise RunError(f"the model has no output {unknown[0]!r}; it has {', '.join(known)}")
        outputs = self._module.run(input_feed)
        return [outputs[name] for name in names]


def _node_arg(spec: TensorSpec) -> NodeArg:
    element = _ELEMENTS.get(spec.dtype, spec.dtype.replace("_", ""))
    return NodeArg(spec.name, f"tensor({element})", list(spec.shape or ()))
