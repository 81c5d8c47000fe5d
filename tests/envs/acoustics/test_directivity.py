"""Directional responses: closed forms and published figures, and the table that the renderer reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.directivity import Plate
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.directivity import (
    MAX_TAPS,
    Directivity,
    build_directivity,
    direction_index,
    interpolate_fir,
)
from phonotaxis.envs.acoustics.directivity_models import plate_response, rigid_sphere_response
from phonotaxis.envs.acoustics.field import scene_sound, source_field
from phonotaxis.envs.acoustics.renderer import ResponseRenderer, new_field_list, new_scene_list
from phonotaxis.envs.scenes.scene import Scene

RATE_HZ = 16000
HEAD_M = 0.0875


def load(name: str) -> MicrophoneArray:
    return presets.load("arrays", name, MicrophoneArray)


def directions(count: int, seed: int = 3) -> np.ndarray:
    """Return unit vectors, evenly likely over the sphere, [count, 3]."""
    towards = np.random.default_rng(seed).standard_normal((count, 3))
    return towards / np.sqrt((towards**2).sum(axis=1, keepdims=True))


def table(name_or_array: str | MicrophoneArray) -> Directivity:
    array = load(name_or_array) if isinstance(name_or_array, str) else name_or_array
    built = build_directivity(array, RATE_HZ)
    assert built is not None
    return built


def spectrum(directivity: Directivity, towards: np.ndarray, frequency_hz: np.ndarray) -> np.ndarray:
    """Return what the table's filters do at a direction, the common delay taken off, complex [mics, frequencies]."""
    out = np.empty(directivity.fir.shape[1:], dtype=np.float32)
    interpolate_fir(directivity, *towards, out)
    taps = np.arange(out.shape[1]) - directivity.fir_delay_samples
    return out.astype(float) @ np.exp(-2j * np.pi * np.outer(taps, frequency_hz / RATE_HZ))


def delay_samples(ratio: np.ndarray, frequency_hz: np.ndarray) -> float:
    """Return the delay that the phase of a ratio of spectra stands for: its slope through 0 Hz, least squares."""
    omega = 2 * np.pi * frequency_hz / RATE_HZ
    return -float(omega @ np.unwrap(np.angle(ratio)) / (omega @ omega))


def duda_and_martens(cosine: float, ka: float, distance_over_radius: float) -> complex:
    """Return the pressure at a rigid sphere over that at its centre, by the recursion of the paper's appendix.

    Its sign of time is the physicist's, so it is the conjugate of ours.
    """
    near, at = 1 / (1j * ka * distance_over_radius), 1 / (1j * ka)
    near_2, near_1, at_2, at_1 = near, near * (1 - near), at, at * (1 - at)
    legendre_2, legendre_1 = 1.0, cosine
    total = near / (at * (at - 1)) + 3 * cosine * near * (near - 1) / (at * (2 * at * (at - 1) + 1))
    for m in range(2, int(ka * 1.5) + 20):
        near_0 = -(2 * m - 1) * near * near_1 + near_2
        at_0 = -(2 * m - 1) * at * at_1 + at_2
        legendre = ((2 * m - 1) * cosine * legendre_1 - (m - 1) * legendre_2) / m
        total += (2 * m + 1) * legendre * near_0 / ((m + 1) * at * at_0 - at_1)
        near_2, near_1, at_2, at_1, legendre_2, legendre_1 = near_1, near_0, at_1, at_0, legendre_1, legendre
    return complex(distance_over_radius * np.exp(-1j * ka) * total / (1j * ka))


@pytest.mark.parametrize("ka", [0.1, 1.0, 3.0, 12.0])
def test_the_sphere_is_duda_and_martens(ka: float) -> None:
    frequency_hz = np.array([ka * SPEED_OF_SOUND_MPS / (2 * np.pi * HEAD_M)])
    for degrees in (0, 40, 90, 135, 180):
        cosine = np.cos(np.radians(degrees))
        ours = rigid_sphere_response(np.array([cosine]), frequency_hz, HEAD_M)[0, 0] * np.exp(1j * ka * cosine)
        theirs = np.conj(duda_and_martens(cosine, ka, 1e6))
        assert abs(ours - theirs) < 1e-4


def test_a_small_sphere_advances_phase_by_half_as_much_again() -> None:
    """Kuhn 1977: below ka = 0.1 a head's interaural delay is 3 a sin / c, not the free field's 2 a sin / c."""
    cosine = np.linspace(-1.0, 1.0, 9)
    frequency_hz = np.array([0.02 * SPEED_OF_SOUND_MPS / (2 * np.pi * HEAD_M)])
    response = rigid_sphere_response(cosine, frequency_hz, HEAD_M)[:, 0]
    np.testing.assert_allclose(np.angle(response) / 0.02, 0.5 * cosine, atol=1e-3)
    np.testing.assert_allclose(np.abs(response), 1.0, atol=1e-3)


def test_pressure_doubles_at_normal_incidence_on_a_large_sphere() -> None:
    frequency_hz = np.array([60.0, 200.0]) * SPEED_OF_SOUND_MPS / (2 * np.pi * HEAD_M)
    np.testing.assert_allclose(np.abs(rigid_sphere_response(np.ones(1), frequency_hz, HEAD_M)), 2.0, atol=0.01)


def test_sound_creeps_round_a_large_sphere() -> None:
    """Woodworth 1938: at high frequencies the far ear hears `a angle / c` after the sphere's tangent point."""
    frequency_hz = np.linspace(5000.0, 12000.0, 200)
    behind = np.radians(30.0)
    response = rigid_sphere_response(np.array([-np.sin(behind)]), frequency_hz, HEAD_M)[0]
    after_centre_s = HEAD_M * np.sin(behind) / SPEED_OF_SOUND_MPS  # of the free field at the same place
    phase = np.unwrap(np.angle(response * np.exp(-2j * np.pi * frequency_hz * after_centre_s)))
    late_s = -np.polyfit(2 * np.pi * frequency_hz, phase, 1)[0]
    assert late_s == pytest.approx(HEAD_M * behind / SPEED_OF_SOUND_MPS, rel=0.1)  # creeping waves are a little slow


def test_omnidirectional_arrays_need_no_table() -> None:
    assert build_directivity(load("respeaker_usb_v2"), RATE_HZ) is None


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000, 96000])
def test_a_table_fits_its_description(rate_hz: int) -> None:
    built = build_directivity(load("binaural"), rate_hz)
    assert built is not None
    count, mics, taps = built.fir.shape
    assert (mics, built.direction.shape) == (2, (count, 3))
    assert 0 < built.fir_delay_samples < taps <= MAX_TAPS
    assert built.gain.shape == (count, 2, 6)
    assert built.delay.shape == (count, 2)
    assert built.ring_count.sum() == count
    for array in (built.fir, built.gain, built.delay):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


def test_filters_are_as_short_as_what_they_hold() -> None:
    """A head of 17.5 cm is 8 samples across at 16 kHz; each tap of a filter costs at every path of every step."""
    assert table("binaural").fir.shape[2] <= 50


def test_the_nearest_direction_is_found_without_search() -> None:
    built = table("foa")
    towards = np.concatenate([directions(3000), np.eye(3), -np.eye(3), built.direction[::7]])
    for x, y, z in towards:
        found = direction_index(built, 3 * x, 3 * y, 3 * z)
        cosine = built.direction @ (x, y, z)
        assert cosine[found] >= cosine.max() - 1e-12
    cosine = np.array([built.direction[direction_index(built, *v)] @ v for v in towards])
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 3.8


def test_the_heads_filters_keep_its_phase_between_directions() -> None:
    """Within the bound that the simulator has for delays: 0.02 samples, phase slope of 300 to 6000 Hz."""
    built, frequency_hz = table("binaural"), np.linspace(300.0, 6000.0, 120)
    positions_m = load("binaural").positions_m() - [0.0, 0.0, 0.45]
    late, level_db = [], []
    for towards in directions(200):
        got = spectrum(built, towards, frequency_hz)
        for mic, place in enumerate(positions_m / HEAD_M):
            true = rigid_sphere_response(np.array([towards @ place]), frequency_hz, HEAD_M)[0]
            late.append(abs(delay_samples(got[mic] / true, frequency_hz)))
            level_db.append(20 * np.log10(np.abs(got[mic] / true)))
    assert max(late) < 0.02
    assert np.abs(level_db).max() < 1.0
    assert np.sqrt(np.mean(np.square(level_db))) < 0.1


def test_the_left_ear_hears_the_left_louder_and_no_later_than_in_free_field() -> None:
    built = table("binaural")
    left = direction_index(built, 0.0, 1.0, 0.0)
    assert (built.gain[left, 0, 3:] > 1.4).all()
    assert (built.gain[left, 0] > built.gain[left, 1]).all()
    assert built.delay[left, 1] > built.delay[left, 0]
    assert built.gain.min() > 0
    np.testing.assert_allclose(built.gain[:, :, 0], 1.0, atol=0.06)


def test_ambisonics_of_a_plane_wave_are_sn3d() -> None:
    """AmbiX: W = 1, Y = sin azimuth cos elevation, Z = sin elevation, X = cos azimuth cos elevation."""
    built = table("foa")
    for azimuth, elevation in np.radians([[0, 0], [90, 0], [-37, 20], [200, -71], [12, 88]]):
        x, y, z = np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)
        got = spectrum(built, np.array([x, y, z]), np.array([200.0, 5000.0]))
        np.testing.assert_allclose(got, np.repeat([[1.0], [y], [z], [x]], 2, axis=1), atol=3e-3)  # chords of 5 degrees
    assert built.fir.shape[2] == 1
    np.testing.assert_allclose(built.gain[:, 1:, 0] ** 2 @ np.ones(3), 1.0, atol=1e-5)
    np.testing.assert_allclose(built.gain[:, 1, 4], built.direction[:, 1], atol=1e-6)
    assert not built.delay.any()


def test_direction_is_that_from_the_array_wherever_it_is_mounted(hall: Scene) -> None:
    """A source 1 m to the left of an array that stands 0.3 m ahead of its base, both turned by 30 degrees."""
    array, yaw_rad = load("foa"), np.radians(30.0)
    ahead, left = np.array([np.cos(yaw_rad), np.sin(yaw_rad)]), np.array([-np.sin(yaw_rad), np.cos(yaw_rad)])
    of_base = np.array([20.1, 19.7])
    source_m = (*(of_base + 0.3 * ahead + left), 5.0)
    built, mics = build_directivity(array, RATE_HZ), np.repeat([[0.3, 0.0, 5.0]], 4, axis=0)
    renderer = ResponseRenderer(mics, RATE_HZ, 200, 200, built)
    listeners, out = renderer.listeners(1), renderer.responses(1)
    field = source_field(hall, source_m, 200 / RATE_HZ)
    listeners.pose[0], listeners.source_m[0] = (*of_base, yaw_rad), source_m
    scene_list, field_list = new_scene_list(scene_sound(hall)[0]), new_field_list(field)
    renderer.render(np.zeros(1, dtype=np.int64), scene_list, field_list, listeners, out)
    w, y, _, x = out.early[0].astype(float)  # 4.3 to 12.5 ms: the direct sound alone
    assert np.degrees(np.arctan2(y @ w, x @ w)) == pytest.approx(90.0, abs=0.5)


def test_a_cardioid_is_deaf_behind_and_half_as_loud_at_its_side() -> None:
    patterns = [{"pressure": 0.5, "velocity": 0.5, "axis": [0, 2, 0]}, {"pressure": 0.25, "velocity": 0.75}]
    built = table(one_or_more(2, {"kind": "ambisonic", "patterns": patterns}))
    cardioid = [built.gain[direction_index(built, *v), 0, 3] for v in ((0, 1, 0), (1, 0, 0), (0, -1, 0))]
    np.testing.assert_allclose(cardioid, [1.0, 0.5, 0.0], atol=1e-6)
    null = np.radians(109.47)  # of a hypercardioid: arccos(-1/3)
    assert abs(spectrum(built, np.array([np.cos(null), 0.0, np.sin(null)]), np.array([1000.0]))[1, 0]) < 3e-3


def one_or_more(mics: int, directivity: dict[str, Any]) -> MicrophoneArray:
    """Return microphones 4 cm apart along y with a directivity."""
    return MicrophoneArray.model_validate(
        {
            "name": "mine",
            "mic_xyz_m": [[0.0, 0.04 * mic, 0.3] for mic in range(mics)],
            "channel_map": list(range(mics)),
            "device_channels": mics,
            "directivity": directivity,
        }
    )


def test_a_plates_limits() -> None:
    plate = Plate(radius_m=0.1, normal=(0.0, 0.0, 3.0))
    above, aside, below = np.array([[0.0, 0, 1]]), np.array([[1.0, 0, 0]]), np.array([[0.0, 0, -1]])
    assert np.abs(plate_response(plate, above, np.array([0.0, 1e7]))[0]) == pytest.approx([1.0, 2.0], abs=0.01)
    assert np.abs(plate_response(plate, below, np.array([0.0, 1e7]))[0]) == pytest.approx([1.0, 0.0], abs=0.01)
    assert plate_response(plate, aside, np.array([3000.0]))[0, 0] == pytest.approx(1.0)
    assert np.abs(plate_response(Plate(radius_m=0.1, reflection=0.0), above, np.array([3000.0]))) == pytest.approx(1.0)


def test_a_raised_microphone_hears_the_plates_comb() -> None:
    """From above, the reflection is 2 h late, so that the first notch lies at c / (4 h)."""
    plate = Plate(radius_m=1.0, height_m=0.02)
    frequency_hz = np.linspace(500.0, 8000.0, 2000)
    level = np.abs(plate_response(plate, np.array([[0.0, 0.0, 1.0]]), frequency_hz))[0]
    assert frequency_hz[level.argmin()] == pytest.approx(SPEED_OF_SOUND_MPS / 0.08, rel=0.02)


def test_a_plates_table_holds_its_model() -> None:
    plate = Plate(radius_m=0.08, height_m=0.005)
    built = table(one_or_more(1, plate.model_dump()))
    frequency_hz = np.linspace(300.0, 6000.0, 60)
    for towards in directions(50):
        true = plate_response(plate, towards[None], frequency_hz)[0]
        np.testing.assert_allclose(spectrum(built, towards, frequency_hz)[0], true, atol=0.06)
