from __future__ import annotations

import numpy as np
import pytest
import torch

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, discrete_actions
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.policies import spectra
from phonotaxis.policies.short_time import ShortTimeFourier, parted

RATE_HZ, FULL_SCALE = 16000, 32768


def _contract(n_fft: int = 256, hop: int = 128) -> Contract:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    front_end = FrontEnd(n_fft=n_fft, hop=hop)
    return Contract(task="test", array=array, actions=discrete_actions(0.25, 0.17, 0.25), front_end=front_end)


def _quantised(samples: np.ndarray) -> np.ndarray:
    """Round samples in converter steps; float32 [1, mics, samples] at full scale ±1."""
    counts = np.clip(np.rint(samples), -FULL_SCALE, FULL_SCALE - 1)
    return (counts / FULL_SCALE).astype(np.float32)[None]


def _transformed(audio: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Return spectra by numpy's FFT in float64, complex [mics, frames, bins], in converter steps."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    starts = np.arange(audio.shape[2] - n_fft, -1, -hop)[::-1]
    frames = np.stack([audio[0, :, start : start + n_fft] for start in starts], axis=1).astype(np.float64) * FULL_SCALE
    hz = np.fft.rfftfreq(n_fft, 1 / RATE_HZ)
    return np.fft.rfft(frames * window, axis=2)[:, :, (hz >= 300) & (hz <= 6000)]


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 128), (256, 64), (256, 256), (256, 100), (255, 51), (512, 128)])
def test_it_is_the_transform_written_out(n_fft: int, hop: int) -> None:
    audio = _quantised(np.random.default_rng(1).standard_normal((4, 4000)) * 1000)
    expected = _transformed(audio, n_fft, hop)
    real, imaginary = ShortTimeFourier(_contract(n_fft, hop))(torch.from_numpy(audio))
    np.testing.assert_allclose(real[0], expected.real, atol=2e-6 * np.abs(expected).max())
    np.testing.assert_allclose(imaginary[0], expected.imag, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("amplitude", "share"), [(100, 0.1), (2000, 0.1), (32000, 0.5)])
def test_what_is_quiet_beside_a_loud_tone_is_more_exact_than_by_a_plain_product(amplitude: int, share: float) -> None:
    """Whitening makes a quiet bin count like a loud one, so that its error counts relative to itself.

    A tone of full scale makes sums that are too large to be exact; it is better still.
    """
    rng = np.random.default_rng(2)
    tone = amplitude * np.sin(2 * np.pi * 437.0 / RATE_HZ * np.arange(4000))
    audio = _quantised(tone + rng.standard_normal((4, 4000)) * 2)
    expected = _transformed(audio, 256, 128)
    size = np.sqrt(np.abs(expected) ** 2 + 8.0)  # with rounding's own power, the front end's floor

    def error(real: torch.Tensor, imaginary: torch.Tensor) -> float:
        off = np.abs(real[0].double().numpy() + 1j * imaginary[0].double().numpy() - expected) / size
        return float(np.sqrt((off**2).mean()))

    module = ShortTimeFourier(_contract())
    rising, falling = module._halves(torch.from_numpy(audio) * FULL_SCALE)
    bases = spectra.folded_bases(256, RATE_HZ, spectra.frequencies_hz(_contract()))
    cosines, sines = (torch.from_numpy(basis.astype(np.float32)) for basis in bases)
    plain = error((rising + falling) @ cosines, (rising - falling) @ sines)
    assert error(*module(torch.from_numpy(audio))) < share * plain


def test_leading_parts_add_up_to_the_same_bits_in_any_order() -> None:
    """That is what lets engines agree. The basis as a whole fails it, so the test can."""
    rng = np.random.default_rng(3)
    hz = spectra.frequencies_hz(_contract())
    basis = np.concatenate(spectra.folded_bases(256, RATE_HZ, hz), axis=1)
    leading, rest = parted(basis)
    assert np.array_equal(leading + rest, basis)
    assert np.abs(rest).max() <= 2.0**-8
    samples = torch.from_numpy(np.rint(rng.standard_normal((200, 128)) * 3000).astype(np.float32))

    def sums(matrix: np.ndarray) -> list[torch.Tensor]:
        weights = torch.from_numpy(matrix.astype(np.float32))
        orders = [torch.arange(128), torch.from_numpy(rng.permutation(128)), torch.arange(127, -1, -1)]
        return [samples[:, order] @ weights[order] for order in orders]

    first, *others = sums(leading)
    assert all(torch.equal(first, other) for other in others)
    first, *others = sums(basis)
    assert not any(torch.equal(first, other) for other in others)


def test_silence_is_zero() -> None:
    real, imaginary = ShortTimeFourier(_contract())(torch.zeros(1, 4, 4000))
    assert not real.any()
    assert not imaginary.any()
