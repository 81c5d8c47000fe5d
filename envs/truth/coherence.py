"""How alike the late sound is at two microphones, against exact image sources.

The ceiling absorbs, so what is left after 100 ms travels flat: a tail that is made of directions drawn evenly from the
sphere fails here, between microphones beside as well as above each other.
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.truth import Progress, Row
from phonotaxis.envs.truth.images import Shoebox, image_responses, smooth_materials
from phonotaxis.envs.truth.shoebox import RATE_HZ, Point, Pose, microphones_m

SEED = 20261124
SOURCES, POSES = 4, 25  # poses for each source; as many others for the reference against itself
BEGIN_S = 0.1
LOW_HZ, HIGH_HZ = 200.0, 4000.0
ROOM = Shoebox("under an absorbing ceiling", (6.4, 4.8, 2.8), 0.15, 0.15, 0.70, 0.40)
ARRAY = MicrophoneArray(
    name="three beside and one above",
    mic_xyz_m=((0.032, 0.0, 0.0), (-0.032, 0.0, 0.0), (0.0, 0.032, 0.0), (0.0, 0.0, 0.05)),
    channel_map=(0, 1, 2, 3),
    device_channels=4,
)
_FRAME = 256


def run(progress: Progress) -> list[Row]:
    """Compare the coherence of all pairs.

    Raises:
        ReferenceMissing: pyroomacoustics isn't installed.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    ours: list[np.ndarray] = []
    exact: list[np.ndarray] = []
    other: list[np.ndarray] = []
    with smooth_materials([ROOM]):
        scene = ROOM.scene()
        for number in range(SOURCES):
            progress(number / SOURCES, "coherence")
            source = _draw(rng, 0.5)
            poses = [Pose(_draw(rng, 0.5), 0.0) for _ in range(2 * POSES)]
            points = np.concatenate([microphones_m(ARRAY, pose) for pose in poses])
            responses = image_responses(ROOM, source, points, RATE_HZ).reshape(len(poses), ARRAY.mics, -1)
            exact.extend(responses[:POSES])
            other.extend(responses[POSES:])
            ours.extend(
                impulse_response(scene, source, pose.centre_m, 0.0, ARRAY, RATE_HZ, ROOM.length_s)
                for pose in poses[:POSES]
            )
    return [_row(*(coherence(np.array(responses), RATE_HZ) for responses in (ours, exact, other)))]


def _draw(rng: np.random.Generator, margin_m: float) -> Point:
    x, y = (float(margin_m + rng.random() * (edge - 2 * margin_m)) for edge in ROOM.size_m[:2])
    return x, y, float(rng.uniform(0.3, 1.6))


def _row(ours: np.ndarray, exact: np.ndarray, other: np.ndarray) -> Row:
    error, own = np.abs(ours - exact), np.abs(other - exact)
    pairs = ", ".join(f"{np.sqrt(np.mean(row**2)):.3f}" for row in error)
    return Row(
        "coherence_error", float(np.sqrt(np.mean(error**2))), "", 0.05, float(np.sqrt(np.mean(own**2))),
        f"root mean square over third octaves of {SOURCES * POSES} poses; by pair {pairs} "
        "(the last of each microphone's is the one above)",
        tuple(error.ravel()),
    )  # fmt: skip


def coherence(responses: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the complex coherence of all pairs of microphones from 100 ms onward, in third octaves.

    Every frame of the decay counts alike, however faint: otherwise the first few would be all there is.

    Args:
        responses: float [poses, mics, taps].
        sample_rate_hz: of the responses.

    Returns:
        complex128 [pairs, third octaves of 200 to 4000 Hz]; pairs (0, 1), (0, 2), ... (1, 2), ...
    """
    late = np.asarray(responses, dtype=np.float64)[:, :, round(BEGIN_S * sample_rate_hz) :]
    frequency_hz, _, spectra = scipy.signal.stft(
        late, sample_rate_hz, nperseg=_FRAME, noverlap=_FRAME // 2, boundary=None, padded=False
    )  # [poses, mics, frequencies, frames]
    edges = LOW_HZ * 2.0 ** (np.arange(round(3 * np.log2(HIGH_HZ / LOW_HZ)) + 1) / 3.0)
    band = np.digitize(frequency_hz, edges) - 1
    out = []
    for i in range(late.shape[1]):
        for j in range(i + 1, late.shape[1]):
            out.append([_one(spectra[:, i, band == b], spectra[:, j, band == b]) for b in range(edges.size - 1)])
    return np.array(out)


def _one(first: np.ndarray, second: np.ndarray) -> complex:
    """Return the coherence of two microphones over a band, complex spectra [poses, frequencies, frames] each."""
    energy = (np.abs(first) ** 2 + np.abs(second) ** 2).mean(axis=(0, 1))  # of each frame: all poses decay alike
    weight = 1.0 / np.maximum(energy, 1e-12 * energy.max())
    cross = (weight * first * second.conj()).sum()
    return complex(cross / np.sqrt((weight * np.abs(first) ** 2).sum() * (weight * np.abs(second) ** 2).sum()))
