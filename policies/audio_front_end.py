"""The front end of sound: directions, spectrum and nearness of one window, laid out alike for every array.

Front ends hold no trained parameters, so a trainer computes them once per frame and keeps the result; the exporter
puts the very same modules into the graph. Only operators that every engine has are used: frames are gathered
and the Fourier transform is a matrix product, since TensorRT has neither STFT nor DFT.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.config_error import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.policies import spectra
from phonotaxis.policies.manifold import TURNS, manifold, over_all_bands, pairs_of, steering
from phonotaxis.policies.short_time import ShortTimeFourier

STEERED_POWER_GAIN = 16.0  # in rooms steered power varies by some 0.05 about its mean over directions
ONSET_DECAY, ONSET_LEAST = 0.9, 0.02  # what of a frame's power counts as the last one's; what each counts at least
ELEVATION_GAIN, ELEVATION_MEAN = 4.0, 0.4  # bring power by elevation in rooms to order one
MAX_STEERING_NUMBERS = 20_000_000  # under a gigabyte while they are computed; by default 16 microphones have 2 million
MAX_FRAME_NUMBERS = 50_000_000  # of a window; the default's four microphones have 32,000
WINDOW_PARTS = 4  # the spectrum is read over this many equal parts of the window, so that rhythm shows


class AudioLayout(NamedTuple):
    """How the features of one window of sound are laid out; the same for every array.

    Attributes:
        bands: of the directional map.
        azimuths: of the directional map.
        spectral: numbers that describe the spectrum.
        elevations: at which steered power is told.
        response: numbers that describe the array.
    """

    bands: int
    azimuths: int
    spectral: int
    elevations: int
    response: int

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Lengths of the parts in their order: map (band by band), spectrum, power by elevation, array."""
        return self.bands * self.azimuths, self.spectral, self.elevations, self.response

    @property
    def told(self) -> int:
        """Number of features that have no azimuth."""
        return self.spectral + self.elevations + self.response

    @property
    def size(self) -> int:
        """Number of all features."""
        return sum(self.sizes)


def audio_layout(spec: FrontEnd) -> AudioLayout:
    """Return the layout of a front end's features."""
    spectral = WINDOW_PARTS * (1 + spec.spectrum_bands)
    response = spec.direction_bands * TURNS + 1
    return AudioLayout(spec.direction_bands, spec.azimuths, spectral, spec.elevations, response)


class AudioFrontEnd(nn.Module):
    """Directional and spectral features of one window of sound, laid out alike for every array.

    - A map over band and azimuth: steered response power (DiBiase 2000) in each of `direction_bands`, over `azimuths`
      horizontal directions of the base frame, far field, about its mean over directions and brought to order one.
    - Level and shape of the mel spectrum in each part of the window.
    - The largest steered power over all bands at each of `elevations`. How coherent sound is says how much of it came
      straight, and a source near by is heard from above: both say how near it is, which a map about its mean doesn't.
    - The array: what map a plane wave would make, and the number of microphones in octaves about four.

    What is steered is, with onset weighting, the coherence of the microphones over the window, each frame and frequency
    counted by what begins in it: by how far its power exceeds 0.9 of the one before (after the precedence effect;
    Litovsky et al. 1999). With phase weighting it is the phase transform of each frame, averaged.

    One microphone has no direction: its map, its power and its response are zeros.

    Attributes:
        layout: of the features.
        size: number of features F.
        shape: of a row of the features, (F,).
    """

    mel: Tensor
    power_steering: Tensor
    by_elevation: Tensor
    response: Tensor

    def __init__(self, contract: Contract) -> None:
        """Compute the constants from the contract's front end, array, rate and window.

        Raises:
            ConfigError: that would take more memory than any front end of use does: a stranger's contract.
        """
        super().__init__()
        spec, rate_hz = contract.front_end, contract.sample_rate_hz
        bins_hz = spectra.frequencies_hz(contract)
        _check_size(contract, len(bins_hz))
        self.layout = audio_layout(spec)
        self.size = self.layout.size
        self.shape = (self.size,)
        self.spectra = ShortTimeFourier(contract)
        self._pairs = len(pairs_of(contract.array.mics))
        self._buffer("mel", spectra.mel_weights(bins_hz, spec.spectrum_bands))
        self._edges = spectra.band_edges(bins_hz, spec.direction_bands)
        described = np.zeros(self.layout.response)
        described[-1] = np.log2(contract.array.mics / 4.0)
        self._onset = spec.weighting == "onset"
        if self._pairs:
            waves = manifold(contract.array, bins_hz, spec.azimuths, rate_hz)
            steered = steering(waves, self._edges)
            for band, matrix in enumerate(steered.bands):
                self._buffer(f"steering_{band}", matrix)
            power = over_all_bands(waves)
            self._buffer("power_steering", STEERED_POWER_GAIN * (power - power.mean(axis=1, keepdims=True)))
            if spec.elevations:
                self._buffer("by_elevation", _by_elevation(contract, bins_hz))
            described[:-1] = steered.response.ravel()
        self._buffer("response", described)
        # Spectra are in units of the converter's step. What rounding alone puts into a bin is 1 / 12 times
        # the window's energy; in units of full scale it would be 7e-9, which the exporter takes for zero and
        # drops.
        self._floor = self.spectra.energy / 12.0

    def _buffer(self, name: str, values: np.ndarray, dtype: torch.dtype = torch.float32) -> None:
        # Not persistent: constants follow from the contract and have no place in a checkpoint.
        self.register_buffer(name, torch.as_tensor(values).to(dtype), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Compute the features.

        Args:
            audio: float32 [batch, mics, window_samples], full scale ±1.

        Returns:
            float32 [batch, F], laid out as `layout` says.
        """
        real, imaginary = self.spectra(audio)
        power = real * real + imaginary * imaginary  # [batch, mics, frames, bins]
        whitening = self._whitening(power)
        directions, elevations = self._steer(real * whitening, imaginary * whitening)
        response = self.response.expand(audio.shape[0], -1)
        return torch.cat([directions, self._spectral(power), *elevations, response], dim=1)

    def _whitening(self, power: Tensor) -> Tensor:
        """Return what spectra are multiplied with, [batch, mics, frames, bins], before products are averaged."""
        power = power + self._floor
        if not self._onset:
            return torch.rsqrt(power)
        now = power.mean(dim=1, keepdim=True)
        before = torch.cat([now[:, :, :1], now[:, :, :-1]], dim=2)
        counts = (1.0 - ONSET_DECAY * before / now).clamp(min=ONSET_LEAST)
        return torch.sqrt(counts) * torch.rsqrt((counts * power).mean(dim=2, keepdim=True))

    @property
    def bins(self) -> int:
        """Number of frequencies that directions are taken from."""
        return self.spectra.bins

    def spectrum_power(self, audio: Tensor) -> Tensor:
        """Return the power at each frequency, averaged over frames and microphones, float32 [batch, bins]."""
        real, imaginary = self.spectra(audio)
        return (real**2 + imaginary**2).mean(dim=(1, 2))

    def steered_power(self, audio: Tensor, weights: Tensor) -> Tensor:
        """Compute the steered response power over all bands at once, with frequencies weighted.

        Args:
            audio: float32 [batch, mics, window_samples], full scale ±1; two microphones at least.
            weights: float32 [batch, bins], 1 for every frequency alike.

        Returns:
            float32 [batch, azimuths], about its mean over directions, times `STEERED_POWER_GAIN`.
        """
        real, imaginary = self.spectra(audio)
        whitening = torch.rsqrt(real * real + imaginary * imaginary + self._floor) * weights.sqrt()[:, None, None]
        cross = torch.cat(self._cross(real * whitening, imaginary * whitening), dim=2)
        return cross.flatten(1) @ self.power_steering

    def _cross(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """Average the pairs' phasors over frames: real and imaginary parts, each [batch, pairs, bins]."""
        reals, imaginaries = [], []
        for first in range(real.shape[1] - 1):  # with all later microphones: the order of `pairs_of`
            real_a, imaginary_a = real[:, first : first + 1], imaginary[:, first : first + 1]
            real_b, imaginary_b = real[:, first + 1 :], imaginary[:, first + 1 :]
            reals.append((real_a * real_b + imaginary_a * imaginary_b).mean(dim=2))
            imaginaries.append((imaginary_a * real_b - real_a * imaginary_b).mean(dim=2))
        return torch.cat(reals, dim=1), torch.cat(imaginaries, dim=1)

    def _steer(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Steer whitened spectra: the map [batch, bands * azimuths]; the power by elevation, where that is told."""
        layout, batch = self.layout, real.shape[0]
        if not self._pairs:
            lengths = [layout.bands * layout.azimuths] + [layout.elevations] * bool(layout.elevations)
            silent = [torch.zeros((batch, length), device=real.device) for length in lengths]
            return silent[0], silent[1:]
        cross_real, cross_imaginary = self._cross(real, imaginary)
        rows = []
        for band, (low, high) in enumerate(zip(self._edges[:-1].tolist(), self._edges[1:].tolist())):
            part = torch.cat([cross_real[:, :, low:high], cross_imaginary[:, :, low:high]], dim=2)
            rows.append(part.flatten(1) @ getattr(self, f"steering_{band}"))
        directions = torch.cat(rows, dim=1)
        if not layout.elevations:
            return directions, []
        cross = torch.cat([cross_real, cross_imaginary], dim=2).flatten(1)
        power = (cross @ self.by_elevation).unflatten(1, (layout.elevations, -1)).amax(dim=2)
        return directions, [ELEVATION_GAIN * (power - ELEVATION_MEAN)]

    def _spectral(self, power: Tensor) -> Tensor:
        """Return each part's level [batch, parts] and mel shape [batch, parts * bands], in decades."""
        over_mics = power.mean(dim=1)
        frames = over_mics.shape[1]
        cuts = [round(part * frames / WINDOW_PARTS) for part in range(WINDOW_PARTS + 1)]
        parts = [over_mics[:, a:b].mean(dim=1) for a, b in zip(cuts, cuts[1:])]
        bands = torch.log10(torch.stack(parts, dim=1) @ self.mel + self._floor)
        level = bands.mean(dim=2, keepdim=True)
        # Levels run from 1 (rounding noise) to 12 (clipping); centred and scaled they are of order one.
        return torch.cat([((level - 6.0) * 0.5).flatten(1), (bands - level).flatten(1)], dim=1)


def _check_size(contract: Contract, bins: int) -> None:
    spec, mics = contract.front_end, contract.array.mics
    pairs = len(pairs_of(mics))
    directions = 2 * spec.azimuths + spec.elevations * max(1, spec.azimuths // 2)  # the horizon: by band, and over all
    if pairs * bins * directions > MAX_STEERING_NUMBERS:
        raise ConfigError(
            f"front_end: {pairs} pairs of microphones at {bins} bins steered to {directions} directions are "
            f"{pairs * bins * directions} numbers, {MAX_STEERING_NUMBERS} at most: ask for fewer azimuths or "
            "elevations, or lower n_fft"
        )
    frames = len(spectra.frame_starts(contract.window_samples, spec.n_fft, spec.hop))
    if frames < WINDOW_PARTS:
        raise ConfigError(
            f"front_end: a window of {contract.window_samples} samples holds {frames} frames of n_fft {spec.n_fft}, "
            f"hop {spec.hop}; expected at least {WINDOW_PARTS}: lower n_fft or hop, or lengthen window_samples"
        )
    if frames * spec.n_fft * mics > MAX_FRAME_NUMBERS:
        raise ConfigError(
            f"front_end: {frames} frames of {spec.n_fft} samples of {mics} microphones are "
            f"{frames * spec.n_fft * mics} numbers, {MAX_FRAME_NUMBERS} at most: raise hop, or shorten the window"
        )


def _by_elevation(contract: Contract, bins_hz: np.ndarray) -> np.ndarray:
    """Matrix [pairs * 2 * bins, elevations * azimuths] that steers all bands, at every second azimuth."""
    spec = contract.front_end
    azimuths = max(1, spec.azimuths // 2)
    elevations_rad = np.linspace(0.0, np.pi / 2.0, spec.elevations)
    waves = (manifold(contract.array, bins_hz, azimuths, contract.sample_rate_hz, up) for up in elevations_rad)
    return np.concatenate([over_all_bands(wave) for wave in waves], axis=1)
