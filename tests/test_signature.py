"""Programs that are signed: whose they are, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Never

import numpy as np
import onnx_ir as ir
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

import graphopt
from graphopt.cli.main import build_app
from graphopt.errors import ModelError, TargetError
from graphopt.runtime.signature import FILE_NAME
from tests.hostile_artifacts import members, resealed, write
from tests.networks import network

NATIVE = "g (float[1,4] x) => (float[1,8] y) <float[4,8] w> { y = MatMul (x, w) }"


def write_keys(folder: Path, name: str, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with keys, a signed program and one that is not."""
    folder = tmp_path_factory.mktemp("signed")
    maker = ed25519.Ed25519PrivateKey.generate()
    write_keys(folder, "maker", maker)
    write_keys(folder, "other", ed25519.Ed25519PrivateKey.generate())
    write_keys(folder, "curve", ec.generate_private_key(ec.SECP256R1()))
    locked = maker.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / "locked.pem").write_bytes(locked)
    (folder / "text.pem").write_text("no key")
    module = graphopt.compile(network(NATIVE), cache=False)
    module.save(folder / "signed.gopt", signing_key=folder / "maker.pem")
    module.save(folder / "unsigned.gopt")
    return folder


def test_a_signed_program_runs_for_who_trusts_its_maker(folder: Path, tmp_path: Path) -> None:
    module = graphopt.load(folder / "signed.gopt", trusted_key=folder / "maker.pub")
    for name in ("again.gopt", "again"):
        module.save(tmp_path / name)  # keeps its signature
        again = graphopt.load(tmp_path / name, trusted_key=str(folder / "maker.pub"))
        x = np.ones((1, 4), np.float32)
        np.testing.assert_array_equal(again(x)["y"], graphopt.load(folder / "signed.gopt")(x)["y"])


def signed_again(at: Path, folder: Path) -> None:
    graphopt.load(at).save(at, signing_key=folder / "other.pem")


def with_signature(data: bytes) -> Callable[[Path, Path], None]:
    return lambda at, _: write(at, members(at) | {FILE_NAME: data})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda at, folder: shutil.copy(folder / "unsigned.gopt", at), "is not signed"),
        (lambda at, _: resealed(threads=7)(at), "is not the signature of these files"),
        (signed_again, "is not the signature of these files"),
        (with_signature(b""), "is not the signature of these files"),
        (with_signature(bytes(64)), "is not the signature of these files"),
        (with_signature(b"x" * 1000), "is not the signature of these files"),
    ],
    ids=["none", "other-manifest", "other-key", "empty", "zeros", "long"],
)
def test_what_its_maker_did_not_sign_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path, Path], object], says: str
) -> None:
    def run(*_: object) -> Never:
        pytest.fail("it was loaded")

    copy = tmp_path / "model.gopt"
    shutil.copy(folder / "signed.gopt", copy)
    damage(copy, folder)
    monkeypatch.setattr("graphopt.backends.tvm.executor.load_code", run)
    with pytest.raises(ModelError, match=says):
        graphopt.load(copy, trusted_key=folder / "maker.pub")


@pytest.mark.parametrize("key", ["maker.pem", "curve.pub", "text.pem"])
def test_what_is_no_public_key_is_one_sentence(folder: Path, key: str) -> None:
    with pytest.raises(ModelError, match=f"{key}' is no public Ed25519 key .* openssl"):
        graphopt.load(folder / "signed.gopt", trusted_key=folder / key)
    with pytest.raises(ModelError, match="cannot read the key"):
        graphopt.load(folder / "signed.gopt", trusted_key=folder / "missing.pub")


@pytest.mark.parametrize("key", ["maker.pub", "curve.pem", "locked.pem", "text.pem"])
def test_what_is_no_private_key_is_one_sentence(folder: Path, tmp_path: Path, key: str) -> None:
    module = graphopt.load(folder / "unsigned.gopt")
    with pytest.raises(ModelError, match=f"{key}' is no private Ed25519 key"):
        module.save(tmp_path / "model.gopt", signing_key=folder / key)
    assert not any(tmp_path.iterdir())


def test_without_cryptography_signatures_are_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(TargetError, match="run: pip install cryptography"):
        graphopt.load(folder / "signed.gopt", trusted_key=folder / "maker.pub")
    graphopt.load(folder / "signed.gopt")  # which nobody asked to check


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_takes_the_signature(folder: Path, tmp_path: Path) -> None:
    graphopt.load(folder / "signed.gopt").save(tmp_path / "program")
    names = sorted(path.name for path in (tmp_path / "program").iterdir() if path.name != FILE_NAME)
    sums = subprocess.run(["sha256sum", *names], cwd=tmp_path / "program", check=True, capture_output=True).stdout
    (tmp_path / "sums").write_bytes(sums)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", folder / "maker.pub", "-rawin"]
    command += ["-in", tmp_path / "sums", "-sigfile", tmp_path / "program" / FILE_NAME]
    assert b"Verified Successfully" in subprocess.run(command, check=True, capture_output=True).stdout


def test_the_shell_signs_and_trusts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(ir.to_proto(network(NATIVE)).SerializeToString())
    model, program = str(tmp_path / "m.onnx"), str(tmp_path / "m.gopt")
    for code, line in (
        (3, ["compile", model, "-o", program, "--signing-key", str(folder / "maker.pub")]),
        (0, ["compile", model, "-o", program, "--no-cache", "--signing-key", str(folder / "maker.pem")]),
        (0, ["run", program, "--trusted-key", str(folder / "maker.pub")]),
        (3, ["run", program, "--trusted-key", str(folder / "other.pub")]),
        (2, ["run", model, "--trusted-key", str(folder / "maker.pub")]),
    ):
        result = CliRunner().invoke(build_app(), line)
        assert result.exit_code == code, result.output
