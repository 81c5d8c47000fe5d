from __future__ import annotations

import json
from itertools import combinations
from typing import Literal

import numpy as np
import pytest
import torch

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Body, Contract, PinholeCamera, discrete_actions
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.policies.audio_front_end import (
    ELEVATION_GAIN,
    ELEVATION_MEAN,
    STEERED_POWER_GAIN,
    WINDOW_PARTS,
    AudioFrontEnd,
    audio_layout,
)
from phonotaxis.policies.depth_front_end import DepthFrontEnd
from phonotaxis.policies.manifold import SPEED_OF_SOUND_MPS, manifold
from phonotaxis.policies.motion_front_end import MotionFrontEnd, displacement

RATE_HZ = 16000


def _contract(**changes: object) -> Contract:
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    parts = {"task": "test", "array": array, "actions": discrete_actions(0.25, 0.17, 0.25), **changes}
    return Contract.model_validate(parts)


def _plane_wave(
    contract: Contract, azimuth_rad: float, level: float, seed: int = 0, up_rad: float = 0.0
) -> torch.Tensor:
    """White noise from far away, exact delays; float32 [1, mics, window]."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(8192))
    omega = 2 * np.pi * np.fft.rfftfreq(8192, 1 / contract.sample_rate_hz)
    level_part = np.cos(up_rad)
    towards = np.array([level_part * np.cos(azimuth_rad), level_part * np.sin(azimuth_rad), np.sin(up_rad)])
    lead_s = contract.array.positions_m() @ towards / SPEED_OF_SOUND_MPS
    waves = [np.fft.irfft(spectrum * np.exp(1j * omega * lead))[2000:6000] for lead in lead_s]
    return torch.tensor(np.stack(waves) * level, dtype=torch.float32)[None]


def _parts(contract: Contract, features: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split features into the map [bands, azimuths], levels [parts] and shapes [parts, bands]."""
    layout = audio_layout(contract.front_end)
    directions, spectral, _, _ = (part.numpy() for part in torch.split(features[0], layout.sizes))
    shapes = spectral[WINDOW_PARTS:].reshape(WINDOW_PARTS, contract.front_end.spectrum_bands)
    return directions.reshape(layout.bands, layout.azimuths), spectral[:WINDOW_PARTS], shapes


@pytest.mark.parametrize("degrees", [0, 40, 90, 180, 250, 310])
@pytest.mark.parametrize("array", ["respeaker_usb_v2", "respeaker_6mic", "matrix_voice"])
def test_the_map_points_at_the_source(array: str, degrees: int) -> None:
    contract = _contract(array=presets.load("arrays", array, MicrophoneArray))
    directions, _, _ = _parts(contract, AudioFrontEnd(contract)(_plane_wave(contract, np.deg2rad(degrees), 0.01)))
    assert (directions.argmax(axis=1) * 10 == degrees).all()  # in every band
    np.testing.assert_allclose(directions.mean(axis=1), 0.0, atol=1e-4)


def test_a_plane_wave_makes_the_map_that_the_array_says() -> None:
    """The described response is the map about the wave, averaged over waves from everywhere."""
    contract = _contract()
    front_end = AudioFrontEnd(contract)
    maps = []
    for turn in range(36):
        directions, _, _ = _parts(contract, front_end(_plane_wave(contract, np.deg2rad(10 * turn), 0.01)))
        maps.append(np.roll(directions, -turn, axis=1))
    mean = np.mean(maps, axis=0)
    described = front_end.response[:-1].numpy().reshape(8, 7)
    np.testing.assert_allclose(described, mean[:, [0, 3, 6, 9, 12, 15, 18]], atol=0.2)
    assert float(front_end.response[-1]) == 0.0  # four microphones


def test_components_and_heads_have_directions_too() -> None:
    """Where microphones coincide, or a head lies between them, the array's own response steers."""
    rate_hz, bins_hz = 16000, np.array([1000.0, 2000.0])
    waves = manifold(presets.load("arrays", "foa", MicrophoneArray), bins_hz, 4, rate_hz)
    np.testing.assert_allclose(waves[0], 1.0, atol=1e-6)  # W hears all alike
    np.testing.assert_allclose(waves[3, :, 0], 1.0, atol=1e-2)  # X is in phase ahead
    np.testing.assert_allclose(waves[3, :, 2], -1.0, atol=1e-2)  # and turned over behind
    head = manifold(presets.load("arrays", "binaural", MicrophoneArray), bins_hz, 4, rate_hz)
    free_s = 2 * 0.086171 / SPEED_OF_SOUND_MPS
    later_s = np.angle(head[0, 0, 1] * head[1, 0, 1].conj()) / (2 * np.pi * 1000.0)  # from the left
    assert 1.1 * free_s < later_s % 1e-3 < 1.7 * free_s  # round the head is farther than straight through


@pytest.mark.parametrize("hop", [128, 64, 100])
def test_equals_a_transform_written_out(hop: int) -> None:
    """Against numpy's FFT in float64: framing, window, phase transform, averaging and steering."""
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
    steered = AudioFrontEnd(contract).steered_power(
        torch.tensor(audio, dtype=torch.float32)[None], torch.ones(1, len(hz))
    )
    azimuth_rad = 2 * np.pi * np.arange(36) / 36
    towards = np.stack([np.cos(azimuth_rad), np.sin(azimuth_rad), np.zeros(36)])
    power = np.zeros(36)
    for first, second in combinations(range(4), 2):
        cross = (phasor[first] * phasor[second].conj()).mean(axis=0)
        apart_m = contract.array.positions_m()[first] - contract.array.positions_m()[second]
        lead_s = apart_m @ towards / SPEED_OF_SOUND_MPS
        power += np.real(cross[:, None] * np.exp(-2j * np.pi * hz[:, None] * lead_s)).mean(axis=0) / 6
    np.testing.assert_allclose(steered[0], STEERED_POWER_GAIN * (power - power.mean()), atol=2e-4)


def test_coherence_equals_a_transform_written_out() -> None:
    """Against numpy's FFT in float64: what begins in a frame counts, and the power at every elevation."""
    contract = _contract()
    rng = np.random.default_rng(5)
    envelope = np.repeat(rng.uniform(0.1, 1.0, 40), 100)  # so that much begins and much ends
    audio = np.round(rng.standard_normal((4, 4000)) * envelope * 1000) / 32768
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    spectrum = np.stack([np.fft.rfft(audio[:, s : s + 256] * window * 32768) for s in range(32, 3745, 128)], axis=1)
    hz = np.fft.rfftfreq(256, 1 / RATE_HZ)
    spectrum, hz = spectrum[:, :, (hz >= 300) & (hz <= 6000)], hz[(hz >= 300) & (hz <= 6000)]
    power = np.abs(spectrum) ** 2 + (window**2).sum() / 12
    now = power.mean(axis=0)
    counts = np.maximum(1.0 - 0.9 * np.concatenate([now[:1], now[:-1]]) / now, 0.02)
    energy = (counts * power).sum(axis=1)
    azimuth_rad = 2 * np.pi * np.arange(18) / 18
    found = []
    for up in np.deg2rad([0, 18, 36, 54, 72, 90]):
        towards = np.stack(
            [np.cos(up) * np.cos(azimuth_rad), np.cos(up) * np.sin(azimuth_rad), np.full(18, np.sin(up))]
        )
        steered = np.zeros(18)
        for first, second in combinations(range(4), 2):
            cross = (counts * spectrum[first] * spectrum[second].conj()).sum(axis=0)
            cross = cross / np.sqrt(energy[first] * energy[second])
            apart_m = contract.array.positions_m()[first] - contract.array.positions_m()[second]
            lead_s = apart_m @ towards / SPEED_OF_SOUND_MPS
            steered += np.real(cross[:, None] * np.exp(-2j * np.pi * hz[:, None] * lead_s)).mean(axis=0) / 6
        found.append(steered.max())
    features = AudioFrontEnd(contract)(torch.tensor(audio, dtype=torch.float32)[None])
    elevations = torch.split(features[0], audio_layout(contract.front_end).sizes)[2]
    np.testing.assert_allclose(elevations, ELEVATION_GAIN * (np.array(found) - ELEVATION_MEAN), atol=2e-4)


@pytest.mark.parametrize("degrees", [0, 36, 72])
def test_a_wave_from_above_is_heard_from_above(degrees: int) -> None:
    contract = _contract()
    wave = _plane_wave(contract, np.deg2rad(120.0), 0.01, up_rad=np.deg2rad(degrees))
    elevations = torch.split(AudioFrontEnd(contract)(wave)[0], audio_layout(contract.front_end).sizes)[2]
    assert int(elevations.argmax()) * 18 == degrees
    assert float(elevations.max()) == pytest.approx(ELEVATION_GAIN * (1.0 - ELEVATION_MEAN), abs=0.1)


def test_the_direct_sound_outweighs_what_follows_it() -> None:
    """A click from the left, and louder from then on the same from the right, as rooms answer."""
    contract = _contract()
    left, right = (_plane_wave(contract, way, 0.01) for way in (np.pi / 2, -np.pi / 2))
    audio = torch.zeros(1, 4, 4000)
    audio[:, :, 1000:1400] = left[:, :, 1000:1400]
    fading = torch.exp(-torch.arange(2600) / 900.0)
    audio[:, :, 1400:] = right[:, :, 1400:] * fading

    def points_deg(weighting: Literal["onset", "phase"]) -> int:
        chosen = _contract(front_end=FrontEnd(weighting=weighting))
        directions, _, _ = _parts(chosen, AudioFrontEnd(chosen)(audio))
        return int(directions.sum(axis=0).argmax()) * 10

    assert abs(points_deg("onset") - 90) <= 10
    assert abs(points_deg("phase") - 270) <= 10


def test_a_front_end_written_down_before_there_was_a_choice_stays_what_it_was() -> None:
    first = FrontEnd(weighting="phase", elevations=0)
    contract = _contract(front_end=first)
    written = contract.model_dump(mode="json", exclude={"front_end": {"weighting", "elevations"}})
    assert Contract.from_json(json.dumps(written)) == contract
    features = AudioFrontEnd(contract)(_plane_wave(contract, 1.0, 0.01))
    assert features.shape == (1, 8 * 36 + 4 * 25 + 8 * 7 + 1)


def test_level_is_apart_from_everything_else() -> None:
    contract = _contract()
    front_end = AudioFrontEnd(contract)
    quiet = _parts(contract, front_end(_plane_wave(contract, 1.0, 0.01)))
    loud = _parts(contract, front_end(_plane_wave(contract, 1.0, 0.1)))
    np.testing.assert_allclose(loud[1] - quiet[1], 1.0, atol=1e-3)  # 20 dB: two decades of power, times 0.5
    for index in (0, 2):
        np.testing.assert_allclose(loud[index], quiet[index], atol=1e-2)


def test_onset_shows_in_the_later_parts() -> None:
    contract = _contract()
    audio = _plane_wave(contract, 0.0, 0.01)
    audio[:, :, :2000] = 0.0
    _, level, _ = _parts(contract, AudioFrontEnd(contract)(audio))
    assert level[2:].min() > level[:2].max() + 0.5


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0])
def test_silence_and_clipping_are_finite(level: float) -> None:
    contract = _contract()
    audio = torch.sign(_plane_wave(contract, 0.3, 1.0)) * level
    features = AudioFrontEnd(contract)(audio)
    assert bool(torch.isfinite(features).all())
    assert float(features.abs().max()) < 16.0
    if level == 0.0:
        directions, _, _ = _parts(contract, features)
        assert not directions.any()


def test_rounding_noise_carries_no_direction() -> None:
    """One step of the converter, independent at each microphone, is known for what it is."""
    contract = _contract()
    noise = torch.tensor(np.random.default_rng(0).integers(-1, 2, (1, 4, 4000)) / 32768, dtype=torch.float32)
    directions, _, _ = _parts(contract, AudioFrontEnd(contract)(noise))
    assert np.abs(directions).max() < 0.5  # a plane wave reaches 2


def test_one_microphone_has_no_direction() -> None:
    array = MicrophoneArray(name="one", mic_xyz_m=((0, 0, 0.4),), channel_map=(0,), device_channels=1)
    front_end = AudioFrontEnd(_contract(array=array))
    features = front_end(torch.zeros(3, 1, 4000))
    layout = front_end.layout
    assert features.shape == (3, front_end.size) == (3, 8 * 36 + 4 * 25 + 6 + 8 * 7 + 1)  # as any array's
    assert not features[:, : layout.sizes[0]].any()
    assert not front_end.response[:-1].any()
    assert float(front_end.response[-1]) == -2.0


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


@pytest.mark.parametrize(
    ("window", "spec", "frames"), [(4000, FrontEnd(n_fft=1024, hop=1024), 3), (1000, FrontEnd(n_fft=256, hop=256), 3)]
)
def test_too_few_frames_for_the_parts_of_a_window_are_refused(window: int, spec: FrontEnd, frames: int) -> None:
    with pytest.raises(ValueError, match=f"{window} samples holds {frames} frames .*expected at least 4: lower n_fft"):
        AudioFrontEnd(_contract(window_samples=window, hop_samples=window, front_end=spec))


def test_what_would_take_gigabytes_is_refused_before_it_is_computed() -> None:
    turns = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    ring = MicrophoneArray(
        name="ring", device_name="ring", device_channels=16, channel_map=tuple(range(16)),
        mic_xyz_m=[(0.1 * float(np.cos(turn)), 0.1 * float(np.sin(turn)), 0.0) for turn in turns],
    )  # fmt: skip
    AudioFrontEnd(_contract(array=ring))
    wide = FrontEnd(n_fft=2048, azimuths=360, elevations=18)
    with pytest.raises(ValueError, match="120 pairs of microphones at 730 bins steered to 3960 .*ask for fewer"):
        AudioFrontEnd(_contract(array=ring, window_samples=16000, front_end=wide))
    with pytest.raises(ValueError, match="frames of 1024 samples of 4 microphones .*raise hop"):
        AudioFrontEnd(_contract(window_samples=960_000, front_end=FrontEnd(n_fft=1024, hop=17)))


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
    np.testing.assert_allclose(features[0, :8], [1, 0, -1, 1, 0, 1, 1, 0.5], atol=1e-6)
    np.testing.assert_allclose(features[1, :8], [0, 0, 0, 1, 0, 1, 0, 4.0], atol=1e-6)
    assert torch.equal(features[0, 8:], features[1, 8:])


def test_the_body_is_described() -> None:
    body = Body(max_v_mps=0.5, max_w_radps=4 * np.deg2rad(20), max_acceleration_mps2=1.0, latency_s=0.125)
    front_end = MotionFrontEnd(_contract(body=body))
    features = front_end(torch.zeros(1, 6), torch.ones(1, 1), torch.zeros(1, 1))
    np.testing.assert_allclose(features[0, 8:], [-1.0, 1.0, 0.5, 2.0], atol=1e-6)


@pytest.mark.parametrize(("v_mps", "w_radps"), [(1.0, 0.7), (0.3, 0.7), (0.01, 0.05), (3.0, 6.0)])
def test_what_a_body_moved_is_told_in_metres_again(v_mps: float, w_radps: float) -> None:
    front_end = MotionFrontEnd(_contract(body=Body(max_v_mps=v_mps, max_w_radps=w_radps)))
    moved = torch.tensor([[0.2 * v_mps, -0.01 * v_mps, 0.15 * w_radps]])
    features = front_end(torch.cat([moved, torch.zeros(1, 3)], dim=1), torch.ones(1, 1), torch.zeros(1, 1))
    torch.testing.assert_close(displacement(features), moved, rtol=1e-5, atol=1e-7)
