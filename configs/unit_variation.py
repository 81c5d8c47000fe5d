"""How one array off the line differs from its data sheet."""

from __future__ import annotations

from pydantic import Field

from phonotaxis.configs.base import Frozen


class UnitVariation(Frozen):
    """Spread between units of one array, each microphone on its own; all 0 is the data sheet's array.

    Standard deviations are of normal distributions, cut at three of them.

    Attributes:
        gain_std_db: of sensitivity to the sources, the room's noise and the robot's, not of self-noise; MEMS
            microphones are sold within 1 dB, electrets within 3 dB.
        delay_std_us: of delay, which stands for mismatch of phase: microseconds.
        position_std_m: of place, along each axis.
        clip_below_full_scale_db: each microphone clips somewhere between full scale and so much below it.
        dead_probability: that a channel is silent: its samples are zero, without self-noise, as the robot knows a dead
            one; one microphone of an array always lives.
    """

    gain_std_db: float = Field(default=0.0, ge=0.0, le=12.0)
    delay_std_us: float = Field(default=0.0, ge=0.0, le=1000.0)
    position_std_m: float = Field(default=0.0, ge=0.0, le=0.05)
    clip_below_full_scale_db: float = Field(default=0.0, ge=0.0, le=40.0)
    dead_probability: float = Field(default=0.0, ge=0.0, le=1.0)
