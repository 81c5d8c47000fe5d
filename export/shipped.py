"""The policy that comes with phonotaxis."""

from __future__ import annotations

from pathlib import Path

NAME = "shipped.onnx"  # beside this file; package data of `phonotaxis.export`


def shipped_policy() -> Path | None:
    """Return where the shipped bundle lies; None where this version has none."""
    path = Path(__file__).with_name(NAME)
    return path if path.is_file() else None
