"""The depth camera's name in `World`: eyes that draw depth alone unless told otherwise."""

from __future__ import annotations

from phonotaxis.envs.vision.eyes import Eyes as DepthRenderer

__all__ = ["DepthRenderer"]
