from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, FrontEnd, PinholeCamera, discrete_actions
from phonotaxis.policies.frontend import (
    CORRELATION_GAIN,
    SPEED_OF_SOUND_MPS,
    STEERED_POWER_GAIN,
    AudioFrontEnd,
    DepthFrontEnd,
    MotionFrontEnd,
)

RATE_HZ = 16000


def _contract(**changes: object) -> Contract:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    parts = {"task": "test", "array": array, "actions": discrete_actions(0.25, 0.17, 0.25), **changes}
    return Contract.model_validate(parts)


def _plane_wave(contract: Contract, azimuth_rad: float, level: float, seed: int = 0) -> torch.Tensor:
    """White noise from far away, exact delays; float32 [1, mics, window]."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(8192))
    omega = 2 * np.pi * np.fft.rfftfreq(8192, 1 / contract.sample_rate_hz)
    towards = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad), 0.0])
    lead_s = contract.array.positions_m() @ towards / SPEED_OF_SOUND_MPS
    waves = [np.fft.irfft(spectrum * np.exp(1j * omega * lead))[2000:6000] for lead in lead_s]
    return torch.tensor(np.stack(waves) * level, dtype=torch.float32)[None]


def _parts(contract: Contract, features: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Split features into correlations [pairs, lags], steered power, levels and shapes [parts, bands]."""
    spec, mics = contract.front_end, contract.array.mics
    pairs = mics * (mics - 1) // 2
    sizes = [pairs * spec.lags, spec.azimuths if pairs else 0, 2, 2 * spec.spectrum_bands]
    gcc, srp, level, shape = (part.numpy() for part in torch.split(features[0], sizes))
    gcc, srp = gcc.reshape(pairs, spec.lags) / CORRELATION_GAIN, srp / STEERED_POWER_GAIN
    return gcc, srp, level, shape.reshape(2, spec.spectrum_bands)


@pytest.mark.parametrize("degrees", [0, 40, 90, 180, 250, 310])
def test_steered_power_points_at_the_source(degrees: int) -> None:
    contract = _contract()
    features = AudioFrontEnd(contract)(_plane_wave(contract, np.deg2rad(degrees), 0.01))
    _, srp, _, _ = _parts(contract, features)
    assert srp.argmax() * 10 == degrees
    assert srp.mean() == pytest.approx(0.0, abs=1e-4)
    assert 0.5 < srp.max() < 1.0  # one plane wave is coherent: power 1 there, less on average


def test_correlation_peaks_at_the_delay() -> None:
    contract = _contract()
    azimuth_rad = 0.6
    gcc, _, _, _ = _parts(contract, AudioFrontEnd(contract)(_plane_wave(contract, azimuth_rad, 0.01)))
    positions_m = contract.array.positions_m()
    towards = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad), 0.0])
    widest_m = max(np.linalg.norm(a - b) for a, b in combinations(positions_m, 2))
    lags_s = np.linspace(-1, 1, 25) * (widest_m / SPEED_OF_SOUND_MPS + 1 / RATE_HZ)
    for row, (first, second) in zip(gcc, combinations(range(4), 2)):
        later_s = -(positions_m[first] - positions_m[second]) @ towards / SPEED_OF_SOUND_MPS
        assert abs(lags_s[row.argmax()] - later_s) <= lags_s[1] - lags_s[0]


@pytest.mark.parametrize("hop", [128, 64, 100])
def test_equals_a_transform_written_out(hop: int) -> None:
    """Against numpy's FFT in float64: framing, window, phase transform and averaging."""
    contract = _contract(front_end=FrontEnd(hop=hop))
    rng = np.random.default_rng(4)
    audio = np.round(rng.standard_normal((4, 4000)) * 1000) / 32768
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    starts = np.arange(4000 - 256, -1, -hop)  # the newest frame ends with the window
    spectrum = np.stack([np.fft.rfft(audio[:, s : s + 256] * window * 32768) for s in starts], axis=1)
    hz = np.fft.rfftfreq(256, 1 / RATE_HZ)
    chosen = (hz >= 300) & (hz <= 6000)
    spectrum, hz = spectrum[:, :, chosen], hz[chosen]
    phasor = spectrum / np.sqrt(np.abs(spectrum) ** 2 + (window**2).sum() / 12)
    front_end = AudioFrontEnd(contract)
    gcc, _, _, _ = _parts(contract, front_end(torch.tensor(audio, dtype=torch.float32)[None]))
    cross = (phasor[0] * phasor[2].conj()).mean(axis=0)
    lags_s = np.linspace(-1, 1, 25) * (0.064 / SPEED_OF_SOUND_MPS + 1 / RATE_HZ)
    expected = [np.real(cross * np.exp(2j * np.pi * hz * lag)).mean() for lag in lags_s]
    np.testing.assert_allclose(gcc[1], expected, atol=2e-5)  # float32 against float64


def test_level_is_apart_from_everything_else() -> None:
    contract = _contract()
    front_end = AudioFrontEnd(contract)
    quiet = _parts(contract, front_end(_plane_wave(contract, 1.0, 0.01)))
    loud = _parts(contract, front_end(_plane_wave(contract, 1.0, 0.1)))
    np.testing.assert_allclose(loud[2] - quiet[2], 1.0, atol=1e-3)  # 20 dB: two decades of power, times 0.5
    for index in (0, 1, 3):
        np.testing.assert_allclose(loud[index], quiet[index], atol=2e-3)


def test_onset_shows_in_the_second_half() -> None:
    contract = _contract()
    audio = _plane_wave(contract, 0.0, 0.01)
    audio[:, :, :2000] = 0.0
    _, _, level, _ = _parts(contract, AudioFrontEnd(contract)(audio))
    assert level[1] > level[0] + 0.5


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0])
def test_silence_and_clipping_are_finite(level: float) -> None:
    contract = _contract()
    audio = torch.sign(_plane_wave(contract, 0.3, 1.0)) * level
    features = AudioFrontEnd(contract)(audio)
    assert bool(torch.isfinite(features).all())
    assert float(features.abs().max()) < 16.0
    if level == 0.0:
        gcc, srp, _, _ = _parts(contract, features)
        assert not gcc.any()
        assert not srp.any()


def test_rounding_noise_carries_no_direction() -> None:
    """One step of the converter, independent at each microphone, is known for what it is."""
    contract = _contract()
    noise = torch.tensor(np.random.default_rng(0).integers(-1, 2, (1, 4, 4000)) / 32768, dtype=torch.float32)
    _, srp, _, _ = _parts(contract, AudioFrontEnd(contract)(noise))
    assert np.abs(srp).max() < 0.05


def test_one_microphone_has_no_direction() -> None:
    array = MicrophoneArray(name="one", mic_xyz_m=((0, 0, 0.4),), channel_map=(0,), device_channels=1)
    front_end = AudioFrontEnd(_contract(array=array))
    features = front_end(torch.zeros(3, 1, 4000))
    assert features.shape == (3, front_end.size) == (3, 2 * (1 + 24))


@pytest.mark.parametrize(
    ("rate_hz", "window", "spec"),
    [(48000, 12000, FrontEnd(n_fft=1024, hop=512)), (16000, 4800, FrontEnd(low_hz=0.0, high_hz=8000.0))],
)
def test_other_rates_and_windows(rate_hz: int, window: int, spec: FrontEnd) -> None:
    contract = _contract(sample_rate_hz=rate_hz, window_samples=window, front_end=spec)
    front_end = AudioFrontEnd(contract)
    features = front_end(torch.randn(2, 4, window, generator=torch.Generator().manual_seed(0)) * 0.01)
    assert features.shape == (2, front_end.size)
    assert bool(torch.isfinite(features).all())


def test_constants_are_not_saved() -> None:
    assert AudioFrontEnd(_contract()).state_dict() == {}
    assert not list(AudioFrontEnd(_contract()).parameters())


def test_too_few_bins() -> None:
    with pytest.raises(ValueError, match="1 bins lie between 310.0 and 320.0 Hz"):
        AudioFrontEnd(_contract(front_end=FrontEnd(low_hz=310, high_hz=320)))


def test_depth_is_pooled_to_the_nearest() -> None:
    depth = torch.zeros(1, 64, 64)
    depth[0, 0, 0], depth[0, 0, 1] = 1.0, 5.0  # of the first cell's four pixels two are unknown
    depth[0, 2:4, 2:4] = 10.0
    pooled = DepthFrontEnd(_contract())(depth)
    assert pooled.shape == (1, 2, 32, 32)
    assert float(pooled[0, 0, 0, 0]) == pytest.approx(1.0 - np.log(2.0) / np.log(11.0), abs=1e-6)
    assert float(pooled[0, 1, 0, 0]) == 0.5
    assert float(pooled[0, 0, 1, 1]) == pytest.approx(0.0, abs=1e-6)  # far away is known to be far
    assert float(pooled[0, 1, 1, 1]) == 1.0
    assert float(pooled[0, :, 5, 5].abs().max()) == 0.0


def test_depth_of_other_cameras() -> None:
    camera = PinholeCamera(width=128, height=96, cx=64, cy=48, max_range_m=5.0)
    pooled = DepthFrontEnd(_contract(camera=camera))(torch.full((2, 96, 128), 20.0))
    assert pooled.shape == (2, 2, 32, 32)
    assert float(pooled[:, 0].max()) == 0.0  # beyond the range it was made for
    with pytest.raises(ValueError, match="80 x 60 pixels; the policy needs multiples of 32"):
        DepthFrontEnd(_contract(camera=PinholeCamera(width=80, height=60)))


def test_motion_is_of_order_one() -> None:
    contract = _contract()
    front_end = MotionFrontEnd(contract)
    turn_rad = contract.body.max_w_radps * 0.25
    motion = torch.tensor([[0.25, 0.0, -turn_rad, 1.0, 0.0, 1.0]] * 2)
    features = front_end(motion, torch.tensor([[1.0], [0.0]]), torch.tensor([[0.125], [100.0]]))
    np.testing.assert_allclose(features[0], [1, 0, -1, 1, 0, 1, 1, 0.5], atol=1e-6)
    np.testing.assert_allclose(features[1], [0, 0, 0, 1, 0, 1, 0, 4.0], atol=1e-6)
