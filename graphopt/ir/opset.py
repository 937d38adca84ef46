"""Moving a model to another version of `ai.onnx`, by ONNX's own version converter."""

from __future__ import annotations

import onnx
import onnx.helper
import onnx_ir as ir
from onnx import version_converter

from graphopt.errors import ModelError
from graphopt.ir.load import from_proto
from graphopt.ir.operators import NEWEST_OPSET, OLDEST_OPSET
from graphopt.ir.skeleton import restore_weights, skeleton
from graphopt.ir.verify import verify


def convert_opset(model: ir.Model, version: int) -> ir.Model:
    """Return the model at `version` of `ai.onnx`; the given one is left alone.

    Inputs and outputs keep their names and order. Larger initializers are set aside meanwhile, so that
    models beyond 2 GB convert too. A model that has the version already is returned as a copy.

    Raises:
        ModelError: a version that onnx does not know, or an operator or function that its converter cannot
            carry over.

    """
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise ModelError(f"opset {version} is outside of {OLDEST_OPSET} to {NEWEST_OPSET}; choose one of these")
    current = model.opset_imports.get("")
    if current in (None, version):
        return model.clone()
    if model.functions:
        names = ", ".join(sorted(function.name for function in model.functions.values()))
        raise ModelError(f"a model with functions ({names}) cannot change its opset; inline them first")
    try:
        proto = version_converter.convert_version(ir.to_proto(skeleton(model)), version)
    except (RuntimeError, version_converter.ConvertError) as error:
        reason = " ".join(str(error).split()).rpartition("` failed: ")[2].rstrip(".")  # without its source line
        raise ModelError(f"opset {current} does not convert to {version} ({reason}); export the model anew") from error
    return _completed(proto, model)


def _completed(proto: onnx.ModelProto, original: ir.Model) -> ir.Model:
    """Give a converted skeleton what the converter does not carry: weights, order of inputs, metadata."""
    model = from_proto(proto, None)
    restore_weights(model, original)
    oldest = onnx.helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
    model.ir_version = max(model.ir_version, original.ir_version, oldest)
    model.metadata_props.update(original.metadata_props)
    verify(model)
    for ours, theirs in ((model.graph.inputs, original.graph.inputs), (model.graph.outputs, original.graph.outputs)):
        if [value.name for value in ours] != [value.name for value in theirs]:
            raise ModelError("the version converter of onnx changed the model's inputs or outputs; export it anew")
    return model
