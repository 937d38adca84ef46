"""Running what was compiled for a GPU: arrays go to its memory, kernels are launched, results come back.

This is the runtime side: it imports no part of the compiler. All that is done here is the same for each kind of GPU;
what differs is a `Device`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from graphopt.backends.tvm.gpu.cuda_driver import CudaDevice
from graphopt.backends.tvm.gpu.device import Device
from graphopt.backends.tvm.gpu.opencl import OpenClDevice
from graphopt.backends.tvm.gpu.plan import GpuPlan, Launch
from graphopt.backends.tvm.places import Place, Space
from graphopt.errors import ModelError, TargetError
from graphopt.tensors import Array

_DEVICES: Mapping[str, Callable[[GpuPlan], Device]] = {
    "cuda": lambda plan: CudaDevice(plan.arch),
    "opencl": lambda plan: OpenClDevice(plan.device),
}


def open_device(plan: GpuPlan) -> Device:
    """Return a device that a plan is for.

    Raises:
        TargetError: this machine has none, or lacks what speaks to it; nothing here does to devices of its kind.

    """
    if plan.kind not in _DEVICES:
        raise TargetError(f"the program is for {plan.kind}, and graphopt launches kernels of {', '.join(_DEVICES)}")
    return _DEVICES[plan.kind](plan)


class GpuExecutor:
    """Runs a plan on a device, one run at a time.

    Inputs, outputs and what lies between them have their places in the memory of the device for good.
    """

    def __init__(
        self,
        plan: GpuPlan,
        code: bytes,
        weights: Sequence[tuple[int, Array]],
        device: Device,
        uploaded: MutableMapping[int, Any],
    ) -> None:
        """Load kernels and weights.

        Args:
            plan: what to do.
            code: of the kernels that it names.
            weights: what launches read beside inputs, with where each lies in the program.
            device: that it is for.
            uploaded: the weights of the program that are in its memory already, by where they lie; more are added.

        Raises:
            TargetError: the device takes no such code, or a launch is beyond what it gives.
            RunError: its memory is too small.

        """
        self._plan, self._device, self._lock = plan, device, threading.Lock()
        device.begin()
        if plan.alignment % device.alignment:
            raise TargetError(
                f"the device {device.name!r} wants tensors at multiples of {device.alignment} bytes, and the program "
                f"has them at multiples of {plan.alignment}; compile for cpu"
            )
        kernels = device.load(code, sorted({launch.kernel for launch in plan.launches}))
        for launch in plan.launches:
            _check_launch(launch, device, kernels[launch.kernel])
        self._memories: dict[tuple[Space, int], Any] = {
            **{(Space.INPUT, index): device.allocate(one.bytes) for index, one in enumerate(plan.inputs)},
            **{(Space.OUTPUT, index): device.allocate(one.bytes) for index, one in enumerate(plan.outputs)},
            (Space.ARENA, 0): device.allocate(plan.arena),
            **_uploaded(weights, device, uploaded),
        }
        self._views: dict[Place, Any] = {}
        self._launches = [
            device.prepared(kernels[launch.kernel], launch, [self._at(place) for place in launch.arguments])
            for launch in plan.launches
        ]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run once; outputs are new arrays of this machine's memory."""
        device, plan = self._device, self._plan
        with self._lock:
            device.begin()
            for index, array in enumerate(arrays):
                device.upload(np.ascontiguousarray(array), self._memories[Space.INPUT, index])
            for launch in self._launches:
                launch()
            for copy in plan.copies:
                device.copy(self._at(copy.source), self._memories[Space.OUTPUT, copy.output], copy.size)
            results = [np.empty(one.shape, one.dtype) for one in plan.outputs]
            for index, result in enumerate(results):
                device.download(self._memories[Space.OUTPUT, index], result)
        return results

    def _at(self, place: Place) -> Any:
        if place not in self._views:
            memory = self._memories.get((place.space, place.index))
            if memory is None:
                raise ModelError(f"the program has no {place.space} {place.index}; compile the model again")
            self._views[place] = self._device.view(memory, place.offset) if place.offset else memory
        return self._views[place]


def _uploaded(
    weights: Sequence[tuple[int, Array]], device: Device, known: MutableMapping[int, Any]
) -> dict[tuple[Space, int], Any]:
    """Return weights in the memory of a device by their places."""
    for at, weight in weights:
        if at not in known:
            memory = device.allocate(weight.nbytes)
            device.upload(np.ascontiguousarray(weight), memory)
            known[at] = memory
    return {(Space.WEIGHT, index): known[at] for index, (at, _) in enumerate(weights)}


def _check_launch(launch: Launch, device: Device, kernel: Any) -> None:
    limits = device.limits(kernel)
    beyond = any(asked > given for asked, given in zip(launch.threads, limits.axes, strict=True))
    if beyond or launch.block_size > limits.threads:
        asked = " × ".join(map(str, launch.threads))
        raise TargetError(
            f"the kernel {launch.kernel!r} asks for blocks of {asked} threads, and the device {device.name!r} gives it "
            f"{limits.threads}; compile for cpu"
        )
    if launch.shared_bytes > limits.shared_bytes:
        raise TargetError(
            f"the kernel {launch.kernel!r} asks for {launch.shared_bytes} bytes of memory that threads share, and the "
            f"device {device.name!r} gives {limits.shared_bytes}; compile for cpu"
        )
