"""Which schedule a kernel gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphopt.backends.tvm.kernels import Kernel
from graphopt.backends.tvm.schedule.channelwise import schedule_channelwise
from graphopt.backends.tvm.schedule.convolution import schedule_conv, schedule_pointwise_conv
from graphopt.backends.tvm.schedule.generic import schedule_generic
from graphopt.backends.tvm.schedule.kernel import Block, KernelSchedule
from graphopt.backends.tvm.schedule.linear import schedule_dense
from graphopt.backends.tvm.schedule.winograd import schedule_winograd

TEMPLATES: Mapping[Kernel, Callable[[KernelSchedule, Block], bool]] = {
    Kernel.CONV: schedule_conv,
    Kernel.CONV_TRANSPOSE: schedule_conv,
    Kernel.DEPTHWISE_CONV: schedule_channelwise,
    Kernel.DENSE: schedule_dense,
    Kernel.POINTWISE_CONV: schedule_pointwise_conv,
    Kernel.POOL: schedule_channelwise,
    Kernel.WINOGRAD: schedule_winograd,
}
"""Each schedules a kernel around its marked block; it returns False where fusion gave the kernel another form."""


def apply_template(kernel: KernelSchedule) -> None:
    """Schedule a kernel by what lowering marked it as, or generically."""
    marked = kernel.marked()
    if marked is None or marked[0] not in TEMPLATES:
        schedule_generic(kernel)
        return
    name, block = marked
    kernel.inline_elementwise()
    if not TEMPLATES[name](kernel, block):
        schedule_generic(kernel)
