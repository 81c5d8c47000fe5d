"""Air: how fast sound goes and what the air takes from it."""

from __future__ import annotations

import numpy as np

SPEED_OF_SOUND_MPS = 343.2  # at 20 degrees Celsius

# ISO 9613-2:1996, table 2, 20 degrees Celsius and 70 % relative humidity; octave bands 125 to 4000 Hz.
ATTENUATION_DB_PER_KM = (0.3, 1.1, 2.8, 5.0, 9.0, 22.9)


def amplitude_exponent_per_m() -> np.ndarray:
    """Return `a` per band, float32 [bands], such that a pressure falls as exp(-a * metres)."""
    return (np.array(ATTENUATION_DB_PER_KM) / 1000.0 * np.log(10.0) / 20.0).astype(np.float32)
