"""The audio front end of a policy: what is made of a window of sound before the network reads it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen

_FIRST_FIELDS = {"n_fft", "hop", "low_hz", "high_hz", "direction_bands", "azimuths", "spectrum_bands"}
_LATER_FIELDS = {"weighting", "elevations"}


class FrontEnd(Frozen):
    """The audio front end inside the graph: a short-time Fourier transform and what is pooled from it.

    Steered response power (DiBiase 2000) in `direction_bands` about equally wide on the mel scale, at `azimuths`
    horizontal directions; log energies in `spectrum_bands` bands evenly spaced on it; steered power over all bands at
    `elevations` from the horizon to the zenith.

    Attributes:
        weighting: of the frames of a window. "onset" takes the coherence of what begins: in a room the direct sound
            comes first. "phase" counts each frame alike, the loud and the quiet (phase transform).
        elevations: how many; 0 leaves them out.
    """

    n_fft: int = Field(default=256, ge=64, le=2048)
    hop: int = Field(default=128, ge=16, le=2048)
    low_hz: float = Field(default=300.0, ge=0)
    high_hz: float = Field(default=6000.0, gt=0)
    direction_bands: int = Field(default=8, ge=1, le=32)
    azimuths: int = Field(default=36, ge=4, le=360)
    spectrum_bands: int = Field(default=24, ge=1, le=128)
    weighting: Literal["onset", "phase"] = "onset"
    elevations: int = Field(default=6, ge=0, le=18)

    @model_validator(mode="before")
    @classmethod
    def _before_there_was_a_choice(cls, data: Any) -> Any:
        """Read what was written down whole when there was one weighting and nothing but the horizon."""
        if isinstance(data, dict) and data.keys() >= _FIRST_FIELDS and not data.keys() & _LATER_FIELDS:
            return data | {"weighting": "phase", "elevations": 0}
        return data
