"""The front ends: fixed transforms from what the sensors deliver to what the network reads.

They hold no trained parameters, so a trainer computes them once per frame and keeps the result; the exporter
puts the very same modules into the graph. Only operators that every engine has are used: frames are gathered
and the Fourier transform is a matrix product, since TensorRT has neither STFT nor DFT.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.contract import INT16_FULL_SCALE, Contract

SPEED_OF_SOUND_MPS = 343.2  # dry air at 20 degrees Celsius (Cramer 1993)
DEPTH_CELLS = 32  # both sides of the pooled depth image
# In rooms a correlation varies by some 0.06 from step to step, and steered power about its mean over
# directions by 0.05, against 0.7 for spectral shapes: brought to order one they are learnt from sooner.
CORRELATION_GAIN = 8.0
STEERED_POWER_GAIN = 16.0
WINDOW_PARTS = 2  # the spectrum is read over this many equal parts of the window, so that onsets show


class AudioFrontEnd(nn.Module):
    """Directional and spectral features of one window of sound.

    In order: generalised cross-correlation with phase transform (Knapp and Carter 1976) of each pair of
    microphones at `lags` delays; steered response power with phase transform (DiBiase 2000) at `azimuths`
    horizontal directions of the base frame, far field, the first straight ahead and then counter-clockwise;
    for each half of the window its level and the shape of its mel spectrum about that level.

    The phase transform is taken per frame and averaged: |average| is then the coherence of the pair over
    time, low where the field is diffuse, and a direction that holds through the window outweighs a loud
    reflection. One microphone alone has no pairs and gives the spectral part only.

    Attributes:
        size: number of features F.
    """

    frame_index: Tensor
    fourier: Tensor
    mel: Tensor
    delays: Tensor
    steering: Tensor

    def __init__(self, contract: Contract) -> None:
        """Compute the constants from the contract's front end, array, rate and window."""
        super().__init__()
        spec, rate_hz = contract.front_end, contract.sample_rate_hz
        frequencies_hz = _frequencies_hz(contract)
        self._bins = len(frequencies_hz)
        pairs = list(combinations(range(contract.array.mics), 2))
        self._pairs = len(pairs)
        self._hop, self._hops_per_frame = spec.hop, spec.n_fft // spec.hop
        starts = _frame_starts(contract.window_samples, spec.n_fft, spec.hop)
        self._first_sample, self._frame_count = int(starts[0]), len(starts)
        self._even = spec.n_fft % spec.hop == 0
        if not self._even:
            self._buffer("frame_index", starts[:, None] + np.arange(spec.n_fft)[None, :], torch.int64)
        self._buffer("fourier", _fourier_basis(spec.n_fft, rate_hz, frequencies_hz))
        self._buffer("mel", _mel_weights(frequencies_hz, spec.spectrum_bands))
        offsets_m = contract.array.positions_m()
        apart_m = np.array([offsets_m[a] - offsets_m[b] for a, b in pairs]).reshape(-1, 3)
        self._buffer("delays", _delay_phases(frequencies_hz, _lags_s(apart_m, spec.lags, rate_hz)))
        self._buffer("steering", _steering_phases(frequencies_hz, apart_m, spec.azimuths))
        # Spectra are in units of the converter's step. What rounding alone puts into a bin is 1 / 12 times
        # the window's energy; in units of full scale it would be 7e-9, which the exporter takes for zero and
        # drops.
        self._floor = float((_hann(spec.n_fft) ** 2).sum() / 12.0)
        directional = self._pairs * spec.lags + spec.azimuths if pairs else 0
        self.size = directional + WINDOW_PARTS * (1 + spec.spectrum_bands)

    def _buffer(self, name: str, values: np.ndarray, dtype: torch.dtype = torch.float32) -> None:
        # Not persistent: constants follow from the contract and have no place in a checkpoint.
        self.register_buffer(name, torch.as_tensor(values).to(dtype), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Compute the features.

        Args:
            audio: float32 [batch, mics, window_samples], full scale ±1.

        Returns:
            float32 [batch, F]: correlations in [-1, 1] times `CORRELATION_GAIN`; steered power about its mean
            over directions, times `STEERED_POWER_GAIN`; levels and shapes in decades of power about a fixed
            offset.
        """
        spectrum = self._frames(audio) @ self.fourier  # [batch, mics, frames, 2 * bins]
        real, imaginary = spectrum[..., : self._bins], spectrum[..., self._bins :]
        power = real * real + imaginary * imaginary  # [batch, mics, frames, bins]
        spectral = self._spectral(power)
        if not self._pairs:
            return spectral
        whitening = torch.rsqrt(power + self._floor)
        return torch.cat([*self._directional(real * whitening, imaginary * whitening), spectral], dim=1)

    @property
    def bins(self) -> int:
        """Number of frequencies that directions are taken from."""
        return self._bins

    def spectrum_power(self, audio: Tensor) -> Tensor:
        """Return the power at each frequency, averaged over frames and microphones, float32 [batch, bins]."""
        spectrum = self._frames(audio) @ self.fourier
        return (spectrum[..., : self._bins] ** 2 + spectrum[..., self._bins :] ** 2).mean(dim=(1, 2))

    def steered_power(self, audio: Tensor, weights: Tensor) -> Tensor:
        """Compute the steered response power alone, with frequencies weighted.

        Args:
            audio: float32 [batch, mics, window_samples], full scale ±1; two microphones at least.
            weights: float32 [batch, bins], 1 for the power that `forward` gives.

        Returns:
            float32 [batch, azimuths], as in `forward`.
        """
        spectrum = self._frames(audio) @ self.fourier
        real, imaginary = spectrum[..., : self._bins], spectrum[..., self._bins :]
        whitening = torch.rsqrt(real * real + imaginary * imaginary + self._floor) * weights.sqrt()[:, None, None]
        return self._directional(real * whitening, imaginary * whitening)[1]

    def _frames(self, audio: Tensor) -> Tensor:
        """Cut the window into frames, [batch, mics, frames, n_fft]."""
        if not self._even:
            return audio[:, :, self.frame_index]
        # Whole hops to a frame: joining slices of blocks is several times faster than gathering samples.
        blocks = audio[:, :, self._first_sample :].unflatten(2, (-1, self._hop))
        shifted = [blocks[:, :, part : part + self._frame_count] for part in range(self._hops_per_frame)]
        return torch.cat(shifted, dim=3)

    def _directional(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """Average the pairs' phasors over frames, then read them at delays and at directions."""
        parts = []
        for first in range(real.shape[1] - 1):  # with all later microphones: the order of `combinations`
            real_a, imaginary_a = real[:, first : first + 1], imaginary[:, first : first + 1]
            real_b, imaginary_b = real[:, first + 1 :], imaginary[:, first + 1 :]
            cross_real = (real_a * real_b + imaginary_a * imaginary_b).mean(dim=2)
            cross_imaginary = (imaginary_a * real_b - real_a * imaginary_b).mean(dim=2)
            parts.append(torch.cat([cross_real, cross_imaginary], dim=2))
        cross = torch.cat(parts, dim=1)  # [batch, pairs, 2 * bins]
        return (cross @ self.delays).flatten(1), cross.flatten(1) @ self.steering

    def _spectral(self, power: Tensor) -> Tensor:
        """Return each part's level [batch, parts] and mel shape [batch, parts * bands], in decades."""
        over_mics = power.mean(dim=1)
        frames = over_mics.shape[1]
        cuts = [round(part * frames / WINDOW_PARTS) for part in range(WINDOW_PARTS + 1)]
        halves = [over_mics[:, a:b].mean(dim=1) for a, b in zip(cuts, cuts[1:])]
        bands = torch.log10(torch.stack(halves, dim=1) @ self.mel + self._floor)
        level = bands.mean(dim=2, keepdim=True)
        # Levels run from 1 (rounding noise) to 12 (clipping); centred and scaled they are of order one.
        return torch.cat([((level - 6.0) * 0.5).flatten(1), (bands - level).flatten(1)], dim=1)


class DepthFrontEnd(nn.Module):
    """Depth as nearness on a coarse grid: the nearest surface of each cell, and how much of it is known."""

    def __init__(self, contract: Contract) -> None:
        """Take the camera's size and range.

        Raises:
            ValueError: a side of the image is not a multiple of 32 pixels.
        """
        super().__init__()
        camera = contract.camera
        if camera.height % DEPTH_CELLS or camera.width % DEPTH_CELLS:
            raise ValueError(
                f"camera is {camera.width} x {camera.height} pixels; the policy needs multiples of "
                f"{DEPTH_CELLS} (the runtime reprojects any camera, so choose the nearest multiple)"
            )
        self._kernel = (camera.height // DEPTH_CELLS, camera.width // DEPTH_CELLS)
        self._scale = float(1.0 / np.log1p(camera.max_range_m))

    def forward(self, depth: Tensor) -> Tensor:
        """Pool the image.

        Args:
            depth: float32 [batch, height, width], metres, 0 = unknown.

        Returns:
            float32 [batch, 2, 32, 32]: nearness, 1 at the lens and 0 at maximum range (logarithmic, since a
            door at 5 m and a chair leg at 0.5 m both matter) or unknown; fraction of known pixels.
        """
        known = (depth > 0.0).to(depth.dtype)
        nearness = (1.0 - torch.log1p(depth.clamp(min=0.0)) * self._scale).clamp(min=0.0) * known
        nearest = nn.functional.max_pool2d(nearness[:, None], self._kernel)
        return torch.cat([nearest, nn.functional.avg_pool2d(known[:, None], self._kernel)], dim=1)


class MotionFrontEnd(nn.Module):
    """Odometry and the age of the depth image, of order one.

    Attributes:
        size: number of features, 8.
    """

    size = 8
    scale: Tensor

    def __init__(self, contract: Contract) -> None:
        """Take the body's limits and the control period as units."""
        super().__init__()
        body, period_s = contract.body, contract.control_period_s
        step_m, turn_rad = body.max_v_mps * period_s, body.max_w_radps * period_s
        units = [step_m, step_m, turn_rad, body.max_v_mps, body.max_w_radps, 1.0]
        self.register_buffer("scale", 1.0 / torch.tensor(units, dtype=torch.float32), persistent=False)
        self._period_s = period_s

    def forward(self, motion: Tensor, motion_valid: Tensor, depth_age_s: Tensor) -> Tensor:
        """Scale and bound the motion.

        Args:
            motion: float32 [batch, 6], fields `contract.MOTION_FIELDS`.
            motion_valid: float32 [batch, 1], 0 or 1; where 0 the displacement reads as zero.
            depth_age_s: float32 [batch, 1], seconds.

        Returns:
            float32 [batch, 8], each in [-4, 4].
        """
        scaled = motion * self.scale
        scaled = torch.cat([scaled[:, :3] * motion_valid, scaled[:, 3:]], dim=1)
        return torch.cat([scaled, motion_valid, depth_age_s / self._period_s], dim=1).clamp(-4.0, 4.0)


def _frequencies_hz(contract: Contract) -> np.ndarray:
    """Frequencies of the bins between the front end's bounds, without the constant; [bins]."""
    spec = contract.front_end
    all_hz = np.arange(spec.n_fft // 2 + 1) * contract.sample_rate_hz / spec.n_fft
    chosen = all_hz[(all_hz >= max(spec.low_hz, 1e-9)) & (all_hz <= spec.high_hz)]
    if len(chosen) < 2:
        raise ValueError(
            f"front_end: {len(chosen)} bins lie between {spec.low_hz} and {spec.high_hz} Hz, two are needed; "
            "widen the bounds or raise n_fft"
        )
    return chosen


def _frame_starts(window_samples: int, n_fft: int, hop: int) -> np.ndarray:
    """First sample of each frame; the last frame ends with the window, the oldest samples may go unread."""
    count = (window_samples - n_fft) // hop + 1
    return window_samples - n_fft - hop * np.arange(count, dtype=np.int64)[::-1]


def _hann(n_fft: int) -> np.ndarray:
    """Periodic Hann window, float64 [n_fft]."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)


def _fourier_basis(n_fft: int, rate_hz: int, frequencies_hz: np.ndarray) -> np.ndarray:
    """Windowed DFT of frames at full scale ±1, in converter steps: [n_fft, 2 * bins], real, imaginary."""
    angles = 2.0 * np.pi * np.outer(np.arange(n_fft), frequencies_hz) / rate_hz
    window = _hann(n_fft)[:, None] * INT16_FULL_SCALE
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1) * window


def _mel_weights(frequencies_hz: np.ndarray, bands: int) -> np.ndarray:
    """Triangular bands evenly spaced in mel (O'Shaughnessy 1987), each of unit sum: [bins, bands]."""
    mel = 2595.0 * np.log10(1.0 + frequencies_hz / 700.0)
    centres = np.linspace(mel[0], mel[-1], bands)
    # No narrower than the bins are apart, so that no band is empty where bins are sparse.
    half_width = max((mel[-1] - mel[0]) / max(bands - 1, 1), float(np.diff(mel).max()))
    weights = np.maximum(1.0 - np.abs(mel[:, None] - centres[None, :]) / half_width, 0.0)
    return weights / weights.sum(axis=0, keepdims=True)


def _lags_s(apart_m: np.ndarray, lags: int, rate_hz: int) -> np.ndarray:
    """Delays evenly spaced out to the widest pair plus one sample, seconds [lags]."""
    widest_m = float(np.linalg.norm(apart_m, axis=1).max(initial=0.0))
    bound_s = widest_m / SPEED_OF_SOUND_MPS + 1.0 / rate_hz
    return np.linspace(-bound_s, bound_s, lags)


def _delay_phases(frequencies_hz: np.ndarray, lags_s: np.ndarray) -> np.ndarray:
    """Matrix [2 * bins, lags] that reads a cross-spectrum's mean over bins at delays, second to first."""
    angles = 2.0 * np.pi * np.outer(frequencies_hz, lags_s)
    # Re(G exp(i w tau)): a first microphone that hears `tau` later has G = exp(-i w tau).
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=0) * (CORRELATION_GAIN / len(frequencies_hz))


def _steering_phases(frequencies_hz: np.ndarray, apart_m: np.ndarray, azimuths: int) -> np.ndarray:
    """Matrix [pairs * 2 * bins, azimuths] that reads the pairs' cross-spectra at plane waves."""
    azimuth_rad = 2.0 * np.pi * np.arange(azimuths) / azimuths
    towards = np.stack([np.cos(azimuth_rad), np.sin(azimuth_rad), np.zeros(azimuths)])
    delays_s = -(apart_m @ towards) / SPEED_OF_SOUND_MPS  # the microphone nearer to the source hears first
    angles = 2.0 * np.pi * frequencies_hz[None, :, None] * delays_s[:, None, :]  # [pairs, bins, azimuths]
    phases = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
    power = phases.reshape(-1, azimuths) / (len(frequencies_hz) * max(len(apart_m), 1))
    return STEERED_POWER_GAIN * (power - power.mean(axis=1, keepdims=True))
