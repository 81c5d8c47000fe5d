"""Noise against what it is meant to be: its level, form, coherence, delays, and that it goes on without a break."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import csd

from phonotaxis.configs import presets
from phonotaxis.configs.air import Air
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.noise import Noise, RobotNoise
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, speed_of_sound_mps
from phonotaxis.envs.acoustics.converter import NoiseStreams, a_weighting_db, add_streams, ramp
from phonotaxis.envs.acoustics.directivity import build_directivity
from phonotaxis.envs.acoustics.noise import NoiseSource, fill_factors, wheel_speed_mps
from phonotaxis.envs.acoustics.noise_loops import directive_coherence, isotropic_coherence
from phonotaxis.envs.hashing import key_of

RATE_HZ = 16000
HOP = 4000
LOOP = 16 * RATE_HZ
ROOM = Noise(diffuse_dba=35.0)
EVERYTHING = Noise(diffuse_dba=35.0, robot=RobotNoise(motor_dba_at_full_speed=50.0, fan_dba=30.0))


def factors_of(source: NoiseSource, speed_mps: float, diffuse: float = 1.0, robot: float = 1.0) -> np.ndarray:
    """How loud each stream is, float32 [1, streams]."""
    factors = np.empty((1, source.bank.shape[0]), dtype=np.float32)
    fill_factors(source.constants, speed_mps, np.float32(diffuse), np.float32(robot), factors[0])
    return factors


def hear(
    source: NoiseSource, mics: int, samples: int = LOOP, speed_mps: float = 0.0, seed: int = 0, step: int = 0,
    diffuse: float = 1.0, robot: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """One world's noise alone at a steady speed, float32 [mics, samples]."""
    sound, factors = np.zeros((mics, samples), dtype=np.float32), factors_of(source, speed_mps, diffuse, robot)
    streams, gain, gone = NoiseStreams(source.bank, factors, factors), np.float32(1.0), ramp(samples)
    for mic in range(mics):
        add_streams(sound[mic], streams, 0, mic, gain, np.uint64(key_of(seed)), step * samples, gone)
    return sound


def level_dba(array: MicrophoneArray, sound: np.ndarray) -> np.ndarray:
    """A-weighted level at each microphone, of a whole loop, dB."""
    power = 2.0 * np.abs(np.fft.rfft(sound.astype(float), axis=-1) / sound.shape[-1]) ** 2
    weight = 10.0 ** (a_weighting_db(np.fft.rfftfreq(sound.shape[-1], 1.0 / RATE_HZ)) / 10.0)
    pascal2 = (power * weight)[..., 1:].sum(axis=-1) * array.full_scale_pascal**2
    return np.asarray(10.0 * np.log10(pascal2 / 20e-6**2))


def of_places(*mic_xyz_m: tuple[float, float, float]) -> MicrophoneArray:
    channels = tuple(range(len(mic_xyz_m)))
    return MicrophoneArray(name="test", mic_xyz_m=mic_xyz_m, channel_map=channels, device_channels=len(mic_xyz_m))


@pytest.mark.parametrize("dba", [30.0, 45.0])
def test_diffuse_noise_has_its_level_at_every_microphone(array: MicrophoneArray, dba: float) -> None:
    sound = hear(NoiseSource(array, RATE_HZ, Noise(diffuse_dba=dba)), array.mics)
    np.testing.assert_allclose(level_dba(array, sound), dba, atol=0.2)


def test_diffuse_noise_falls_by_five_decibels_an_octave(array: MicrophoneArray) -> None:
    sound = hear(NoiseSource(array, RATE_HZ, ROOM), array.mics)
    power = (np.abs(np.fft.rfft(sound.astype(float), axis=1)) ** 2).mean(axis=0)
    frequency_hz = np.fft.rfftfreq(LOOP, 1.0 / RATE_HZ)
    bands = [power[(frequency_hz > f / 2**0.5) & (frequency_hz < f * 2**0.5)].mean() for f in (125.0, 500.0, 2000.0)]
    np.testing.assert_allclose(np.diff(10.0 * np.log10(bands)), -10.0, atol=1.0)
    assert power[frequency_hz < 45.0].max() < 1e-6 * power.max()


@pytest.mark.parametrize("distance_m", [0.03, 0.2, 1.0])
def test_diffuse_noise_is_as_coherent_as_an_isotropic_field(distance_m: float) -> None:
    """sin(kd) / kd. 1000 half-overlapped segments leave 0.03 of deviation; a maximum over 257 bins is 4 of these."""
    array = of_places((0.0, 0.0, 0.4), (distance_m, 0.0, 0.4), (0.0, distance_m / 2, 0.4))
    sound = hear(NoiseSource(array, RATE_HZ, ROOM), 3).astype(float)
    spectra = {(i, j): csd(sound[i], sound[j], RATE_HZ, nperseg=512)[1] for i in range(3) for j in range(3)}
    frequency_hz = np.fft.rfftfreq(512, 1.0 / RATE_HZ)
    used = frequency_hz > 150.0
    for i, j, apart_m in ((0, 1, distance_m), (0, 2, distance_m / 2), (1, 2, distance_m * 1.25**0.5)):
        coherence = spectra[i, j] / np.sqrt(spectra[i, i].real * spectra[j, j].real)
        error = np.abs(coherence - np.sinc(2.0 * frequency_hz * apart_m / SPEED_OF_SOUND_MPS))[used]
        assert error.mean() < 0.04
        assert error.max() < 0.15


def test_the_stream_goes_on_from_step_to_step_and_around_the_loop(array: MicrophoneArray) -> None:
    """Seventy hops, which pass the loop's end, are the loop read once and a bit, to the last bit."""
    source = NoiseSource(array, RATE_HZ, EVERYTHING)
    hops = [hear(source, array.mics, HOP, speed_mps=0.8, step=step) for step in range(70)]
    np.testing.assert_array_equal(np.concatenate(hops, axis=1), hear(source, array.mics, 70 * HOP, speed_mps=0.8))


def test_loops_close_without_a_seam(array: MicrophoneArray) -> None:
    """The step from a loop's last sample to its first is one like all others."""
    bank = NoiseSource(array, RATE_HZ, EVERYTHING).bank
    assert bank.shape == (5, array.mics, LOOP)
    steps = np.diff(bank.astype(float), axis=2)
    seam = bank[:, :, 0].astype(float) - bank[:, :, -1]
    assert (np.abs(seam) < 4.5 * steps.std(axis=2)).all()


def test_loudness_changes_in_a_straight_line_and_meets_the_next_hop() -> None:
    bank = np.ones((1, 1, 10), dtype=np.float32)
    gains, one = [np.array([[g]], dtype=np.float32) for g in (0.0, 1.0, 0.5)], np.float32(1.0)
    hops = []
    for step in range(2):
        row = np.zeros(8, dtype=np.float32)
        add_streams(row, NoiseStreams(bank, gains[step], gains[step + 1]), 0, 0, one, np.uint64(3), 8 * step, ramp(8))
        hops.append(row)
    np.testing.assert_allclose(hops[0], np.arange(8) / 8, atol=1e-7)
    np.testing.assert_allclose(hops[1], 1.0 - np.arange(8) / 16, atol=1e-7)


def test_motors_are_as_loud_as_they_turn_fast() -> None:
    """50 dB(A) 1 m away is 56.02 at half a metre; 6.02 less for half the speed, nothing at rest."""
    array = of_places((0.0, 0.0, 0.5))
    robot = RobotNoise(motor_dba_at_full_speed=50.0, motor_xyz_m=((0.0, 0.0, 0.0),))
    source = NoiseSource(array, RATE_HZ, Noise(robot=robot))
    for speed_mps in (1.0, -1.0, 0.5, 0.35, 0.05):
        expected = 56.02 + 20.0 * np.log10(abs(speed_mps))
        assert level_dba(array, hear(source, 1, speed_mps=speed_mps))[0] == pytest.approx(expected, abs=0.3)
    assert not hear(source, 1, HOP).any()


def test_motors_sing_as_high_as_they_turn_fast() -> None:
    array = of_places((0.0, 0.0, 0.5))
    robot = RobotNoise(motor_dba_at_full_speed=50.0, motor_xyz_m=((0.0, 0.0, 0.0),), motor_tonal_share=1.0)
    source = NoiseSource(array, RATE_HZ, Noise(robot=robot))
    for speed_mps, tone_hz in ((1.0, 240.0), (0.5, 120.0), (0.25, 60.0)):
        spectrum = np.abs(np.fft.rfft(hear(source, 1, speed_mps=speed_mps)[0]))
        assert spectrum.argmax() / 16.0 == tone_hz
    # In between, by power: 0.7 lies 0.485 octaves above a half.
    np.testing.assert_allclose(factors_of(source, 0.7), [[0.0, 0.7 * 0.515**0.5, 0.7 * 0.485**0.5]], atol=1e-3)


def test_several_motors_make_the_level_together() -> None:
    array = of_places((0.0, 0.0, 0.5))
    places = ((0.3, 0.0, 0.5), (0.0, 0.3, 0.5), (-0.3, 0.0, 0.5))
    robot = RobotNoise(motor_dba_at_full_speed=40.0, motor_xyz_m=places, motor_tonal_share=0.0)
    sound = hear(NoiseSource(array, RATE_HZ, Noise(robot=robot)), 1, speed_mps=1.0)
    assert level_dba(array, sound)[0] == pytest.approx(40.0 - 20.0 * np.log10(0.3), abs=0.2)


@pytest.mark.parametrize("air", [None, Air(temperature_c=40.0)])
def test_the_fan_reaches_each_microphone_in_its_time_and_strength(air: Air | None) -> None:
    array = of_places((0.1, 0.0, 0.4), (0.0, 0.25, 0.4), (-0.3, 0.0, 0.1))
    place = np.array([0.05, 0.0, 0.1])
    noise = Noise(robot=RobotNoise(fan_dba=30.0, fan_xyz_m=tuple(place)))
    spectra = np.fft.rfft(hear(NoiseSource(array, RATE_HZ, noise, air), 3).astype(float), axis=1)
    frequency_hz = np.fft.rfftfreq(LOOP, 1.0 / RATE_HZ)
    used = (frequency_hz > 300.0) & (frequency_hz < 6000.0)
    distance_m = np.linalg.norm(array.positions_m() - place, axis=1)
    speed_mps = SPEED_OF_SOUND_MPS if air is None else speed_of_sound_mps(air)
    for mic in (1, 2):
        later_s = (distance_m[mic] - distance_m[0]) / speed_mps
        ratio = spectra[mic, used] / spectra[0, used] * np.exp(2j * np.pi * frequency_hz[used] * later_s)
        np.testing.assert_allclose(ratio, distance_m[0] / distance_m[mic], rtol=2e-3)  # float32 samples


def test_directive_microphones_hear_a_diffuse_field_as_their_patterns_do() -> None:
    """First-order ambisonics: Y, Z, X have each a third of W's power, and none shares anything with another (SN3D)."""
    array = presets.load("arrays", "foa", MicrophoneArray)
    noise = Noise(diffuse_dba=35.0, robot=RobotNoise(fan_dba=20.0, fan_xyz_m=(0.0, 0.3, 0.45)))
    diffuse, fan = NoiseSource(array, RATE_HZ, noise).bank
    third_db = 10.0 * np.log10(3.0)
    np.testing.assert_allclose(level_dba(array, diffuse), 35.0 - third_db * np.array([0, 1, 1, 1]), atol=0.2)
    assert np.abs(np.corrcoef(diffuse) - np.eye(4)).max() < 0.05
    w, y, z, x = fan
    np.testing.assert_allclose(y, w, atol=2e-3 * w.std())  # the fan is on the left, in the null of X and Z
    assert max(np.abs(x).max(), np.abs(z).max()) < 1e-3 * w.std()


def test_plane_waves_from_everywhere_make_the_closed_form(array: MicrophoneArray) -> None:
    """Filters of omnidirectional microphones, late by 3 taps that count for nothing, give sin(kd) / kd."""
    foa = build_directivity(presets.load("arrays", "foa", MicrophoneArray), RATE_HZ)
    assert foa is not None
    fir = np.zeros((len(foa.direction), array.mics, 8), dtype=np.float32)
    fir[:, :, 3] = 1.0
    omni = foa._replace(fir=fir, fir_delay_samples=3)
    frequency_hz = np.linspace(0.0, RATE_HZ / 2, 65)
    got = directive_coherence(frequency_hz, array.positions_m(), 343.2, omni)
    np.testing.assert_allclose(got, isotropic_coherence(frequency_hz, array.positions_m(), 343.2), atol=2e-3)


def test_filters_of_the_microphones_shape_what_comes_from_the_robot() -> None:
    """A fan is in the shadow of a head's far ear, and later there than straight through."""
    array = presets.load("arrays", "binaural", MicrophoneArray)
    places = array.positions_m()
    beside = tuple(places[0] + 2.0 * (places[0] - places[1]))
    noise = Noise(robot=RobotNoise(fan_dba=40.0, fan_xyz_m=beside, fan_tonal_share=0.0))
    near, far = np.fft.rfft(NoiseSource(array, RATE_HZ, noise).bank[0].astype(float), axis=1)
    frequency_hz = np.fft.rfftfreq(LOOP, 1.0 / RATE_HZ)
    distance_m = np.linalg.norm(places - np.array(beside), axis=1)
    high, low = (frequency_hz > 3000.0) & (frequency_hz < 5000.0), (frequency_hz > 100.0) & (frequency_hz < 200.0)
    spread_db = 20.0 * np.log10(distance_m[1] / distance_m[0])
    for used, least_db, most_db in ((low, -2.0, 3.0), (high, 5.0, 30.0)):
        shadow_db = 10.0 * np.log10((np.abs(near[used]) ** 2).sum() / (np.abs(far[used]) ** 2).sum()) - spread_db
        assert least_db < shadow_db < most_db
    delay = np.exp(2j * np.pi * frequency_hz[low] * (distance_m[1] - distance_m[0]) / SPEED_OF_SOUND_MPS)
    later_rad = np.angle((near[low] * np.conj(far[low] * delay)).sum())
    assert 0.02 < later_rad < 0.5


def test_gains_are_those_of_room_and_robot(array: MicrophoneArray) -> None:
    source = NoiseSource(array, RATE_HZ, EVERYTHING)
    both, robot, room, other = (
        hear(source, array.mics, HOP, 0.4, diffuse=a, robot=b)
        for a, b in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (2.0, 3.0))
    )
    np.testing.assert_allclose(robot + room, both, atol=1e-9)
    np.testing.assert_allclose(2.0 * room + 3.0 * robot, other, atol=1e-8)
    np.testing.assert_array_equal(room, hear(NoiseSource(array, RATE_HZ, ROOM), array.mics, HOP))


def test_episodes_begin_elsewhere_in_the_loops(array: MicrophoneArray) -> None:
    source = NoiseSource(array, RATE_HZ, ROOM)
    first, second = hear(source, array.mics, seed=1), hear(source, array.mics, seed=2)
    assert abs(np.corrcoef(first[0], second[0])[0, 1]) < 0.1
    np.testing.assert_array_equal(first, hear(source, array.mics, seed=1))


def test_noise_is_off_unless_asked_for(array: MicrophoneArray) -> None:
    source = NoiseSource(array, RATE_HZ, Noise())
    assert source.bank.shape[0] == 0
    assert not hear(source, array.mics, HOP, speed_mps=1.0).any()


def test_wheels_turn_on_the_spot() -> None:
    v_mps, w_radps = np.array([0.0, 0.5, -1.0, 0.1]), np.array([2.0, 0.0, 0.0, 2.0])
    wheels = np.stack([v_mps - 0.15 * w_radps, v_mps + 0.15 * w_radps])
    np.testing.assert_allclose(wheel_speed_mps(v_mps, w_radps, 0.3), np.abs(wheels).mean(axis=0))


def test_positions_in_millimetres_are_refused() -> None:
    with pytest.raises(ConfigError, match="fan_xyz_m: more than 2 m"):
        build(Noise, {"robot": {"fan_xyz_m": [-80.0, 0.0, 200.0]}}, "task.yaml")
