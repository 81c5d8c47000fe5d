"""What all tests share: they must test this checkout, keep caches out of it and leave nothing in the home."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import phonotaxis

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test another copy of phonotaxis than the one these tests stand beside."""
    found = Path(phonotaxis.__file__).resolve().parent
    if found != ROOT / "phonotaxis":
        raise pytest.UsageError(f"phonotaxis is imported from {found}, not from {ROOT}; type: make venv")
    os.environ.setdefault("MPLBACKEND", "Agg")
    # A shell that starts this in the background has SIGINT ignored, and every child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def make_key() -> Callable[[Path], Path]:
    """Return what writes a private key to sign with."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    def make(path: Path) -> Path:
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.touch(mode=0o600)
        path.write_bytes(pem)
        return path

    return make
