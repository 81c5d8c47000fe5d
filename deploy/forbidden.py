"""What a process on the robot must not have loaded: the simulator and what learning needs."""

from __future__ import annotations

import sys

FORBIDDEN = ("torch", "numba", "gymnasium", "scipy", "trimesh", "phonotaxis.envs", "phonotaxis.policies")


def forbidden_modules() -> list[str]:
    """List the forbidden packages that this process has loaded; empty as it should be."""
    loaded = tuple(sys.modules)
    return [name for name in FORBIDDEN if any(key == name or key.startswith(name + ".") for key in loaded)]
