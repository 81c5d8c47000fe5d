"""A robot learns in simulation to find what it hears, and does it for real on a Jetson."""

from __future__ import annotations

import importlib.util

__version__ = "0.1.0"

# Where gymnasium is installed (it isn't on the robot), importing phonotaxis makes its worlds known to it.
if importlib.util.find_spec("gymnasium") is not None:
    from phonotaxis.registration import register_envs

    register_envs()
