from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phonotaxis import cli
from phonotaxis.export.bundle import BundleError, read_bundle
from phonotaxis.export.signature import SignatureError, Signed, public_key
from phonotaxis.export.signature import sign as sign_bytes

MakeKey = Callable[[Path], Path]


def sign(policy: Path, key: Path) -> Signed:
    """Sign what lies in a file."""
    return sign_bytes(policy, policy.read_bytes(), key)


@pytest.fixture
def key(tmp_path: Path, make_key: MakeKey) -> Path:
    return make_key(tmp_path / "key.pem")


@pytest.fixture
def policy(tmp_path: Path, tiny_bytes: bytes) -> Path:
    path = tmp_path / "policy.onnx"
    path.write_bytes(tiny_bytes)
    return path


def test_a_signed_policy_is_read(policy: Path, key: Path, tmp_path: Path, make_key: MakeKey) -> None:
    made = sign(policy, key)
    assert made.path == tmp_path / "policy.onnx.sig"
    assert len(public_key(made.signer)) == 32
    other = sign(policy, make_key(tmp_path / "other.pem")).signer
    sign(policy, key)
    assert read_bundle(policy, [other, made.signer]).sha256 == read_bundle(policy).sha256
    with pytest.raises(SignatureError, match="not signed by a trusted signer"):
        read_bundle(policy, [other])


def test_what_was_checked_is_signed_and_not_what_came_after(policy: Path, key: Path, tiny_bytes: bytes) -> None:
    bundle = read_bundle(policy)
    policy.write_bytes(b"exchanged meanwhile")
    signer = sign_bytes(bundle.path, bundle.data, key).signer
    with pytest.raises(SignatureError, match="altered since"):
        read_bundle(policy, [signer])
    policy.write_bytes(tiny_bytes)
    assert read_bundle(policy, [signer]).data == bundle.data


def test_the_signature_is_checked_before_anything_else(policy: Path, key: Path) -> None:
    signer = sign(policy, key).signer
    policy.write_bytes(b"not even a model")
    with pytest.raises(SignatureError, match="or altered since"):
        read_bundle(policy, [signer])
    with pytest.raises(BundleError):
        read_bundle(policy)


def test_every_byte_counts(policy: Path, key: Path, tiny_bytes: bytes) -> None:
    signer = sign(policy, key).signer
    for at in range(0, len(tiny_bytes), 97):
        policy.write_bytes(tiny_bytes[:at] + bytes([tiny_bytes[at] ^ 1]) + tiny_bytes[at + 1 :])
        with pytest.raises(SignatureError):
            read_bundle(policy, [signer])


@pytest.mark.parametrize(
    "content", [b"", b"AAAA", b"\xff" * 88, base64.b64encode(bytes(63)), b"A" * 100_000, base64.b64encode(bytes(64))]
)
def test_bad_signatures(policy: Path, key: Path, content: bytes) -> None:
    made = sign(policy, key)
    made.path.write_bytes(content)
    with pytest.raises(SignatureError):
        read_bundle(policy, [made.signer])
    made.path.unlink()
    with pytest.raises(SignatureError, match="no signature"):
        read_bundle(policy, [made.signer])


def test_bad_keys(policy: Path, key: Path, tmp_path: Path) -> None:
    sign(policy, key)
    for signer in ("", "me", base64.b64encode(bytes(31)).decode()):
        with pytest.raises(SignatureError, match="is no public key"):
            read_bundle(policy, [signer])
    key.chmod(0o640)
    with pytest.raises(SignatureError, match="chmod 600"):
        sign(policy, key)
    key.chmod(0o600)
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nnonsense\n")
    with pytest.raises(SignatureError, match="not an unencrypted PEM key"):
        sign(policy, key)


def test_the_command_tells_programs_who_signed(policy: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", str(policy), "--sign", str(key), "--json"]) == 0
    shown = capsys.readouterr()
    figures = {name: figure["value"] for name, figure in json.loads(shown.out)["figures"].items()}
    assert figures["signature"] == f"{policy}.sig"
    assert read_bundle(policy, [figures["signer"]])
    assert f"trusted_signers: [{figures['signer']}]" in shown.err


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
def test_keys_of_openssl(policy: Path, tmp_path: Path) -> None:
    ours, curve = tmp_path / "ours.pem", tmp_path / "curve.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", ours], check=True, capture_output=True)
    ours.chmod(0o600)
    assert read_bundle(policy, [sign(policy, ours).signer])
    command = ["openssl", "genpkey", "-algorithm", "x25519", "-out", curve]
    subprocess.run(command, check=True, capture_output=True)
    curve.chmod(0o600)
    with pytest.raises(SignatureError, match="a key of another kind"):
        sign(policy, curve)


def test_without_cryptography_both_sides_say_what_to_install(
    policy: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = sign(policy, key).signer
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    for use in (lambda: sign(policy, key), lambda: read_bundle(policy, [signer])):
        with pytest.raises(SignatureError, match=r"pip install 'phonotaxis\[sign\]'"):
            use()
