"""Reductions over axes, and the places of extremes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from graphopt.distillation.bridge.call import Call, Operator

Reduce = Callable[[Tensor, list[int], bool], Tensor]


def reduction(reduce: Reduce) -> Operator:
    """Make an operator of a function of a tensor, axes, and whether they are kept."""

    def operator(call: Call) -> Tensor:
        axes = call.axes(1) or []
        if not axes and call.number("noop_with_empty_axes", 0):
            return call[0]
        return reduce(call[0], axes or list(range(call[0].ndim)), bool(call.number("keepdims", 1)))

    return operator


def place(find: Callable[..., Tensor]) -> Operator:
    """Make ArgMax or ArgMin, which have no gradient."""

    def operator(call: Call) -> Tensor:
        x, axis = call[0], call.number("axis", 0)
        keeps = bool(call.number("keepdims", 1))
        if not call.number("select_last_index", 0):
            return find(x, axis, keeps)
        return x.shape[axis] - 1 - find(x.flip(axis), axis, keeps)

    return operator


def _product(x: Tensor, axes: list[int], keeps: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keeps)
    return x


REDUCTIONS: Mapping[str, Operator] = {
    "ArgMax": place(torch.argmax),
    "ArgMin": place(torch.argmin),
    "ReduceL1": reduction(lambda x, axes, keeps: x.abs().sum(axes, keeps)),
    "ReduceL2": reduction(lambda x, axes, keeps: torch.linalg.vector_norm(x, 2, axes, keeps)),
    "ReduceLogSum": reduction(lambda x, axes, keeps: x.sum(axes, keeps).log()),
    "ReduceLogSumExp": reduction(torch.logsumexp),
    "ReduceMax": reduction(torch.amax),
    "ReduceMean": reduction(torch.mean),
    "ReduceMin": reduction(torch.amin),
    "ReduceProd": reduction(_product),
    "ReduceSum": reduction(torch.sum),
    "ReduceSumSquare": reduction(lambda x, axes, keeps: x.square().sum(axes, keeps)),
}
