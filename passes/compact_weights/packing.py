"""Small numbers in bytes: as many digits of one base as a byte holds, the last one counting most.

Two digits of base 16 fill a byte, three of base 6, five of base 3, eight of base 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]

LARGEST_BASE = 256


def digits_in_a_byte(base: int) -> int:
    """Return how many digits of a base, 2 to 256, are at most 256 numbers together."""
    digits = 1
    while base ** (digits + 1) <= LARGEST_BASE:
        digits += 1
    return digits


def packed_size(count: int, base: int) -> int:
    """Return how many bytes hold that many digits."""
    return -(-count // digits_in_a_byte(base))


def pack(codes: Codes, base: int) -> Bytes:
    """Put digits into bytes, in their order; zeros fill the last one."""
    width = digits_in_a_byte(base)
    padded = np.zeros(packed_size(codes.size, base) * width, np.int64)
    padded[: codes.size] = codes
    return (padded.reshape(-1, width) @ base ** np.arange(width)).astype(np.uint8)


def digit_table(base: int) -> Bytes:
    """Return the digits of each byte there is, [bytes, digits]."""
    width = digits_in_a_byte(base)
    return (np.arange(base**width)[:, None] // base ** np.arange(width) % base).astype(np.uint8)
