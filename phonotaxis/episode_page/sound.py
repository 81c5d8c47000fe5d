"""The sound of an episode: blocks laid on one time line, and a WAV to play."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

from phonotaxis.deploy.devices import AudioBlock

NS_PER_S = 1_000_000_000
PEAK = 0.7  # of full scale, to which a quiet recording is raised for listening
MOST_GAIN = 300.0


def time_line(
    blocks: Iterable[AudioBlock], channels: list[int], sample_rate_hz: int, start_ns: int, end_ns: int
) -> np.ndarray:
    """Lay blocks on a time line; what nobody recorded is 0.

    Samples follow each other by their index. After a jump of more than a tenth of a second, or backwards, the
    capture time says where they belong.

    Args:
        blocks: in order.
        channels: of the device, that are wanted.
        sample_rate_hz: of them.
        start_ns: monotonic time of the line's first sample.
        end_ns: of its end.

    Returns:
        int16 [channels, samples].
    """
    count = max(1, (end_ns - start_ns) * sample_rate_hz // NS_PER_S)
    line = np.zeros((len(channels), count), dtype=np.int16)
    place: int | None = None  # where sample 0 of the stream would lie
    expected = 0
    for block in blocks:
        if place is None or not 0 <= block.first_sample - expected <= sample_rate_hz // 10:
            place = (block.capture_ns - start_ns) * sample_rate_hz // NS_PER_S - block.first_sample
        at = place + block.first_sample
        expected = block.first_sample + block.samples.shape[1]
        first, last = max(0, at), min(count, at + block.samples.shape[1])
        if first < last:
            line[:, first:last] = block.samples[channels, first - at : last - at]
    return line


def louder(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Raise a recording to `PEAK` of full scale.

    Args:
        samples: int16 [channels, samples].

    Returns:
        int16 of the same shape, and the factor.
    """
    peak = float(np.abs(samples.astype(np.int32)).max()) / 32768.0
    gain = float(np.clip(PEAK / peak, 1.0, MOST_GAIN)) if peak > 0 else 1.0
    return np.rint(samples * gain).clip(-32768, 32767).astype(np.int16), gain


def wav(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """Write 16-bit PCM as RIFF WAVE.

    Args:
        samples: int16 [channels, samples].
        sample_rate_hz: of them.
    """
    channels = len(samples)
    data = np.ascontiguousarray(samples.T, dtype="<i2").tobytes()
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate_hz, 2 * channels * sample_rate_hz, 2 * channels, 16)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
