"""A robot learns in simulation to find what it hears, and does it for real on a Jetson."""

from __future__ import annotations

from phonotaxis.registration import register_with_gymnasium

__version__ = "0.1.0"

register_with_gymnasium()
