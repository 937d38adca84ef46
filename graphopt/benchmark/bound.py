"""What bounds a kernel: the highest of the floors under its time that the roofs of the machine put there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from graphopt.backends.tvm.roofline import Roofline


class Bound(StrEnum):
    """What a kernel would have to have less of to be faster."""

    COMPUTE = "compute"
    """Arithmetic: its own, or that of a slower way to do it."""

    MEMORY = "memory"
    """Bytes to and from memory."""

    OVERHEAD = "overhead"
    """Starting: it does too little to be worth a kernel."""


@dataclass(frozen=True)
class Cost:
    """What a kernel does and how long it takes.

    Attributes:
        seconds: the median of its runs.
        flops: floating-point operations by the model's definition; a fast algorithm does fewer.
        bytes: of its tensors, each counted once.

    """

    seconds: float
    flops: int
    bytes: int

    def compute_share(self, roof: Roofline) -> float:
        """Return its share of the peak of arithmetic; above 1 with a fast algorithm."""
        return self.flops / roof.flops / self.seconds

    def memory_share(self, roof: Roofline) -> float:
        """Return its share of the bandwidth of memory; above 1 where a cache holds what it reads."""
        return self.bytes / roof.bandwidth / self.seconds

    def bound(self, roof: Roofline) -> Bound:
        """Return what bounds it.

        A floor of memory that is above the time is none: the bytes were in a cache.
        """
        floors = {Bound.COMPUTE: self.compute_share(roof), Bound.OVERHEAD: roof.launch / self.seconds}
        if (memory := self.memory_share(roof)) <= 1:
            floors[Bound.MEMORY] = memory
        return max(floors, key=lambda bound: floors[bound])
