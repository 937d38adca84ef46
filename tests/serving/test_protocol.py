"""The Open Inference Protocol: what a client may say, what it may not, and what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from graphopt.errors import ServingError
from graphopt.serving.limits import Limits
from graphopt.serving.repository import ModelRepository
from tests.serving.programs import Echo, Rows, question, serving, talk

INFER = "/v2/models/m/infer"
HEADER = "Inference-Header-Content-Length"
BODY = 2000
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BF16": "bfloat16",
    "BYTES": "object",
}
X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
ASKED = question(X)
TENSOR = ASKED["inputs"][0]


@pytest.fixture(scope="module")
def rows() -> Iterator[ModelRepository]:
    with serving(Rows(), body=BODY) as repository:
        yield repository


def get(repository: ModelRepository, path: str) -> httpx.Response:
    return talk(repository, lambda client: client.get(path))


def post(repository: ModelRepository, request: Any, path: str = INFER, **headers: str) -> httpx.Response:
    content = request if isinstance(request, bytes) else json.dumps(request).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return talk(repository, lambda client: client.post(path, content=content, headers=named))


def framed(said: dict[str, Any], *tensors: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a body with binary tensors, and the header that goes with it."""
    text = json.dumps(said).encode()
    return text + b"".join(tensors), {HEADER.replace("-", "_"): str(len(text))}


def binary(x: np.ndarray[Any, Any], datatype: str, **more: Any) -> tuple[bytes, dict[str, str]]:
    data = x.tobytes()
    tensor = {"name": "x", "shape": x.shape, "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
    return framed({"inputs": [tensor], **more}, data)


def test_the_server_describes_itself(rows: ModelRepository) -> None:
    said = get(rows, "/v2").json()
    assert said["name"] == "graphopt"
    assert said["version"]
    assert "binary_tensor_data" in said["extensions"]


def test_a_server_that_runs_is_live_and_ready(rows: ModelRepository) -> None:
    assert get(rows, "/v2/health/live").json() == {"live": True}
    assert get(rows, "/v2/health/ready").json() == {"ready": True}
    assert get(rows, "/v2/models/m/ready").json() == {"name": "m", "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/m", "/v2/models/m/versions/1"])
def test_a_model_describes_itself(rows: ModelRepository, path: str) -> None:
    assert get(rows, path).json() == {
        "name": "m",
        "versions": ["1"],
        "platform": "graphopt",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "total", "datatype": "FP32", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize("data", [X, [1, 2, 3, 4, 5, 6], [1e0, 2.0, 3, 4.0, 5, 6.0]])
def test_data_are_nested_or_flat(rows: ModelRepository, data: list[Any]) -> None:
    answer = post(rows, {"id": "42", "inputs": [TENSOR | {"data": data}]})
    assert answer.status_code == 200
    assert answer.json() == {
        "id": "42",
        "model_name": "m",
        "model_version": "1",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [2, 3], "data": [2, 4, 6, 8, 10, 12]},
            {"name": "total", "datatype": "FP32", "shape": [2], "data": [6, 15]},
        ],
    }


def test_without_an_id_none_is_said(rows: ModelRepository) -> None:
    assert "id" not in post(rows, ASKED, "/v2/models/m/versions/1/infer").json()


def test_outputs_come_in_the_order_that_they_are_asked_for_in(rows: ModelRepository) -> None:
    said = post(rows, ASKED | {"outputs": [{"name": "total"}, {"name": "y"}]}).json()
    assert [tensor["name"] for tensor in said["outputs"]] == ["total", "y"]
    assert [t["name"] for t in post(rows, ASKED | {"outputs": [{"name": "total"}]}).json()["outputs"]] == ["total"]
    assert len(post(rows, ASKED | {"outputs": []}).json()["outputs"]) == 2


def test_tensors_go_in_and_out_as_bytes(rows: ModelRepository) -> None:
    x = np.array(X, np.float32)
    body, headers = binary(x, "FP32", parameters={"binary_data_output": True})
    answer = post(rows, body, **headers)
    length = int(answer.headers[HEADER])
    said = json.loads(answer.content[:length])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert [tensor["parameters"]["binary_data_size"] for tensor in said["outputs"]] == [24, 8]
    assert answer.content[length:] == (2 * x).tobytes() + x.sum(1).tobytes()


def test_each_output_says_whether_it_comes_as_bytes(rows: ModelRepository) -> None:
    outputs = [{"name": "y", "parameters": {"binary_data": False}}, {"name": "total"}]
    answer = post(rows, ASKED | {"parameters": {"binary_data_output": True}, "outputs": outputs})
    said = json.loads(answer.content[: int(answer.headers[HEADER])])
    assert "data" in said["outputs"][0]
    assert said["outputs"][1]["parameters"] == {"binary_data_size": 8}


@pytest.mark.parametrize("datatype", DATATYPES)
@settings(max_examples=20)
@given(data=st.data())
def test_every_datatype_comes_back_as_it_was(datatype: str, data: st.DataObject) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16) if datatype == "BF16" else np.dtype(DATATYPES[datatype])
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    if datatype == "BYTES":
        x = data.draw(arrays.arrays(object, shape, elements=st.text(max_size=4)))
    elif datatype == "BF16":
        x = data.draw(arrays.arrays(np.float32, shape, elements=st.integers(-100, 100))).astype(dtype)
    else:
        finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
        x = data.draw(arrays.arrays(dtype, shape, elements=finite or None))
    with serving(Echo(DATATYPES[datatype], None)) as repository:
        tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": x.tolist() if x.ndim else [x.item()]}
        in_json = post(repository, {"inputs": [tensor]}).json()["outputs"][0]
        got = np.array(in_json["data"], np.float32 if datatype == "BF16" else dtype).astype(dtype)
        assert (in_json["datatype"], in_json["shape"]) == (datatype, list(shape))
        np.testing.assert_array_equal(got, x.reshape(-1))

        content = _bytes(x)
        tensor = {"name": "x", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(content)}}
        body, headers = framed({"inputs": [tensor], "parameters": {"binary_data_output": True}}, content)
        answer = post(repository, body, **headers)
        assert answer.content[int(answer.headers[HEADER]) :] == content


def _bytes(x: np.ndarray[Any, Any]) -> bytes:
    if x.dtype != object:
        return x.tobytes()
    texts = [text.encode() for text in x.reshape(-1)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def test_numbers_that_json_has_not_are_null_and_bytes_have_them() -> None:
    x = np.array([np.nan, np.inf, 1], np.float32)
    with serving(Echo("float32", None)) as repository:
        body, headers = binary(x, "FP32")
        assert post(repository, body, **headers).json()["outputs"][0]["data"] == [None, None, 1]
        body, headers = binary(x, "FP32", parameters={"binary_data_output": True})
        assert post(repository, body, **headers).content.endswith(x.tobytes())


BAD: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "no inference request"),
    "no JSON": (b"hello", "no inference request"),
    "no UTF-8": (b'{"inputs": [], "id": "\xff"}', "no inference request"),
    "NaN": (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [NaN]}]}', "no inference request"),
    "a list": ([], "no inference request"),
    "no inputs": ({}, "inputs"),
    "an id that is a number": (ASKED | {"id": 1}, "id"),
    "no shape": ({"inputs": [{"name": "x", "datatype": "FP32", "data": [1]}]}, "shape"),
    "a negative size": ({"inputs": [TENSOR | {"shape": [-1, 3]}]}, "shape"),
    "a fractional size": ({"inputs": [TENSOR | {"shape": [1.5, 3]}]}, "shape"),
    "a missing input": ({"inputs": []}, "input 'x' is missing"),
    "an unknown input": ({"inputs": [TENSOR | {"name": "z"}]}, "no input 'z'"),
    "an input twice": ({"inputs": [TENSOR, TENSOR]}, "given twice"),
    "an unknown datatype": ({"inputs": [TENSOR | {"datatype": "FP8"}]}, "the model takes FP32"),
    "another datatype": ({"inputs": [TENSOR | {"datatype": "INT64"}]}, "the model takes FP32"),
    "too few elements": ({"inputs": [TENSOR | {"data": [1, 2, 3]}]}, "3 elements"),
    "too many elements": ({"inputs": [TENSOR | {"data": [1] * 7}]}, "7 elements"),
    "uneven rows": ({"inputs": [TENSOR | {"data": [[1, 2, 3], [4]]}]}, "no FP32"),
    "other rows": ({"inputs": [TENSOR | {"data": [[1, 2], [3, 4], [5, 6]]}]}, "nested as [3, 2]"),
    "too deep": ({"inputs": [TENSOR | {"data": [[[1, 2, 3]], [[4, 5, 6]]]}]}, "no FP32"),
    "text for numbers": ({"inputs": [TENSOR | {"data": ["1"] * 6}]}, "no FP32"),
    "truth for numbers": ({"inputs": [TENSOR | {"data": [True] * 6}]}, "no FP32"),
    "null for numbers": ({"inputs": [TENSOR | {"data": [None] * 6}]}, "no FP32"),
    "no list": ({"inputs": [TENSOR | {"data": 1}]}, "no FP32"),
    "no data": ({"inputs": [{key: TENSOR[key] for key in ("name", "shape", "datatype")}]}, "neither data nor"),
    "data and bytes": ({"inputs": [TENSOR | {"parameters": {"binary_data_size": 0}}]}, "both data and"),
    "a shape of the wrong rank": ({"inputs": [TENSOR | {"shape": [6], "data": [1] * 6}]}, "1 dimension"),
    "a shape of the wrong size": ({"inputs": [TENSOR | {"shape": [3, 2], "data": [1] * 6}]}, "must be 3"),
    "many dimensions": ({"inputs": [TENSOR | {"shape": [1] * 99, "data": [1]}]}, "99 dimensions"),
    "a huge shape": ({"inputs": [TENSOR | {"shape": [2**40, 2**40], "data": [1]}]}, "1 elements"),
    "an empty huge shape": ({"inputs": [TENSOR | {"shape": [2**62, 2**62, 0], "data": []}]}, "shape"),
    "an unknown output": (ASKED | {"outputs": [{"name": "z"}]}, "no output 'z'"),
    "an output twice": (ASKED | {"outputs": [{"name": "y"}, {"name": "y"}]}, "asked for twice"),
    "a flag that is none": (ASKED | {"parameters": {"binary_data_output": 1}}, "true or false"),
    "a timeout that is none": (ASKED | {"parameters": {"timeout": "soon"}}, "microseconds"),
    "deep nesting": (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", "no inference request"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_told_what_is_bad(rows: ModelRepository, case: str) -> None:
    request, sentence = BAD[case]
    answer = post(rows, request)
    assert answer.status_code == 400, answer.text
    assert sentence in answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert post(rows, ASKED).status_code == 200


def test_what_the_program_refuses_is_a_bad_request(rows: ModelRepository) -> None:
    body, headers = binary(np.full((1, 3), np.nan, np.float32), "FP32")
    answer = post(rows, body, **headers)
    assert (answer.status_code, answer.json()) == (400, {"error": "a sample is not a number"})


X_BYTES = np.array(X, np.float32).tobytes()


@pytest.mark.parametrize(
    ("size", "content", "header", "sentence"),
    [
        (24, X_BYTES[:-1], None, "23 bytes are left"),
        (24, X_BYTES + b"!", None, "1 bytes more"),
        (20, X_BYTES[:20], None, "has 20 bytes"),
        (-1, X_BYTES, None, "binary_data_size"),
        ("24", X_BYTES, None, "binary_data_size"),
        (True, b"!", None, "binary_data_size"),
        (24, X_BYTES, "-1", "Content-Length is '-1'"),
        (24, X_BYTES, "99999", "Content-Length is '99999'"),
        (24, X_BYTES, "1.5", "Content-Length is '1.5'"),
        (24, X_BYTES, "10", "no inference request"),
    ],
)
def test_bad_bytes_are_told_what_is_bad(
    rows: ModelRepository, size: Any, content: bytes, header: str | None, sentence: str
) -> None:
    tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    body, headers = framed({"inputs": [tensor]}, content)
    if header is not None:
        headers = dict.fromkeys(headers, header)
    answer = post(rows, body, **headers)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("dtype", "datatype", "content", "sentence"),
    [
        ("bool", "BOOL", b"\x02", "other than 0 and 1"),
        ("object", "BYTES", b"\x01\x00\x00", "within a string"),
        ("object", "BYTES", b"\x02\x00\x00\x00a", "within a string"),
        ("object", "BYTES", b"\x01\x00\x00\x00\xff", "not UTF-8"),
        ("object", "BYTES", b"\x00\x00\x00\x00" * 2, "2 strings"),
    ],
)
def test_bytes_that_are_no_elements_are_refused(dtype: str, datatype: str, content: bytes, sentence: str) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": len(content)}}
    body, headers = framed({"inputs": [tensor]}, content)
    with serving(Echo(dtype, None)) as repository:
        answer = post(repository, body, **headers)
    assert (answer.status_code, sentence in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(("datatype", "value"), [("UINT8", 256), ("UINT8", -1), ("INT64", 2**63), ("INT32", 0.5)])
def test_numbers_out_of_range_are_refused(datatype: str, value: float) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": datatype, "data": [value]}
    with serving(Echo(DATATYPES[datatype], None)) as repository:
        assert post(repository, {"inputs": [tensor]}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/m/versions/2/infer", 404),
        ("GET", "/v2/models/m/versions/2", 404),
        ("GET", "/v3", 404),
        ("GET", INFER, 405),
        ("POST", "/v2", 405),
    ],
)
def test_what_is_not_there_is_an_error_in_json(rows: ModelRepository, method: str, path: str, status: int) -> None:
    answer = talk(rows, lambda client: client.request(method, path))
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_large_body_is_refused_with_and_without_its_length(rows: ModelRepository) -> None:
    async def pieces() -> Any:
        for _ in range(30):
            yield b" " * 100

    assert post(rows, b" " * (BODY + 1)).status_code == 413
    answer = talk(rows, lambda client: client.post(INFER, content=pieces()))
    assert (answer.status_code, "larger than 2000" in answer.json()["error"]) == (413, True)


def test_a_body_that_takes_too_long_is_refused_and_gives_its_place_back() -> None:
    async def dripping() -> Any:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    with serving(Rows(), queue=1, upload=0.05) as repository:
        answer = talk(repository, lambda client: client.post(INFER, content=dripping()))
        assert (answer.status_code, "did not arrive" in answer.json()["error"]) == (408, True)
        assert post(repository, ASKED).status_code == 200


def test_a_compressed_body_is_refused(rows: ModelRepository) -> None:
    assert post(rows, ASKED, content_encoding="gzip").status_code == 415


def test_a_bug_of_ours_is_an_error_in_json_and_hits_one_request() -> None:
    class Broken(Rows):
        def run(self, feeds: Any) -> Any:
            if (feeds["x"] == 7).any():
                raise ZeroDivisionError
            return super().run(feeds)

    with serving(Broken()) as repository:
        answer = post(repository, question([[7, 7, 7]]))
        assert (answer.status_code, "error" in answer.json()) == (500, True)
        assert post(repository, ASKED).status_code == 200


def test_requests_are_counted_by_model_and_status(rows: ModelRepository) -> None:
    with serving(Rows()) as repository:
        post(repository, ASKED)
        post(repository, ASKED)
        post(repository, {})
        post(repository, ASKED, "/v2/models/other/infer")
        text = get(repository, "/metrics").text
    assert 'graphopt_requests_total{model="m",status="200"} 2.0' in text
    assert 'graphopt_requests_total{model="m",status="400"} 1.0' in text
    assert 'graphopt_requests_total{model="",status="404"} 1.0' in text
    assert 'graphopt_request_seconds_count{model="m"} 2.0' in text
    assert 'graphopt_queue_requests{model="m"} 0.0' in text
    assert 'graphopt_batch_samples_bucket{le="2.0",model="m"} 3.0' in text


@pytest.mark.parametrize(
    ("name", "dtype", "sentence"),
    [("a/b", "float32", "cannot stand in an address"), ("m", "int4", "no datatype for")],
)
def test_what_the_protocol_cannot_say_is_not_served(name: str, dtype: str, sentence: str) -> None:
    with pytest.raises(ServingError, match=sentence):
        ModelRepository({name: Echo(dtype, (1,))}, Limits())
