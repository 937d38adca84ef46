"""Loading: every kind of source, and every kind of broken or hostile file, each ending in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from graphopt.backends.ort.reference import evaluate
from graphopt.errors import ModelError
from graphopt.ir.load import load
from graphopt.ir.save import save

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def tiny(**changes: object) -> onnx.ModelProto:
    """A MatMul by a 2×3 initializer; `changes` replace the parts of the graph."""
    parts: dict[str, object] = {
        "nodes": [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "inputs": [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        "outputs": [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        "initializers": [numpy_helper.from_array(WEIGHT, "w")],
        "opsets": [helper.make_opsetid("", 17)],
        "functions": [],
    } | changes
    graph = helper.make_graph(parts["nodes"], "tiny", parts["inputs"], parts["outputs"], parts["initializers"])
    return helper.make_model(graph, ir_version=9, opset_imports=parts["opsets"], functions=parts["functions"])


def value(name: str, *dims: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def external(location: str, *, offset: int = 0, length: int | None = None) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    entries = {"location": location, "offset": str(offset)} | ({} if length is None else {"length": str(length)})
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


def test_every_source_gives_the_same_model(tmp_path: Path) -> None:
    proto = tiny()
    path = tmp_path / "tiny.onnx"
    path.write_bytes(proto.SerializeToString())
    for source in (path, str(path), path.read_bytes(), proto, ir.from_proto(proto)):
        model = load(source)
        assert [node.op_type for node in model.graph] == ["MatMul"]
        assert np.array_equal(model.graph.initializers["w"].const_value.numpy(), WEIGHT)


def test_the_callers_model_stays_untouched() -> None:
    proto, mine = tiny(), ir.from_proto(tiny())
    before = proto.SerializeToString()
    load(proto).graph.initializers.clear()
    loaded = load(mine, shapes={"x": [5, 2]})
    loaded.graph[0].name = "renamed"
    assert proto.SerializeToString() == before
    assert mine.graph[0].name == "product"
    assert str(mine.graph.inputs[0].shape) == "[N,2]"


def test_inline_tensors_do_not_copy() -> None:
    tensor = load(tiny()).graph.initializers["w"].const_value
    assert tensor.numpy() is tensor.numpy()


def test_initializers_listed_as_inputs_are_constants_unless_kept() -> None:
    proto = tiny(inputs=[value("x", "N", 2), value("w", 2, 3)])
    assert [item.name for item in load(proto).graph.inputs] == ["x"]
    assert [item.name for item in load(proto, overridable_initializers=True).graph.inputs] == ["x", "w"]


def test_shapes_are_bound_at_load() -> None:
    assert str(load(tiny(), shapes={"x": [4, 2]}).graph.outputs[0].shape) == "[4,3]"


@pytest.mark.parametrize("dim", ["?", -1, "", None])
def test_ways_to_write_an_unknown_dimension(dim: int | str | None) -> None:
    model = load(tiny(inputs=[value("x", dim, 2)]))
    assert model.graph.inputs[0].shape == ir.Shape([None, 2])


def test_sparse_constants_become_dense() -> None:
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([7.0], np.float32), "w"), numpy_helper.from_array(np.array([[1, 2]])), [2, 3]
    )
    as_node = tiny(
        nodes=[
            helper.make_node("Constant", [], ["w"], sparse_value=sparse),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        initializers=[],
    )
    as_initializer = tiny(initializers=[])
    as_initializer.graph.sparse_initializer.append(sparse)
    expected = np.zeros((2, 3), np.float32)
    expected[1, 2] = 7
    assert np.array_equal(load(as_node).graph[0].attributes["value"].as_tensor().numpy(), expected)
    assert np.array_equal(load(as_initializer).graph.initializers["w"].const_value.numpy(), expected)


def test_the_domain_ai_onnx_may_be_spelled_out() -> None:
    assert load(tiny(opsets=[helper.make_opsetid("ai.onnx", 17)])).opset_imports == {"": 17}


def test_a_newer_ir_version_steps_down_to_what_onnxruntime_reads() -> None:
    newer = tiny()
    newer.ir_version = 14
    model = load(newer)
    assert model.ir_version == 13
    assert evaluate(model, {"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[3, 5, 7]]
    assert load(tiny()).ir_version == 9


@pytest.mark.parametrize("where", ["input", "initializer"])
def test_what_only_the_newest_ir_version_has_is_refused(where: str) -> None:
    newer = tiny()
    newer.ir_version = 14
    if where == "input":
        newer.graph.input[0].type.tensor_type.elem_type = 27  # FLOAT6E2M3
    else:
        newer.graph.initializer[0].data_type = 27
    with pytest.raises(ModelError, match="has the element type 27, which cannot be run"):
        load(newer)


def test_external_data_are_mapped_not_read(tmp_path: Path) -> None:
    save(
        load(
            tiny(
                initializers=[numpy_helper.from_array(np.ones((2, 300), np.float32), "w")],
                outputs=[value("y", "N", 300)],
            )
        ),
        tmp_path / "m.onnx",
        external_data=True,
    )
    tensor = load(tmp_path / "m.onnx").graph.initializers["w"].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    assert tensor.raw is None
    assert np.array_equal(tensor.numpy(), np.ones((2, 300)))


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is no model\n", "is text"),
    "html": (b"<!DOCTYPE html><html></html>", "is text"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "zip": (b"PK\x03\x04" + bytes(64), "zip archive"),
    "pickle": (b"\x80\x02}q\x00.", "pickle"),
    "gzip": (b"\x1f\x8b" + bytes(64), "gzip"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(64), "TensorFlow Lite"),
    "ort": (b"\x1c\x00\x00\x00ORTM" + bytes(64), "onnxruntime"),
    "noise": (bytes(range(255, 0, -1)) * 4, "truncated or damaged"),
    "truncated": (tiny().SerializeToString()[:-20], "truncated or damaged"),
    "truncated early": (tiny().SerializeToString()[:60], "truncated or damaged"),
    "another protobuf": (numpy_helper.from_array(WEIGHT, "w").SerializeToString(), "no ONNX model|damaged"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_model(case: str, tmp_path: Path) -> None:
    data, sentence = FILES[case]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=sentence) as caught:
        load(path)
    assert_one_sentence(caught.value)
    assert "model.onnx" in str(caught.value)
    assert path.read_bytes() == data


def bad_dims(*dims: int, data: bytes = b"") -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)


def node(*arguments: object, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(*arguments, **attributes)


MODELS: dict[str, tuple[dict[str, object], str]] = {
    "no opset": ({"opsets": []}, "imports no operator set|opset"),
    "opset that never was": ({"opsets": [helper.make_opsetid("", 0)]}, "version 0 of .ai.onnx.; export"),
    "opset too new": ({"opsets": [helper.make_opsetid("", 999)]}, "opset 999, outside"),
    "unknown operator": ({"nodes": [node("Matmul", ["x", "w"], ["y"])]}, "Matmul .*unknown to opset 17"),
    "operator newer than its opset": ({"nodes": [node("Gelu", ["x"], ["y"])]}, "Gelu .*unknown to opset 17"),
    "deprecated operator": ({"nodes": [node("Upsample", ["x", "w"], ["y"])]}, "deprecated in opset 17"),
    "domain without import": ({"nodes": [node("F", ["x"], ["y"], domain="own")]}, "not imported"),
    "unknown domain": (
        {
            "nodes": [node("F", ["x"], ["y"], domain="own")],
            "opsets": [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        },
        "unknown domain 'own'",
    ),
    "too few inputs": ({"nodes": [node("MatMul", ["x"], ["y"])]}, "1 inputs where its operator takes 2"),
    "missing attribute": ({"nodes": [node("Concat", ["x", "w"], ["y"])]}, "required attribute 'axis'"),
    "unknown attribute": ({"nodes": [node("MatMul", ["x", "w"], ["y"], alpha=1.0)]}, "attribute 'alpha', unknown"),
    "mistyped attribute": ({"nodes": [node("Concat", ["x", "w"], ["y"], axis=1.0)]}, "type FLOAT, not INT"),
    "cycle": ({"nodes": [node("Add", ["x", "b"], ["a"]), node("Add", ["a", "w"], ["b"]), node("Relu", ["a"], ["y"])]},
              "cycle through nodes Add .*Add"),
    "self cycle": ({"nodes": [node("Add", ["x", "y"], ["y"])]}, "cycle through nodes Add"),
    "wrong order": ({"nodes": [node("Relu", ["a"], ["y"]), node("Relu", ["x"], ["a"])]}, "before .*sort the nodes"),
    "duplicate output": ({"nodes": [node("Relu", ["x"], ["y"]), node("Relu", ["x"], ["y"])]}, "'y' is defined twice"),
    "duplicate initializer": (
        {"initializers": [numpy_helper.from_array(WEIGHT, "w")] * 2}, "'w' is defined twice"),
    "duplicate input": ({"inputs": [value("x", "N", 2)] * 2}, "'x' is defined twice"),
    "output named as an input": ({"nodes": [node("Relu", ["x"], ["x"])], "outputs": [value("x", "N", 2)]}, "twice"),
    "dangling input": ({"nodes": [node("MatMul", ["x", "nowhere"], ["y"])]}, "reads 'nowhere', which nothing defines"),
    "dangling output": ({"outputs": [value("z", 1)]}, "produces its output 'z'"),
    "negative dimension": ({"inputs": [value("x", -7, 2)]}, "size -7"),
    "huge declared dimensions": ({"inputs": [value("x", 2**62, 2**62)]}, "larger than any memory"),
    "huge initializer without data": ({"initializers": [bad_dims(2**40, 2**40)]}, "larger than any memory"),
    "initializer with a negative size": ({"initializers": [bad_dims(-2, 3)]}, "impossible shape"),
    "initializer without data": ({"initializers": [TensorProto(name="w", data_type=1, dims=[2, 3])]}, "no data"),
    "initializer of another size": ({"initializers": [bad_dims(2, 3, data=bytes(20))]}, "needs 24 bytes and holds 20"),
    "initializer declared otherwise": (
        {"inputs": [value("x", "N", 2), value("w", 3, 3)]}, r"declared \[3,3\] and holds \[2,3\]"),
    "initializer without a type": ({"initializers": [TensorProto(name="w", dims=[2, 3], raw_data=bytes(24))]}, "w"),
    "recursive function": (
        {
            "nodes": [node("F", ["x"], ["y"], domain="own")],
            "opsets": [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
            "functions": [helper.make_function(
                "own", "F", ["a"], ["b"], [node("F", ["a"], ["b"], domain="own")], [helper.make_opsetid("own", 1)])],
        },
        "'F' calls itself",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_models_that_are_invalid(case: str) -> None:
    changes, sentence = MODELS[case]
    with pytest.raises(ModelError, match=sentence) as caught:
        load(tiny(**changes))
    assert_one_sentence(caught.value)


def test_ir_version_beyond_the_installed_onnx() -> None:
    proto = tiny()
    proto.ir_version = 999
    with pytest.raises(ModelError, match="IR version 999"):
        load(proto)


@pytest.mark.parametrize("dims", [(0, 2), (0, 0)])
def test_zero_sized_tensors_are_valid(dims: tuple[int, int]) -> None:
    load(tiny(inputs=[value("x", *dims)], initializers=[bad_dims(dims[1], 3, data=bytes(dims[1] * 12))]))


def test_nan_weights_are_valid() -> None:
    weights = np.full((2, 3), np.nan, np.float32)
    assert np.isnan(load(tiny(initializers=[numpy_helper.from_array(weights, "w")])).graph.initializers["w"]
                    .const_value.numpy()).all()  # fmt: skip


def no_file(_: Path) -> TensorProto:
    return external("missing.bin")


def short_file(folder: Path) -> TensorProto:
    (folder / "w.bin").write_bytes(bytes(20))
    return external("w.bin")


def offset_beyond(folder: Path) -> TensorProto:
    (folder / "w.bin").write_bytes(bytes(64))
    return external("w.bin", offset=48)


def wrong_length(folder: Path) -> TensorProto:
    (folder / "w.bin").write_bytes(bytes(64))
    return external("w.bin", length=12)


def parent_folder(folder: Path) -> TensorProto:
    (folder.parent / "w.bin").write_bytes(bytes(24))
    return external("../w.bin")


def absolute_path(folder: Path) -> TensorProto:
    (folder / "w.bin").write_bytes(bytes(24))
    return external(str(folder / "w.bin"))


def symbolic_link(folder: Path) -> TensorProto:
    (folder.parent / "secret.bin").write_bytes(bytes(24))
    (folder / "w.bin").symlink_to(folder.parent / "secret.bin")
    return external("w.bin")


def hard_link(folder: Path) -> TensorProto:
    (folder.parent / "secret.bin").write_bytes(bytes(24))
    os.link(folder.parent / "secret.bin", folder / "w.bin")
    return external("w.bin")


def directory(folder: Path) -> TensorProto:
    (folder / "w.bin").mkdir()
    return external("w.bin")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (no_file, "'missing.bin' of tensor 'w' is missing"),
        (short_file, "has 20 bytes, short of the 24"),
        (offset_beyond, "has 64 bytes, short of the 72"),
        (wrong_length, "has 12 bytes where"),
        (parent_folder, "outside of"),
        (absolute_path, "outside of"),
        (symbolic_link, "outside of"),
        (hard_link, "hard link"),
        (directory, "is missing"),
    ],
)
def test_external_data_that_are_broken_or_hostile(
    make: Callable[[Path], TensorProto], sentence: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "m.onnx"
    path.write_bytes(tiny(initializers=[make(folder)]).SerializeToString())
    with pytest.raises(ModelError, match=sentence) as caught:
        load(path)
    assert_one_sentence(caught.value)


def test_external_data_need_a_folder() -> None:
    with pytest.raises(ModelError, match="load the model from its path"):
        load(tiny(initializers=[external("w.bin")]))


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        load(tmp_path)


def assert_one_sentence(error: ModelError) -> None:
    text = str(error)
    assert "\n" not in text
    assert ";" in text, "the mend follows the semicolon"
