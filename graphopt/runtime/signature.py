"""Is a program what its maker wrote? Ed25519 (RFC 8032) over the SHA-256 of each of its files.

A digest in a manifest knows accidents: who changes a file changes the digest with it. A signature knows who changed
nothing. What is signed is what `sha256sum` prints for the files in the order of their names, so that a signature is
checked without graphopt as well:

    sha256sum manifest.json optimized.onnx part-0.so weights.bin > sums
    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in sums -sigfile signature.ed25519

Keys are in PEM, as `openssl genpkey -algorithm ed25519` makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from graphopt.errors import ModelError, TargetError
from graphopt.tensors import Array

FILE_NAME = "signature.ed25519"
"""Its content is the 64 bytes of a signature."""


def sign(files: Mapping[str, Array], key: Path) -> bytes:
    """Return the signature of a program's files by the private key in a file; raises as `private_key` does."""
    return bytes(private_key(key).sign(_statement(files)))


def verify(files: Mapping[str, Array], signature: Array, key: Path, place: str) -> None:
    """Check the signature of a program's files by the public key in a file; `place` says in a sentence where it lies.

    Raises:
        ModelError: it is not that key's signature of these files, or the file holds no public Ed25519 key.
        TargetError: the package cryptography is not installed.

    """
    serialization, ed25519 = _cryptography()
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # it is there

    try:
        public = serialization.load_pem_public_key(_read(key))
    except ValueError as error:
        raise _no_key(key, "public") from error
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise _no_key(key, "public")
    try:
        public.verify(signature.tobytes(), _statement(files))
    except InvalidSignature as error:
        raise ModelError(
            f"{place} is not the signature of these files by the key {str(key)!r}; do not use it"
        ) from error


def private_key(path: Path) -> Any:
    """Return the private key in a file.

    Raises:
        ModelError: the file holds no private Ed25519 key, or one that is encrypted.
        TargetError: the package cryptography is not installed.

    """
    serialization, ed25519 = _cryptography()
    try:
        private = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(path, "private") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise _no_key(path, "private")
    return private


def _statement(files: Mapping[str, Array]) -> bytes:
    return b"".join(f"{hashlib.sha256(files[name].data).hexdigest()}  {name}\n".encode() for name in sorted(files))


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the key {str(key)!r}: {error.strerror}") from error


def _no_key(key: Path, kind: str) -> ModelError:
    return ModelError(
        f"{str(key)!r} is no {kind} Ed25519 key in PEM without a password; openssl genpkey -algorithm ed25519 makes one"
    )


def _cryptography() -> tuple[ModuleType, ModuleType]:
    """Return the modules of an extra that read keys and know their kind."""
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # likewise
    except ModuleNotFoundError as error:
        raise TargetError("signatures need the package cryptography; run: pip install cryptography") from error
    return serialization, ed25519
