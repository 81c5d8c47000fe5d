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

    @model_validator(mode="after")
    def _low_below_high(self) -> FrontEnd:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} must be under high_hz {self.high_hz:g}")
        return self

    def bins(self, sample_rate_hz: int) -> int:
        """Return how many frequencies of the transform lie between the bounds, without the constant."""
        each = (number * sample_rate_hz / self.n_fft for number in range(1, self.n_fft // 2 + 1))
        return sum(self.low_hz <= hz <= self.high_hz for hz in each)


def fill_in(stored: Any) -> None:
    """Write into what was stored as JSON, in place, what its front ends left to the defaults of their time.

    Those written down whole before there was a choice had one weighting and nothing but the horizon. What a person
    writes isn't read by this rule: keys left out are today's defaults.

    Args:
        stored: a contract, or a training's configuration, whose tasks stand at any depth.
    """
    left = [stored]  # no recursion: a stranger's file may be nested as deep as it likes
    while left:
        each = left.pop()
        if isinstance(each, list):
            left.extend(each)
        elif isinstance(each, dict):
            written = each.get("front_end")
            if isinstance(written, dict) and written.keys() >= _FIRST_FIELDS and not written.keys() & _LATER_FIELDS:
                each["front_end"] = written | {"weighting": "phase", "elevations": 0}
            left.extend(each.values())
