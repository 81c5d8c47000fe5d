"""Air: its temperature, humidity and pressure, from which follow how fast sound goes and what is lost on the way."""

from __future__ import annotations

from pydantic import Field

from phonotaxis.configs.base import Frozen


class Air(Frozen):
    """The air of a scene. The ranges are those of ISO 9613-1:1993, and dry air and a mountain's pressure besides.

    The default is the nominal air, that of the table whose attenuation the simulator takes (ISO 9613-2:1996, table 2).
    Sound goes through it at 343.2 m/s, the speed that ISO 9613-1:1993 (annex A) gives 20 degrees Celsius at any
    humidity; for every other air it is Cramer's, which is 344.2 m/s at 20 degrees Celsius and 70 %.
    """

    temperature_c: float = Field(default=20.0, ge=-20.0, le=50.0)
    relative_humidity_percent: float = Field(default=70.0, ge=0.0, le=100.0)
    pressure_kpa: float = Field(default=101.325, ge=50.0, le=110.0)
