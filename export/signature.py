"""A bundle's signature: a file beside it, checked over every byte before anything looks into the bundle.

Ed25519 (RFC 8032). The signature file `policy.onnx.sig` holds 64 bytes in base64. A signer is named by its public key,
32 bytes in base64, which a robot's configuration lists. The secret key is a PEM file (PKCS #8), as
`openssl genpkey -algorithm ed25519` writes it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonotaxis.configs.atomic_file import replace_file

SUFFIX = ".sig"
_MAX_FILE_BYTES = 4096
_INSTALL = "signatures need the package cryptography: pip install 'phonotaxis[sign]'"


class SignatureError(ValueError):
    """A bundle isn't signed by whom it should be, or a key can't be used; the message says which."""


@dataclass(frozen=True)
class Signed:
    """What was written.

    Attributes:
        path: of the signature.
        signer: public key in base64.
    """

    path: Path
    signer: str


def sign(path: Path, data: bytes, key: Path) -> Signed:
    """Sign a bundle's bytes; what lies at its path may be another's by now.

    Args:
        path: of the bundle; its signature is written beside it.
        data: the bundle's bytes, as they were read and checked.
        key: the signer's secret key, unencrypted PEM.

    Raises:
        SignatureError: the key isn't one of Ed25519, or others can read it.
        OSError: a file can't be read or written.
    """
    if key.stat().st_mode & 0o077:
        raise SignatureError(f"{key}: others can read this secret key; make it yours alone (chmod 600 {key})")
    secret = _secret_key(key)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # there, since it read the key

    public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = path.with_name(path.name + SUFFIX)
    replace_file(signature, base64.b64encode(secret.sign(data)) + b"\n", mode=None)
    return Signed(signature, base64.b64encode(public).decode())


def check_signature(path: Path, data: bytes, signers: Sequence[str]) -> str:
    """Check that one of the signers signed these bytes.

    Args:
        path: of the bundle; its signature lies beside it.
        data: the bundle's bytes, as they were read.
        signers: public keys in base64.

    Returns:
        The signer's public key.

    Raises:
        SignatureError: no signature, a wrong one, one of somebody else, or keys that aren't keys.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise SignatureError(f"{path}: {_INSTALL}") from None
    signature = _signature(path.with_name(path.name + SUFFIX))
    for signer in signers:
        try:
            Ed25519PublicKey.from_public_bytes(public_key(signer)).verify(signature, data)
        except InvalidSignature:
            continue
        return signer
    raise SignatureError(
        f"{path}: not signed by a trusted signer, or altered since; expected a signature of one of {len(signers)} "
        "public keys in trusted_signers"
    )


def public_key(signer: str) -> bytes:
    """Read a public key.

    Raises:
        SignatureError: not 32 bytes in base64.
    """
    try:
        raw = base64.b64decode(signer, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise SignatureError(f"'{signer[:60]}' is no public key; expected 32 bytes in base64, as --sign prints them")
    return raw


def _signature(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SignatureError(
            f"{path}: no signature ({error.strerror or error}), and this robot runs signed policies alone; sign it "
            "with `phonotaxis export POLICY --sign KEY`"
        ) from None
    try:
        signature = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if len(signature) != 64 or len(text) > _MAX_FILE_BYTES:
        raise SignatureError(f"{path}: not a signature; expected 64 bytes in base64")
    return signature


def _secret_key(path: Path) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise SignatureError(_INSTALL) from None
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path}: not an unencrypted PEM key ({str(error)[:100]})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path}: a key of another kind; make one: openssl genpkey -algorithm ed25519 -out {path}")
    return key
