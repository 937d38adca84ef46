"""What may have happened to a program in one file on its way: a table of damages, each ending in one sentence."""

from __future__ import annotations

import dataclasses
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from graphopt.digests import digest
from graphopt.errors import GraphoptError, ModelError, TargetError
from graphopt.runtime.archive import Archive, write_archive
from graphopt.runtime.manifest import FILE_NAME, Manifest

Damage = Callable[[Path], object]


@dataclass(frozen=True)
class Artifact:
    """A damage done to a good program of native code, `at` its path; what refuses it, and a word of the sentence."""

    id: str
    says: str
    damage: Damage
    error: type[GraphoptError] = ModelError


def members(at: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(at) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(at: Path, files: dict[str, bytes]) -> None:
    """Write an archive as graphopt does, whatever is in it."""
    write_archive({name: np.frombuffer(data, np.uint8) for name, data in files.items()}, at)


def altered(name: str) -> Damage:
    """Change a byte in the midst of a member."""

    def damage(at: Path) -> None:
        content = members(at)[name]
        data = bytearray(at.read_bytes())
        data[data.index(content) + len(content) // 2] ^= 1
        at.write_bytes(data)

    return damage


def without(name: str) -> Damage:
    return lambda at: write(at, {other: data for other, data in members(at).items() if other != name})


def shortened(name: str, length: int) -> Damage:
    """Cut a member, in an archive that is whole."""
    return lambda at: write(
        at, {other: data[:length] if other == name else data for other, data in members(at).items()}
    )


def resealed(**changes: Any) -> Damage:
    """Change fields of the manifest, and give it the digest of what it says now."""

    def damage(at: Path) -> None:
        record = json.loads(members(at)[FILE_NAME])
        program = json.dumps(record["program"] | changes).encode()
        text = b'{"format_version": 7, "digest": "%s", "program": %s}' % (digest([program]).hex().encode(), program)
        write(at, members(at) | {FILE_NAME: text})

    return damage


def on(**changes: Any) -> Damage:
    """Change what the program asks of the machine."""

    def damage(at: Path) -> None:
        machine = Manifest.read(Archive(at)).machine
        assert machine
        resealed(machine=msgspec.to_builtins(dataclasses.replace(machine, **changes)))(at)

    return damage


def part(**changes: Any) -> Damage:
    """Change the manifest's only part."""

    def damage(at: Path) -> None:
        (variant,) = Manifest.read(Archive(at)).variants
        (only,) = variant.parts
        resealed(variants=[{"shapes": variant.shapes, "parts": [msgspec.to_builtins(only) | changes]}])(at)

    return damage


def appended(name: str) -> Damage:
    def damage(at: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(at, "a") as file:
            warnings.simplefilter("ignore")  # a name that is there already
            file.writestr(name, b"#!/bin/sh\n" * 100)

    return damage


def compressed(at: Path) -> None:
    files = members(at)
    with zipfile.ZipFile(at, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)


def manifest(text: bytes) -> Damage:
    return lambda at: write(at, members(at) | {FILE_NAME: text})


def directory(at: Path) -> None:
    at.unlink()
    at.mkdir()


def unpacked_wrongly(at: Path) -> None:
    at.unlink()
    (at / FILE_NAME).mkdir(parents=True)


ARTIFACTS = [
    Artifact("byte-of-the-code", "'part-0.so' in .* is not the file that was compiled", altered("part-0.so")),
    Artifact("byte-of-the-weights", "'weights.bin' in .* is not the file that was compiled", altered("weights.bin")),
    Artifact("byte-of-the-model", "'optimized.onnx' in .* is not the file that was", altered("optimized.onnx")),
    Artifact("byte-of-the-manifest", "is damaged", altered(FILE_NAME)),
    Artifact("truncated", "is truncated", lambda at: at.write_bytes(at.read_bytes()[:-1000])),
    Artifact("half", "is truncated", lambda at: at.write_bytes(at.read_bytes()[: at.stat().st_size // 2])),
    Artifact("head-lost", "no compiled program|truncated", lambda at: at.write_bytes(at.read_bytes()[5000:])),
    Artifact("empty", "no compiled program, or is truncated", lambda at: at.write_bytes(b"")),
    Artifact("no-archive", "no compiled program", lambda at: at.write_text("not a program" * 100)),
    Artifact("missing", "no compiled program", lambda at: at.unlink()),
    Artifact("directory", "no compiled program", directory),
    Artifact("directory-of-directories", "no compiled program", unpacked_wrongly),
    Artifact("code-missing", "lacks its file 'part-0.so'", without("part-0.so")),
    Artifact("weights-missing", "lacks its file 'weights.bin'", without("weights.bin")),
    Artifact("model-missing", "lacks its file 'optimized.onnx'", without("optimized.onnx")),
    Artifact("manifest-missing", "has no manifest.json", without(FILE_NAME)),
    Artifact("weights-too-short", "is not the file that was compiled", shortened("weights.bin", 64)),
    Artifact("weights-empty", "is not the file that was compiled", shortened("weights.bin", 0)),
    Artifact("path-out-of-the-archive", "'../../evil.so', which is no plain name", appended("../../evil.so")),
    Artifact("absolute-path", "'/etc/evil', which is no plain name", appended("/etc/evil")),
    Artifact("one-more-file", "'evil.so', of which its manifest says nothing", appended("evil.so")),
    Artifact("file-of-a-folder", "'lib/evil.so', which is no plain name", appended("lib/evil.so")),
    Artifact("code-twice", "holds 'part-0.so' 2 times", appended("part-0.so")),
    Artifact("compressed", "is compressed or encrypted", compressed),
    Artifact("format-of-yesterday", "has format 4, this graphopt reads 7", manifest(b'{"format_version": 4}')),
    Artifact("format-of-tomorrow", "has format 8, this graphopt reads 7", manifest(b'{"format_version": 8}')),
    Artifact("manifest-of-nothing", "is damaged", manifest(b"")),
    Artifact("manifest-of-a-list", "is damaged", manifest(b"[5]")),
    Artifact("manifest-without-end", "is damaged", manifest(b'{"format_version": 7, "x": ' + b"[" * 100_000)),
    Artifact("manifest-in-no-encoding", "is damaged", manifest(b'{"format_version": 7, "digest": "\xff"}')),
    Artifact("threads-of-words", r"Expected `int`, got `str` - at `\$.threads`", resealed(threads="two")),
    Artifact("threads-of-none", r">= 1 - at `\$.threads`", resealed(threads=0)),
    Artifact("inputs-of-words", r"at `\$.inputs\[0\]`", resealed(inputs=["x"])),
    Artifact("files-without-digests", "damaged", resealed(files={})),
    Artifact("files-elsewhere", "lacks its file '../x'", lambda at: resealed(files=files(at) | {"../x": ""})(at)),
    Artifact("foreign-executor", "damaged", part(executor="shell")),
    Artifact("part-elsewhere", "no digest for what '../evil.so' needs", part(file="../evil.so")),
    Artifact("part-of-nothing", "nothing makes 'z', which 'part-0.so' reads", part(inputs=["z"])),
    Artifact("part-for-nobody", "nothing makes the output 'y'", part(outputs=["z"])),
    Artifact("weights-elsewhere", "weights of the program are damaged", part(weights=[1 << 40])),
    Artifact("weights-within-weights", "weights of the program are damaged", part(weights=[3])),
    Artifact("weights-before-weights", r">= 0", part(weights=[-1])),
    Artifact("code-of-no-machine", "native code is for no machine", resealed(machine=None)),
    Artifact("processor", "uses amx_fp64, which this processor lacks", on(features=("avx2", "amx_fp64")), TargetError),
    Artifact("processors", "uses x0, x1, x2, x3 and 2 more,", on(features=[f"x{i}" for i in range(6)]), TargetError),
    Artifact("architecture", "compiled for s390x under linux", on(architecture="s390x"), TargetError),
    Artifact("system", "under plan9, this machine is", on(system="plan9"), TargetError),
    Artifact("tvm", "compiled for TVM 0.19.0, and 0.27", on(tvm_version="0.19.0"), TargetError),
]


def files(at: Path) -> dict[str, str]:
    return Manifest.read(Archive(at)).files
