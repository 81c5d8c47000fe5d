"""A robot learns in simulation to find what it hears, and does it for real on a Jetson."""

from __future__ import annotations

from phonotaxis.paths import use_user_cache
from phonotaxis.registration import register_with_gymnasium

__version__ = "0.1.0"

use_user_cache()  # before anything imports numba, which reads its cache folder once
register_with_gymnasium()
