"""Microphone arrays: where the microphones are and what their converter delivers."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen
from phonotaxis.configs.directivity import Directivity, Omnidirectional, Vector3, check_fits


class MicrophoneArray(Frozen):
    """A microphone array in the robot's base frame (REP-103: x forward, y left, z up; metres).

    The policy sees channels in the order of `mic_xyz_m`; `channel_map[i]` is the 0-based channel of the device
    that carries microphone `i`, so a firmware that puts processed channels first is a matter of this file.
    """

    name: str = Field(min_length=1)
    mic_xyz_m: tuple[Vector3, ...] = Field(min_length=1, max_length=16)
    channel_map: tuple[int, ...]
    device_channels: int = Field(ge=1, le=64)
    device_name: str = ""
    sensitivity_dbfs_at_94_db_spl: float = Field(default=-26.0, ge=-80.0, le=0.0)
    self_noise_dba: float = Field(default=30.0, ge=0.0, le=80.0)
    directivity: Directivity = Omnidirectional()

    @model_validator(mode="after")
    def _channels_fit(self) -> MicrophoneArray:
        if len(self.channel_map) != len(self.mic_xyz_m):
            raise ValueError(f"channel_map has {len(self.channel_map)} entries for {len(self.mic_xyz_m)} microphones")
        if len(set(self.channel_map)) != len(self.channel_map):
            raise ValueError(f"channel_map names a channel twice: {list(self.channel_map)}")
        if not all(0 <= c < self.device_channels for c in self.channel_map):
            raise ValueError(f"channel_map must lie in 0..{self.device_channels - 1}, got {list(self.channel_map)}")
        if any(np.hypot(np.hypot(x, y), z) > 2.0 for x, y, z in self.mic_xyz_m):
            raise ValueError("a microphone lies more than 2 m from the robot's base: are the positions in metres?")
        check_fits(self.directivity, self.mic_xyz_m)
        return self

    @property
    def mics(self) -> int:
        """Number of microphones."""
        return len(self.mic_xyz_m)

    def positions_m(self) -> np.ndarray:
        """Microphone positions in the base frame, float64 [mics, 3], metres."""
        return np.asarray(self.mic_xyz_m, dtype=np.float64)

    @property
    def full_scale_pascal(self) -> float:
        """Peak pressure in pascal at which the converter clips.

        0 dBFS is a sine of full-scale amplitude (AES17), and 94 dB SPL is 1 Pa RMS, so a sensitivity of s dBFS
        means that 1 Pa RMS, a sine of amplitude sqrt(2) Pa, reads 10^(s/20) of full scale.
        """
        return float(np.sqrt(2.0) * 10.0 ** (-self.sensitivity_dbfs_at_94_db_spl / 20.0))
