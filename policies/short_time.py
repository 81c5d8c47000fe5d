"""The short-time Fourier transform of the front end, as a matrix product whose bits hardly depend on the engine.

A product of float32 rounds each time it adds, and engines add in different orders. Where a loud sound lies beside
quiet frequencies, that is 1e-5 to 1e-3 of the quiet ones. Whitening makes them count like the loud, steering amplifies
the low ones, and a memory that has searched in vain for minutes makes a thousand times as much of it. So the basis is
parted, after Ozaki, Ogita, Oishi and Rump (2012): into numbers of few bits, whose products with 16-bit samples are
integers that float32 adds exactly in any order, and a small rest, of which the rounding doesn't matter. That the
product is twice as wide costs little, since samples n and n_fft - n are read together: cosines are alike there, and
sines opposite.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.contract import INT16_FULL_SCALE, Contract
from phonotaxis.policies import spectra


class ShortTimeFourier(nn.Module):
    """Spectra of frames under a periodic Hann window; the last frame ends with the window of sound.

    Attributes:
        bins: number of frequencies.
        energy: of the Hann window: what white noise of variance 1 has in a bin.
    """

    cosines: Tensor
    sines: Tensor
    rising: Tensor
    falling: Tensor

    def __init__(self, contract: Contract) -> None:
        """Compute the constants from the contract's front end, rate and window."""
        super().__init__()
        spec = contract.front_end
        bins_hz = spectra.frequencies_hz(contract)
        self.bins = len(bins_hz)
        self.energy = float((spectra.hann(spec.n_fft) ** 2).sum())
        bases = spectra.folded_bases(spec.n_fft, contract.sample_rate_hz, bins_hz)
        for name, basis in zip(("cosines", "sines"), bases):
            self._buffer(name, np.concatenate(parted(basis), axis=1), torch.float32)
        starts = spectra.frame_starts(contract.window_samples, spec.n_fft, spec.hop)
        self._half, self._hop = spec.n_fft // 2, spec.hop
        self._first_sample, self._frame_count = int(starts[0]), len(starts)
        self._even = spec.n_fft % 2 == 0 and self._half % spec.hop == 0
        if not self._even:
            steps = np.arange(1, self._half + 1)[None, :]
            self._buffer("rising", starts[:, None] + steps, torch.int64)
            self._buffer("falling", starts[:, None] + spec.n_fft - steps, torch.int64)

    def _buffer(self, name: str, values: np.ndarray, dtype: torch.dtype) -> None:
        # Not persistent: constants follow from the contract and have no place in a checkpoint.
        self.register_buffer(name, torch.as_tensor(values).to(dtype), persistent=False)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Transform each frame.

        Args:
            audio: float32 [batch, mics, window_samples], full scale ±1.

        Returns:
            Real and imaginary parts, each float32 [batch, mics, frames, bins], in converter steps.
        """
        rising, falling = self._halves(audio * INT16_FULL_SCALE)
        return self._joined((rising + falling) @ self.cosines), self._joined((rising - falling) @ self.sines)

    def _joined(self, parts: Tensor) -> Tensor:
        """Add what the leading bits make and what the rest makes."""
        return parts[..., : self.bins] + parts[..., self.bins :]

    def _halves(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Read each frame from its second sample up, and from its last one down; [..., frames, n_fft // 2] each."""
        if not self._even:
            return _taken(samples, self.rising), _taken(samples, self.falling)
        first = self._first_sample
        return self._cut(samples, first + 1), self._cut(samples, first + self._half).flip(3)

    def _cut(self, samples: Tensor, first: int) -> Tensor:
        """Cut half frames from a sample on, a hop apart."""
        # Whole hops to half a frame: joining slices of blocks is several times faster than gathering samples.
        hops = self._half // self._hop
        end = first + (self._frame_count + hops - 1) * self._hop
        blocks = samples[:, :, first:end].unflatten(2, (-1, self._hop))
        return torch.cat([blocks[:, :, part : part + self._frame_count] for part in range(hops)], dim=3)


def _taken(samples: Tensor, index: Tensor) -> Tensor:
    """Take samples [batch, mics, samples] by a matrix of their numbers, in an operator that a bundle may hold."""
    return samples.index_select(2, index.flatten()).unflatten(2, tuple(index.shape))


def parted(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part a basis [half a frame, bins] of numbers within ±1 into its leading bits and the rest.

    With seven bits behind the point for frames of 256 samples, sums are exact up to 131,072 converter steps: all those
    of a tone of a sixteenth of full scale, of noise far louder than that, and of all that is quieter.
    """
    scale = 2.0 ** (14 - round(np.log2(len(basis))))
    leading: np.ndarray = np.rint(basis * scale) / scale
    return leading, basis - leading
