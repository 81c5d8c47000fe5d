"""A sound: a mono waveform that loops without a click, at a level that physics can scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RECORDING = "recording"  # the kind of what was recorded
FRAME_S = 0.01
HANGOVER_S = 0.2
MARGIN_DB = 15.9
SEAM_S = 0.02


class SoundError(ValueError):
    """A sound that can't be used; the message says which, what is wrong with it and what to do."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A mono waveform that may be repeated end to end.

    Attributes:
        name: unique within a bank: `kind:split:instance` if procedural, the file's name if recorded.
        kind: the generator's name, or `RECORDING`.
        samples: float32 [n], pressure in units of its active RMS (`active_rms` is 1), read-only. To emit it
            at `level_db_spl` at 1 m, scale by 2e-5 Pa * 10^(level_db_spl / 20).
        sample_rate_hz: samples a second.
    """

    name: str
    kind: str
    samples: np.ndarray
    sample_rate_hz: int

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.dtype != np.float32 or samples.ndim != 1 or samples.size == 0:
            raise SoundError(
                f"{self.name}: expected float32 samples [n], n > 0, got {samples.dtype} {list(samples.shape)}"
            )
        samples.flags.writeable = False

    @property
    def label(self) -> str:
        """What it sounds like, for tables: its kind, or a recording's name, which has none."""
        return self.name if self.kind == RECORDING else self.kind

    @property
    def duration_s(self) -> float:
        """Seconds until it repeats."""
        return self.samples.size / self.sample_rate_hz


def make_sound(name: str, kind: str, samples: np.ndarray, sample_rate_hz: int, seam_s: float = SEAM_S) -> Sound:
    """Loop and normalise a waveform.

    Args:
        name: of the sound.
        kind: of the sound.
        samples: float [n], finite, of any scale and offset; `seam_s` of it is spent on the seam.
        sample_rate_hz: of the samples.
        seam_s: length of the cross-fade; at most a tenth of the waveform is taken.

    Raises:
        SoundError: the waveform is silent.
    """
    wave = np.asarray(samples, dtype=np.float64)
    wave = wave - wave.mean()
    peak = float(np.abs(wave).max())
    if peak <= 1e-9 * float(np.abs(samples).max()):  # a constant, less its mean, leaves rounding
        raise SoundError(f"{name}: silent; give a sound that can be heard")
    wave = loop(wave / peak, min(round(seam_s * sample_rate_hz), wave.size // 10))
    return Sound(name, kind, (wave / active_rms(wave, sample_rate_hz)).astype(np.float32), sample_rate_hz)


def loop(wave: np.ndarray, seam_samples: int) -> np.ndarray:
    """Cross-fade the end of a waveform into its beginning, so that it repeats without a click.

    The last `seam_samples` are laid over the first with equal power (cosine out, sine in): what follows the
    last sample of the result is the sample that followed it in the original.

    Args:
        wave: float64 [n].
        seam_samples: length of the cross-fade, less than n.

    Returns:
        float64 [n - seam_samples].
    """
    if seam_samples < 1:
        return wave
    phase = 0.5 * np.pi * np.arange(seam_samples) / seam_samples
    body, tail = wave[:-seam_samples].copy(), wave[-seam_samples:]
    body[:seam_samples] = body[:seam_samples] * np.sin(phase) + tail * np.cos(phase)
    return body


def activity(wave: np.ndarray, sample_rate_hz: int, hangover_s: float = HANGOVER_S) -> np.ndarray:
    """Tell which frames of a repeating waveform are active, in the manner of ITU-T P.56 method B.

    The gate opens where a frame's power exceeds the active level less 15.9 dB (P.56's margin) and stays open
    for 0.2 s (P.56's hangover). The active level is the whole energy divided by the active time, so gate and
    level depend on each other: starting from the level of the whole, both rise to the first fixed point.
    Simpler than the recommendation: power is taken in frames of 10 ms, not from a smoothed envelope, and the
    hangover runs over the seam, because the sound repeats.

    Args:
        wave: float [n].
        sample_rate_hz: of the waveform.
        hangover_s: how long the gate stays open; 0 shows the bare pauses. The gate's threshold is found with
            P.56's hangover in any case.

    Returns:
        Bool [frames], frames of 10 ms; the last may be shorter.
    """
    power = _frame_power(wave, sample_rate_hz)
    threshold = _threshold(power)
    return _hold(power > threshold, round(hangover_s / FRAME_S))


def active_rms(wave: np.ndarray, sample_rate_hz: int) -> float:
    """Return the root mean square over the active parts (see `activity`), in the waveform's unit."""
    active = activity(wave, sample_rate_hz)
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)) / active.mean()))


def longest_pause_s(wave: np.ndarray, sample_rate_hz: int) -> float:
    """Return the longest stretch without activity, over the seam as well, seconds."""
    active = activity(wave, sample_rate_hz, hangover_s=0.0)
    edges = np.flatnonzero(active)
    gaps = np.diff(np.concatenate([edges, edges[:1] + active.size])) - 1
    return float(gaps.max() * FRAME_S)


def _frame_power(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    frame = max(1, round(FRAME_S * sample_rate_hz))
    starts = np.arange(0, wave.size, frame)
    lengths = np.minimum(starts + frame, wave.size) - starts
    return np.add.reduceat(np.square(wave, dtype=np.float64), starts) / lengths


def _threshold(power: np.ndarray) -> float:
    """Find the lowest threshold that lies 15.9 dB below the level of what exceeds it."""
    margin = 10.0 ** (-MARGIN_DB / 10.0)
    threshold = 0.0
    for _ in range(power.size):  # each round but the last closes the gate on at least one more frame
        share = _hold(power > threshold, round(HANGOVER_S / FRAME_S)).mean()
        raised = float(power.mean() / share * margin)
        if raised <= threshold or raised >= power.max():
            break
        threshold = raised
    return threshold


def _hold(active: np.ndarray, frames: int) -> np.ndarray:
    """Keep a gate open for a number of further frames, round the end to the beginning."""
    held = active.copy()
    for shift in range(1, min(frames, active.size - 1) + 1):
        held |= np.roll(active, shift)
    return held
