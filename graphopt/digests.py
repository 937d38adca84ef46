"""Digests by which equal contents are known: of bytes, of what lies in files.

XXH3 of 128 bits (https://xxhash.com): as safe against accidents as SHA-256, and ten times as fast, which is what the
weights of a network take of the time to load it. It does not withstand somebody who wants two contents to be equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import xxhash

_CHUNK = 1 << 18


def digest(parts: Iterable[bytes | memoryview]) -> bytes:
    """Return the digest of some bytes, one after the other."""
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return state.digest()


def file_digest(path: Path) -> bytes:
    """Return the digest of what lies in a file."""
    buffer = memoryview(bytearray(_CHUNK))  # one for all reads: new memory would cost more than what is done with it
    with path.open("rb", buffering=0) as file:
        return digest(buffer[:count] for count in iter(lambda: file.readinto(buffer), 0))
