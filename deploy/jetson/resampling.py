"""From a sound card's sample rate to a policy's, sample for sample in place, for cards that can't do the latter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from phonotaxis.deploy.devices import DeviceError

_CARDS_HZ = (32000, 44100, 48000, 88200, 96000)  # what sound cards do
QUALITY = "HQ"  # 20 bit, more than the converter's; its linear phase delays all frequencies and channels alike


def other_rates_hz(rate_hz: int) -> list[int]:
    """Return the rates to ask a card for that can't do this one: higher ones, its multiples first, the lowest first."""
    return sorted((rate for rate in _CARDS_HZ if rate > rate_hz), key=lambda rate: (rate % rate_hz != 0, rate))


class Resampler:
    """Follows a stream of counted samples; output sample n lies where the device's sample n * device / rate lies.

    libsoxr takes its filter's delay off: the first sample out belongs to the first one in, and what is delayed is
    when it comes out. Across a gap nothing is filtered: a new stream begins on a sample of the device that has one
    of the output at its very place.
    """

    def __init__(self, device_rate_hz: int, rate_hz: int, channels: int) -> None:
        """Prepare.

        Raises:
            DeviceError: soxr isn't installed.
        """
        try:
            import soxr
        except ImportError:
            raise DeviceError(
                f"the microphones run at {device_rate_hz} Hz and the policy at {rate_hz} Hz; soxr, which resamples, "
                "isn't installed: pip install soxr"
            ) from None
        self._make: Any = soxr.ResampleStream
        self._device_rate_hz, self._rate_hz, self._channels = device_rate_hz, rate_hz, channels
        self._unit = device_rate_hz // math.gcd(device_rate_hz, rate_hz)  # of the device's samples: both coincide
        self._stream: Any = None
        self._expected = 0  # sample of the device
        self._next = 0  # sample out

    def take(self, samples: np.ndarray, first_sample: int) -> Iterator[tuple[np.ndarray, int]]:
        """Resample what has come.

        Args:
            samples: int16 [channels, samples] at the device's rate.
            first_sample: its place in the device's count; a jump is a gap.

        Yields:
            int16 [channels, samples] at the policy's rate, and the place of the first one in its count: as much as
            is known by now, which may be nothing.
        """
        if first_sample != self._expected:
            yield from self.flush()
        self._expected = first_sample + samples.shape[1]
        if self._stream is None:
            skipped = -first_sample % self._unit
            if skipped >= samples.shape[1]:
                return
            samples = samples[:, skipped:]
            self._next = (first_sample + skipped) * self._rate_hz // self._device_rate_hz
            # in float: with int16 it dithers, and silent or copied channels would no longer be told
            self._stream = self._make(
                self._device_rate_hz, self._rate_hz, self._channels, dtype="float32", quality=QUALITY
            )
        yield from self._push(samples, last=False)

    def flush(self) -> Iterator[tuple[np.ndarray, int]]:
        """End the stream: yield what had come and was not out yet."""
        if self._stream is not None:
            yield from self._push(np.zeros((self._channels, 0), dtype=np.int16), last=True)
            self._stream = None

    def _push(self, samples: np.ndarray, last: bool) -> Iterator[tuple[np.ndarray, int]]:
        out = self._stream.resample_chunk(np.ascontiguousarray(samples.T, dtype=np.float32), last=last)
        if len(out):
            codes = np.rint(np.clip(out, -32768, 32767)).astype(np.int16)
            yield np.ascontiguousarray(codes.T), self._next
            self._next += len(out)
