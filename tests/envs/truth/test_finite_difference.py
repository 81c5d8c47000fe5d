"""The grid against what is known without it: free field, modes of a box, a duct with a lossy end, mirror symmetry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.truth.finite_difference import (
    SPEED_OF_SOUND_MPS,
    Room,
    absorption_of,
    admittance_of,
    pulse,
    room_of,
    shoebox,
    simulate,
)


def test_free_field() -> None:
    """Before anything comes back the pulse arrives r / c late and r times smaller, on and off the grid's axes."""
    room = shoebox((3.0, 3.0, 3.0), 0.05, 0.0)
    source = np.array([1.525, 1.525, 1.525])
    offsets = np.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [0.41, -0.33, 0.27], [0.0, 0.013, 0.8]])
    recorded = simulate(room, source, source + offsets, 0.0065, peak_hz=400.0)
    time_s = np.arange(recorded.shape[1]) * room.step_s
    for heard, distance_m in zip(recorded, np.linalg.norm(offsets, axis=1)):
        expected = pulse(time_s - distance_m / SPEED_OF_SOUND_MPS, 400.0) / distance_m
        # Cells of 1 / 17 of the wavelength at the peak: dispersion and interpolation leave a few per cent.
        assert np.linalg.norm(heard - expected) < 0.05 * np.linalg.norm(expected)


def test_modes_of_a_rigid_box() -> None:
    """Resonances at c / 2 sqrt((n / a)^2 + (m / b)^2 + (l / c)^2), to the resolution of a second."""
    size_m = (1.0, 0.8, 0.6)
    room = shoebox(size_m, 0.05, 0.0)
    recorded = simulate(room, np.array([0.125, 0.125, 0.125]), np.array([[0.89, 0.69, 0.47]]), 1.0, peak_hz=250.0)[0]
    spectrum = np.abs(np.fft.rfft(recorded * np.hanning(recorded.size), 8 * recorded.size))
    frequency_hz = np.fft.rfftfreq(8 * recorded.size, room.step_s)
    for n in [(1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1)]:
        expected_hz = SPEED_OF_SOUND_MPS / 2 * np.linalg.norm(np.divide(n, size_m))
        near = np.abs(frequency_hz - expected_hz) < 8.0
        found_hz = frequency_hz[near][spectrum[near].argmax()]
        assert found_hz == pytest.approx(expected_hz, rel=0.004)


@pytest.mark.parametrize("admittance", [0.05, 0.3, 0.6])
def test_a_duct_with_a_lossy_end(admittance: float) -> None:
    """A plane wave comes back from an end of admittance g as (1 - g) / (1 + g) of itself."""
    room = shoebox((6.0, 0.2, 0.2), 0.05, 0.0)
    loss = room.admittance.copy()
    loss[-2, 1:-1, 1:-1] = admittance
    room = room._replace(admittance=loss)
    recorded = simulate(room, np.array([0.025, 0.075, 0.075]), np.array([[3.0, 0.1, 0.1]]), 0.039, peak_hz=200.0)[0]
    time_s = np.arange(recorded.size) * room.step_s
    there, back = (recorded[(time_s > begin) & (time_s < begin + 0.0125)] for begin in (0.0085, 0.026))
    kept = np.sqrt(np.sum(back**2) / np.sum(there**2))
    assert kept == pytest.approx((1 - admittance) / (1 + admittance), abs=0.01)


def test_source_and_listener_may_change_places() -> None:
    room = shoebox((1.0, 0.8, 0.6), 0.05, 0.1)
    a, b = np.array([0.325, 0.225, 0.175]), np.array([0.725, 0.525, 0.375])
    there = simulate(room, a, b[None], 0.02, peak_hz=400.0)
    back = simulate(room, b, a[None], 0.02, peak_hz=400.0)
    np.testing.assert_allclose(there, back, atol=1e-4 * np.abs(there).max())


def test_absorption_of_an_admittance() -> None:
    """Paris: the mean over directions of 1 - |R|^2, weighted with sin 2 theta; and its inverse."""
    for admittance in (0.01, 0.1, 0.4):

        def taken(theta: float, g: float = admittance) -> float:
            reflected = (np.cos(theta) - g) / (np.cos(theta) + g)
            return float((1.0 - reflected**2) * np.sin(2 * theta))

        assert absorption_of(admittance) == pytest.approx(quad(taken, 0, np.pi / 2)[0], rel=1e-6)
        assert admittance_of(absorption_of(admittance)) == pytest.approx(admittance, rel=1e-6)
    assert admittance_of(0.0) == 0.0
    with pytest.raises(ValueError, match=r"absorbs 0 to 0\.95, got 0\.99"):
        admittance_of(0.99)


def test_a_scene_in_cubes() -> None:
    """Volume and absorbing area are the scene's, with a lintel and a table in it."""
    scene = scenes.load("empty_room", size_m=[2.0, 1.0], height_m=2.4, floor="carpet", walls="plaster")
    floor, ceiling, side = scene.floor_m.copy(), scene.ceiling_m.copy(), scene.side_material.copy()
    floor[3, 3] = 0.8
    side[3, 3] = INDEX["upholstery"]
    ceiling[6, 7] = 2.0
    scene = dataclasses.replace(scene, floor_m=floor, ceiling_m=ceiling, side_material=side)
    room = room_of(scene, (500.0, 1000.0), cells=2)
    volume_m3 = 2.0 * 1.0 * 2.4 - 0.1 * 0.1 * (0.8 + 0.4)
    assert room.air.sum() * room.spacing_m**3 == pytest.approx(volume_m3)
    area_m2 = {
        "carpet": 2.0,
        "ceiling_plaster": 2.0,
        "plaster": 6.0 * 2.4 + 0.4 * 0.4,
        "upholstery": 0.4 * 0.8,
    }
    mean = {"carpet": 0.275, "ceiling_plaster": 0.065, "plaster": 0.055, "upholstery": 0.6}
    expected = sum(area_m2[name] * admittance_of(mean[name]) for name in area_m2)
    assert room.admittance.sum() * room.spacing_m**2 == pytest.approx(expected, rel=1e-4)
    assert not room.admittance[~room.air].any()


def test_a_mode_loses_what_its_walls_take() -> None:
    """The first mode of a long box decays, in energy, at c g (4 / a + 2 / b + 2 / c) for a small admittance g."""
    size_m, admittance = (2.0, 0.5, 0.4), 0.01
    room = shoebox(size_m, 0.05, admittance)
    recorded = simulate(room, np.array([0.025, 0.225, 0.175]), np.array([[1.89, 0.31, 0.21]]), 0.6, peak_hz=80.0)[0]
    spectrum = np.fft.fft(recorded)
    frequency_hz = np.fft.fftfreq(recorded.size, room.step_s)
    spectrum *= np.exp(-0.5 * ((frequency_hz - 85.8) / 15.0) ** 2)  # the first mode alone; the next is at 171.6 Hz
    level = 2.0 * np.log(np.abs(np.fft.ifft(spectrum)))
    time_s = np.arange(recorded.size) * room.step_s
    used = (time_s > 0.1) & (time_s < 0.3)
    slope = -np.polyfit(time_s[used], level[used], 1)[0]
    a, b, c = size_m
    assert slope == pytest.approx(SPEED_OF_SOUND_MPS * admittance * (4 / a + 2 / b + 2 / c), rel=0.002)


@pytest.mark.parametrize("where", [(0.01, 0.3, 0.3), (1.2, 0.3, 0.3), (-0.4, 0.3, 0.3)])
def test_points_too_near_to_matter_are_refused(where: tuple[float, float, float]) -> None:
    room = shoebox((1.0, 0.8, 0.6), 0.05, 0.1)
    inside = np.array([0.5, 0.4, 0.3])
    with pytest.raises(ValueError, match="a point lies"):
        simulate(room, inside, np.array([where]), 0.01, peak_hz=400.0)
    if where[0] != 0.01:
        with pytest.raises(ValueError, match="the source at"):
            simulate(room, np.array(where), inside[None], 0.01, peak_hz=400.0)


def test_the_pulse_begins_at_nothing_and_leaves_nothing() -> None:
    time_s = np.arange(0.0, 0.02, 1e-5)
    sent = pulse(time_s, 400.0)
    assert abs(sent[0]) < 1e-4
    assert abs(sent.sum()) < 1e-3 * np.abs(sent).sum()
    peak_hz = np.fft.rfftfreq(sent.size, 1e-5)[np.abs(np.fft.rfft(sent)).argmax()]
    assert peak_hz == pytest.approx(400.0, abs=50.0)


def test_the_outermost_layer_is_matter() -> None:
    room: Room = shoebox((1.0, 0.8, 0.6), 0.05, 0.1)
    assert room.air.shape == (22, 18, 14)
    assert not room.air[[0, -1]].any()
    assert not room.air[:, :, [0, -1]].any()
