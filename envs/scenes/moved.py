"""Files that lie far from the origin, as in national grids, are moved there: sound counts in float32."""

from __future__ import annotations

import numpy as np

FAR_M = 10_000.0  # from the origin; up to there float32 has millimetres


def offset_m(low_m: np.ndarray) -> np.ndarray:
    """Return what to take from a file's coordinates, whole metres along each axis; 0 along those that aren't far.

    Args:
        low_m: float64 [axes], the file's lowest corner, metres.
    """
    return np.where(np.abs(low_m) > FAR_M, np.floor(low_m), 0.0)


def moved_info(offset: np.ndarray) -> dict[str, str]:
    """Say in a scene's `info` by how much it was moved, metres; nothing where it wasn't."""
    return {"moved": f"by ({', '.join(f'{0.0 - by:.0f}' for by in offset)}) m to the origin"} if offset.any() else {}
