"""Tensors of other libraries as inputs, and outputs as theirs, without a copy of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphopt
from graphopt.errors import RunError
from graphopt.runtime import feeds
from graphopt.tensors import Array
from tests.networks import network

torch = pytest.importorskip("torch")
SHAPE = 1, 3, 8, 8


@pytest.fixture(scope="module")
def module() -> graphopt.CompiledModule:
    return graphopt.compile(network(), cache=False)


class Elsewhere:
    """A tensor of a device that is not here, or that lends nothing."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def __dlpack_device__(self) -> tuple[int, int]:
        if isinstance(self._device, Exception):
            raise self._device
        return self._device, 0

    def __dlpack__(self, **_: object) -> object:
        raise AssertionError("asked for what it said it has not")


def test_a_tensor_is_read_where_it_lies(module: graphopt.CompiledModule) -> None:
    seen: list[Array] = []
    (calls,) = module._calls

    def watched(arrays: Sequence[Array]) -> Sequence[Array]:
        seen.extend(arrays)
        return original(arrays)

    original, calls[0] = calls[0], watched
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    try:
        found = module(x)["y"]
        by_name = module.run({"x": x})["y"]
    finally:
        calls[0] = original
    assert [array.ctypes.data for array in seen] == [x.data_ptr()] * 2
    np.testing.assert_array_equal(found, module(x.numpy().copy())["y"])
    np.testing.assert_array_equal(found, by_name)


def test_what_the_executor_reads_is_the_tensor_itself(module: graphopt.CompiledModule) -> None:
    """TVM takes memory that is aligned, as PyTorch's is, without staging it."""
    from graphopt.backends.tvm.executor import _is_readable

    x = torch.zeros(SHAPE)
    assert _is_readable(feeds.check(module.inputs, {"x": x})["x"])


def test_a_numpy_array_is_taken_as_it_is(module: graphopt.CompiledModule) -> None:
    x = np.zeros(SHAPE, np.float32)
    assert feeds.check(module.inputs, feeds.bind(module.inputs, (x,)))["x"] is x


def test_an_output_becomes_a_tensor_without_a_copy(module: graphopt.CompiledModule) -> None:
    array = module(torch.ones(SHAPE))["y"]
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == array.ctypes.data
    tensor.fill_(7)
    assert (array == 7).all()


def test_a_view_with_strides_has_its_own_answers(module: graphopt.CompiledModule) -> None:
    x = torch.randn(1, 8, 8, 3, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(module(x)["y"], module(np.ascontiguousarray(x.numpy()))["y"])


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.zeros(SHAPE, dtype=torch.float64), r"input 'x' must be float32, got float64; convert it$"),
        (torch.zeros(1, 3, 8), "input 'x' has 3 dimensions, the model takes"),
        (torch.zeros(SHAPE, requires_grad=True), "'x' cannot be read where it is: .*require gradient"),
        (torch.zeros(SHAPE, dtype=torch.bfloat16), "'x' cannot be read where it is: .*dtype"),
        (torch.zeros(SHAPE, device="meta"), "'x' cannot be read where it is: "),
        (
            Elsewhere(2),
            r"'x' lies in the memory of a device \(CUDA\), .*; move it there first, in PyTorch with .cpu\(\)",
        ),
        (Elsewhere(99), r"memory of a device \(kind 99\)"),
        (Elsewhere(BufferError("sealed")), "'x' cannot be read where it is: sealed"),
        (Elsewhere(BufferError()), "'x' cannot be read where it is: BufferError"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(module: graphopt.CompiledModule, x: Any, sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        module(x)
    with pytest.raises(RunError, match=sentence):
        module.run({"x": x})
