"""What all tests share: they must test this checkout, keep caches out of it and leave nothing in the home."""

from __future__ import annotations

import os
import signal
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
