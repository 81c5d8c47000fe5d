"""Steered response power with phase transform (DiBiase 2000): where a sound comes from, with numpy alone.

The reference that `listen` shows beside the policy's own belief; the policy has a front end of its own inside
its graph.
"""

from __future__ import annotations

import itertools

import numpy as np

from phonotaxis.configs.array import MicrophoneArray

SOUND_MPS = 343.0
AZIMUTHS = 72
_BAND_HZ = (300.0, 6000.0)


class SteeredPower:
    """Power by direction in the horizontal plane, for one array and block length."""

    def __init__(self, array: MicrophoneArray, sample_rate_hz: int, samples: int) -> None:
        positions = array.positions_m()
        self.azimuth_rad = np.arange(AZIMUTHS) * (2 * np.pi / AZIMUTHS)
        towards = np.stack([np.cos(self.azimuth_rad), np.sin(self.azimuth_rad), np.zeros(AZIMUTHS)])
        hz = np.fft.rfftfreq(samples, 1.0 / sample_rate_hz)
        self._band = (hz >= _BAND_HZ[0]) & (hz <= _BAND_HZ[1])
        self._pairs = list(itertools.combinations(range(array.mics), 2))
        # of two microphones, the one further towards the source hears it first
        delays_s = np.stack([-(positions[a] - positions[b]) @ towards / SOUND_MPS for a, b in self._pairs])
        self._steer = np.exp(2j * np.pi * delays_s[:, :, None] * hz[self._band])

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the power by azimuth.

        Args:
            samples: float [mics, samples], in the order of the array's positions.

        Returns:
            float64 [azimuths], -1 to 1, of the directions in `azimuth_rad`.
        """
        spectra = np.fft.rfft(samples * np.hanning(samples.shape[1]))[:, self._band]
        power = np.zeros(AZIMUTHS)
        for (a, b), steer in zip(self._pairs, self._steer):
            cross = spectra[a] * np.conj(spectra[b])
            power += (steer @ (cross / (np.abs(cross) + 1e-12))).real
        return power / (len(self._pairs) * int(self._band.sum()))
