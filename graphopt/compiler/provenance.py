"""Where a model came from, for the manifest of what is made of it."""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path

import onnx_ir as ir

from graphopt.ir.load import Source
from graphopt.runtime.manifest import Provenance

_LICENCE_KEYS = ("model_license", "license", "licence")
"""The first is that of ONNX's MetadataProps.md; case does not count."""


def provenance(model: ir.Model, source: Source) -> Provenance:
    """Say what a model says of itself, and which file or bytes it was read from."""
    metadata = {str(key): str(value) for key, value in model.metadata_props.items()}
    lower = {key.lower(): value for key, value in metadata.items()}
    return Provenance(
        sha256=_sha256(source),
        producer=model.producer_name or "",
        producer_version=model.producer_version or "",
        graph=model.graph.name or "",
        licence=next((lower[key] for key in _LICENCE_KEYS if key in lower), ""),
        metadata=metadata,
    )


def _sha256(source: Source) -> str:
    """Return the digest of a file or of bytes, as `sha256sum` prints it; of external data nothing goes in."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    if not isinstance(source, str | PathLike):
        return ""
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
