"""What a converter that can't do the simulator's rate makes of its sound: the same at a higher rate, a little later.

It is causal, as a converter's own filter is. The next window of sound can't be asked for, since it depends on what the
robot does upon this one; so the filter's delay stays in the sound, and is told as the array's latency.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import firwin, upfirdn

DELAY_S = 0.005  # of a linear-phase filter twice as long, which falls from full to nothing within 1 kHz about Nyquist's
_KAISER_BETA = 8.0  # 80 dB, below the noise of a microphone


class Upsampler:
    """Follows a stream; sample n out lies at the time of n * in / out samples in, and holds sound `DELAY_S` older.

    Attributes:
        delay_samples: of the input's rate, by which the sound is late.
    """

    def __init__(self, rate_hz: int, device_rate_hz: int, channels: int) -> None:
        """Prepare for a rate above the simulator's."""
        shared = math.gcd(rate_hz, device_rate_hz)
        self._up, self._down = device_rate_hz // shared, rate_hz // shared
        self.delay_samples = round(DELAY_S * rate_hz)
        taps = 2 * self.delay_samples * self._up + 1
        self._taps = firwin(taps, 1.0 / self._up, window=("kaiser", _KAISER_BETA)) * self._up
        kept = -(-2 * self.delay_samples // self._down) * self._down  # whole samples of both rates
        self._before = np.zeros((channels, kept))

    def take(self, samples: np.ndarray) -> np.ndarray:
        """Return int16 [channels, samples * out / in], all of it at once.

        Args:
            samples: int16 [channels, samples] that follow the last ones, a multiple of the time in which both rates
                have whole samples.

        Raises:
            ValueError: it is none.
        """
        count, kept = samples.shape[1], self._before.shape[1]
        if count % self._down:
            raise ValueError(
                f"{count} samples make no whole number at the device's rate; take multiples of {self._down}"
            )
        joined = np.concatenate([self._before, samples], axis=1)
        first, size = kept * self._up // self._down, count * self._up // self._down
        out = upfirdn(self._taps, joined, self._up, self._down, axis=1)[:, first : first + size]
        self._before = joined[:, count:]
        codes: np.ndarray = np.rint(np.clip(out, -32768, 32767)).astype(np.int16)
        return codes
