"""Image sources by pyroomacoustics against a sum written out here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.scenes import materials
from phonotaxis.envs.truth.images import Shoebox, image_responses, smooth_materials, with_air
from phonotaxis.envs.truth.shoebox import ONE_MICROPHONE

RATE_HZ = 16000
ROOM = Shoebox("test", (3.0, 4.0, 2.5), 0.3, 0.2, 0.5, 0.03)
SOURCE, LISTENER = (1.1, 1.4, 1.2), np.array([[2.0, 2.9, 0.5]])


def own_images() -> np.ndarray:
    """Sum the images of up to three reflections at an axis (Allen and Berkley 1979), before the air."""
    lines = []
    for axis, (low, high) in enumerate([(0.2, 0.2), (0.2, 0.2), (0.3, 0.5)]):
        line = []
        for n in range(-3, 4):
            for mirrored in (False, True):
                place = 2 * n * ROOM.size_m[axis] + (-SOURCE[axis] if mirrored else SOURCE[axis])
                hits_low, hits_high = abs(n - 1 if mirrored else n), abs(n)
                line.append((place, np.sqrt((1 - low) ** hits_low * (1 - high) ** hits_high)))
        lines.append(line)
    out = np.zeros(round(ROOM.length_s * RATE_HZ))
    for combination in itertools.product(*lines):
        metres = float(np.linalg.norm([place for place, _ in combination] - LISTENER[0]))
        gain = float(np.prod([g for _, g in combination]))
        out += gain / metres * np.sinc(np.arange(out.size) - metres / SPEED_OF_SOUND_MPS * RATE_HZ)
    return out


def test_the_reference_is_the_sum_of_images() -> None:
    pytest.importorskip("pyroomacoustics", reason="the bench extra isn't installed")
    found = image_responses(ROOM, SOURCE, LISTENER, RATE_HZ)
    expected = with_air(own_images()[None], RATE_HZ)
    assert found.shape == (1, 480)
    low_passed = [np.fft.rfft(response[0, :440])[:160] for response in (found, expected)]  # below what a window does
    assert np.linalg.norm(low_passed[0] - low_passed[1]) < 0.02 * np.linalg.norm(low_passed[1])


def test_the_simulator_takes_the_same_surfaces() -> None:
    """The direct sound, before anything else comes, is the same in both."""
    pytest.importorskip("pyroomacoustics", reason="the bench extra isn't installed")
    with smooth_materials([ROOM]):
        x, y, z = (float(value) for value in LISTENER[0])
        ours = impulse_response(ROOM.scene(), SOURCE, (x, y, z), 0.0, ONE_MICROPHONE, RATE_HZ, ROOM.length_s)
    exact = image_responses(ROOM, SOURCE, LISTENER, RATE_HZ)
    first = round(np.linalg.norm(LISTENER[0] - SOURCE) / SPEED_OF_SOUND_MPS * RATE_HZ)
    near = slice(first - 8, first + 4)
    np.testing.assert_allclose(ours[0, near], exact[0, near], atol=0.03 * np.abs(exact).max())


def test_displaced_images_leave_the_direct_sound_in_its_place() -> None:
    pytest.importorskip("pyroomacoustics", reason="the bench extra isn't installed")
    exact, displaced, again = (
        image_responses(ROOM, SOURCE, LISTENER, RATE_HZ, places_seed=seed)[0] for seed in (None, 1, 1)
    )
    assert np.array_equal(displaced, again)
    first = round(np.linalg.norm(LISTENER[0] - SOURCE) / SPEED_OF_SOUND_MPS * RATE_HZ)
    near = slice(first - 8, first + 4)
    np.testing.assert_allclose(displaced[near], exact[near], atol=0.03 * np.abs(exact).max())
    assert np.abs(displaced - exact)[first + 40 :].max() > 0.1 * np.abs(exact).max()
    assert np.sum(displaced**2) == pytest.approx(np.sum(exact**2), rel=0.3)


def test_materials_are_there_for_the_block_alone() -> None:
    before, names = materials.MATERIALS, dict(materials.INDEX)
    with smooth_materials([ROOM]):
        scene = ROOM.scene()
        assert len(materials.MATERIALS) == len(before) + 3
        absorbed = materials.absorption_table()
        used = (scene.floor_material, scene.side_material, scene.ceiling_material)
        assert [float(absorbed[grid[1, 1], 0]) for grid in used] == pytest.approx([0.3, 0.2, 0.5])
        assert not materials.scattering_table()[len(before) :].any()
    assert before is materials.MATERIALS
    assert names == materials.INDEX


def test_air_takes_what_its_table_says() -> None:
    taps = 4800
    clicks = np.zeros((1, taps))
    clicks[0, 4000] = 1.0
    metres = 4000 / RATE_HZ * SPEED_OF_SOUND_MPS
    spectrum = np.abs(np.fft.rfft(with_air(clicks, RATE_HZ)[0]))
    frequency_hz = np.fft.rfftfreq(taps, 1.0 / RATE_HZ)
    for band, centre_hz in ((3, 1000.0), (5, 4000.0)):
        expected = np.exp(-float(amplitude_exponent_per_m()[band]) * metres)
        assert spectrum[np.argmin(np.abs(frequency_hz - centre_hz))] == pytest.approx(expected, rel=0.005)


def test_air_that_was_taken_can_be_given_back() -> None:
    """Half of it, in dB: the late part is louder by that much, octave by octave; all of it is where it was."""
    response = np.random.Generator(np.random.PCG64(5)).standard_normal((1, RATE_HZ // 2))
    aired = with_air(response, RATE_HZ)
    assert np.linalg.norm(with_air(aired, RATE_HZ, -1.0) - response) < 0.02 * np.linalg.norm(response)
    half = with_air(aired, RATE_HZ, -0.5)
    late = slice(round(0.4 * RATE_HZ), round(0.45 * RATE_HZ))
    spectra = [np.abs(np.fft.rfft(each[0, late])) ** 2 for each in (half, aired)]
    at_4000 = slice(round(3600 * 0.05), round(4600 * 0.05))
    louder_db = 10.0 * np.log10(spectra[0][at_4000].sum() / spectra[1][at_4000].sum())
    metres = 0.425 * 343.2
    assert louder_db == pytest.approx(0.5 * 22.9e-3 * metres, abs=0.1)
