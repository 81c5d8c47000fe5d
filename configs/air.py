"""Air: its temperature, humidity and pressure, from which follow how fast sound goes and what is lost on the way."""

from __future__ import annotations

from pydantic import Field

from phonotaxis.configs.base import Frozen


class Air(Frozen):
    """The air of a scene. The ranges are those of ISO 9613-1:1993, and dry air and a mountain's pressure besides."""

    temperature_c: float = Field(default=20.0, ge=-20.0, le=50.0)
    relative_humidity_percent: float = Field(default=50.0, ge=0.0, le=100.0)
    pressure_kpa: float = Field(default=101.325, ge=50.0, le=110.0)
