"""Who sees whom, in the scenes of the benchmark; and that what is compared there is measured as it says."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes
from phonotaxis.envs.scenes import materials
from phonotaxis.envs.truth import door, furnished, wedge_error
from phonotaxis.envs.truth.finite_difference import pulse
from phonotaxis.envs.truth.images import smooth_materials
from phonotaxis.envs.truth.measures import wrapped_deg
from phonotaxis.envs.truth.poses import bends, in_air, sees
from phonotaxis.envs.truth.wedge import (
    HALF_PLANE_RAD,
    OCTAVES_HZ,
    RIGHT_ANGLE_RAD,
    exact_pressure,
    octave_levels_db,
    round_edge_m,
    straight_m,
)


def test_bends_through_one_door_and_two() -> None:
    with smooth_materials([door.TWO_ROOMS, door.PASSAGE]):
        two_rooms, passage = door.two_rooms(), door.passage()
    assert bends(two_rooms, (3.0, 1.45, 1.0), (5.0, 1.45, 1.0)) == 0
    assert bends(two_rooms, (3.0, 1.45, 2.2), (5.0, 1.45, 2.2)) == 2  # over the lintel there is no way at that height
    assert bends(two_rooms, (1.0, 3.2, 1.0), (7.0, 3.2, 0.5)) == 1
    assert bends(passage, (1.0, 2.8, 1.0), (4.0, 3.0, 0.5)) == 1
    assert bends(passage, (1.0, 2.8, 1.0), (7.0, 1.0, 0.5)) == 2


def test_in_air() -> None:
    room = scenes.load("empty_room")
    assert in_air(room, (1.0, 1.0, 1.0))
    assert not in_air(room, (1.0, 1.0, 2.7))
    assert not in_air(room, (-0.05, 1.0, 1.0))
    assert not in_air(room, (70.0, 1.0, 1.0))


@pytest.mark.parametrize("exterior_rad", [HALF_PLANE_RAD, RIGHT_ANGLE_RAD])
def test_places_about_an_edge_are_where_the_closed_form_has_them(exterior_rad: float) -> None:
    """Distances are kept, and the obstacle of cells hides just those listeners that the shadow covers."""
    scene = wedge_error.block() if exterior_rad == RIGHT_ANGLE_RAD else wedge_error.thin_wall()
    edge = np.array([wedge_error.MIDDLE_M] * 3)
    for pose in wedge_error.poses():
        if pose.exterior_rad != exterior_rad:
            continue
        source, listener = (np.array(wedge_error.place(point)) for point in (pose.source, pose.listener))
        assert np.linalg.norm(source - listener) == pytest.approx(straight_m(pose.source, pose.listener))
        over_m = np.linalg.norm(source - edge) + np.linalg.norm(listener - edge)
        assert over_m == pytest.approx(round_edge_m(pose.source, pose.listener))
        if abs(pose.shadow_deg) > 1.0:
            assert sees(scene, tuple(source), tuple(listener)) == (pose.shadow_deg < 0)


def test_wedge_rows_of_the_truth_itself_and_of_a_quieter_one() -> None:
    places = wedge_error.poses()[::9]
    exact = np.array([octave_levels_db(exact_pressure, p.exterior_rad, p.source, p.listener) for p in places])
    assert [row.value for row in wedge_error.rows(places, exact)] == [0.0, 0.0]
    exact[:, 2] -= 4.0
    median, worst = wedge_error.rows(places, exact)
    assert (median.value, worst.value) == (0.0, pytest.approx(4.0))
    assert worst.met is False
    assert len(median.samples) == len(places) * len(OCTAVES_HZ)


def test_door_reads_level_and_direction_of_a_plane_wave() -> None:
    """A quarter of the amplitude from azimuth 2 is 12 dB down in every octave and comes from azimuth 2."""
    array = presets.load("arrays", door.ARRAY, MicrophoneArray)
    pose = door.DoorPose((0.0, 0.0, 1.0), (2.0, 1.0, 0.5), 0.7, 0.02)
    mics_m = door._microphones_m(array, pose)
    towards, rate_hz = np.array([np.cos(2.0), np.sin(2.0), 0.0]), 17829.0
    time_s = np.arange(4500) / rate_hz
    late_s = 0.02 - (mics_m - mics_m.mean(axis=0)) @ towards / 343.2
    audio = 0.25 * np.stack([pulse(time_s - late, door.PEAK_HZ) for late in late_s])
    heard = door._read(audio, pulse(time_s, door.PEAK_HZ), rate_hz, mics_m, pose.arrival_s, [1, 2])
    np.testing.assert_allclose(heard.level_db, 20 * np.log10(0.25), atol=0.05)
    assert wrapped_deg(heard.azimuth_rad - 2.0) < 1.0
    assert (wrapped_deg(heard.srp_rad - 2.0) < 3.0).all()  # steady noise too, whichever


def test_the_door_is_judged_over_all_draws() -> None:
    """Draws that are 10, 20 and 50 degrees off: the median is 20; SRP-PHAT is held to the source's own direction."""
    level, noises = np.zeros(len(door.OCTAVES_HZ)), door.DRAWS
    exact = door.Heard(level, 0.5, np.full(2 * noises, 1.0))
    ours = [door.Heard(level + 1.0, 0.5 + np.radians(off), np.array([1.0])) for off in (10.0, 20.0, -20.0, 50.0)]
    moved = [heard._replace(srp_rad=np.array([1.0 + np.radians(30.0)])) for heard in ours]
    same, off = (
        {row.name: row for row in door.rows([door.Compared(bends, 1.0, draws, exact, exact) for bends in (1, 2)])}
        for draws in (ours, moved)
    )
    assert same["door_level_error_db"].value == pytest.approx(1.0)
    assert same["door_direction_error_deg"].value == pytest.approx(20.0)
    assert same["srp_distance_deg_door"].value == pytest.approx(0.0, abs=1e-9)
    assert off["srp_distance_deg_door"].value == pytest.approx(30.0)
    assert off["srp_distance_deg_door"].met is False


def test_door_poses_are_as_many_bends_away_as_asked_for_and_off_the_walls() -> None:
    with smooth_materials([door.TWO_ROOMS]):
        scene = door.two_rooms()
    found = door.draw_poses(scene, np.random.Generator(np.random.PCG64(3)), 1)
    assert len(found) == door.LISTENERS
    for pose in found:
        assert bends(scene, pose.source_m, pose.centre_m) == 1
        for x, y, _ in (pose.source_m, pose.centre_m):
            assert min(abs(x - wall) for wall in (0.0, 4.0, 4.1, 8.1)) >= 0.5
            assert min(y, 4.0 - y) >= 0.5
        straight_m = np.linalg.norm(np.subtract(pose.source_m, pose.centre_m))
        assert straight_m < 343.2 * pose.arrival_s < straight_m + 2.0
        other = door.beside(scene, pose, np.random.Generator(np.random.PCG64(4)), 1)
        assert np.linalg.norm(np.subtract(other.centre_m, pose.centre_m)) == pytest.approx(door.OTHER_M)


def test_furnished_poses() -> None:
    """Eight in sight within half a metre of one place, then those one bend away and more, in open air."""
    scene = scenes.load(furnished.APARTMENTS[0])
    found = furnished.draw_poses(scene, np.random.Generator(np.random.PCG64(4)), 4, 3)
    assert [pose.bends for pose in found] == [0] * 8 + [1] * 4 + [2] * 3
    assert len({pose.source_m for pose in found}) == 1
    cluster = np.array([pose.listener_m for pose in found[:8]])
    assert np.linalg.norm((cluster - cluster.mean(axis=0))[:, :2], axis=1).max() < 0.9
    for pose in found:
        assert in_air(scene, pose.listener_m)
        assert bends(scene, pose.source_m, pose.listener_m) == pose.bends


def test_furnished_reads_both_kinds_of_response_alike() -> None:
    """One arrival at 2 m, as a tetrahedron hears it and as pressure and directions: same level, same azimuth."""
    pose = furnished.ApartmentPose((2.0, 0.0, 0.5), (0.0, 0.0, 0.5), 0)
    towards, taps = np.array([np.cos(1.0), np.sin(1.0), 0.0]), 4096
    frequency = np.fft.rfftfreq(taps, 1.0 / furnished.RATE_HZ)

    def arriving(late_s: float) -> np.ndarray:
        return np.fft.irfft(0.5 * np.exp(-2j * np.pi * frequency * late_s), taps)

    late_s = 2.0 / 343.2
    tetrahedron = np.stack([arriving(late_s - mic @ towards / 343.2) for mic in furnished.ARRAY.positions_m()])
    ambisonic = np.stack([arriving(late_s) * weight for weight in (1.0, *towards)])
    ours, reference = furnished.read(tetrahedron, pose, True), furnished.read(ambisonic, pose, False)
    assert ours.level_db == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert reference.level_db == pytest.approx(ours.level_db, abs=0.1)
    for heard in (ours, reference):
        assert wrapped_deg(heard.azimuth_rad - 1.0) < 2.0
        assert heard.drr_db > 10.0


def test_everything_scatters_for_a_while() -> None:
    before = materials.scattering_table()
    with furnished.diffuse_materials():
        assert (materials.scattering_table() == 1.0).all()
        assert materials.absorption_table()[3] == pytest.approx(materials.MATERIALS[3].absorption)
    np.testing.assert_array_equal(materials.scattering_table(), before)


def test_silence_is_read_as_such() -> None:
    pose = furnished.ApartmentPose((2.0, 0.0, 0.5), (0.0, 0.0, 0.5), 2)
    heard = furnished.read(np.zeros((4, 4096)), pose, False)
    assert heard.level_db == -np.inf


def test_furnished_rows_with_and_without_a_second_answer() -> None:
    rng = np.random.Generator(np.random.PCG64(5))

    def heard(kind: int, silent: bool = False) -> furnished.Heard:
        if silent:
            return furnished.Heard(np.nan, -np.inf, np.nan)
        return furnished.Heard(float(rng.normal()) if kind == 0 else np.nan, float(rng.normal()), float(rng.normal()))

    poses = [furnished.ApartmentPose((0.0, 0.0, 1.0), (1.0, 0.0, 1.0), kind) for kind in (0, 0, 0, 1, 2)]
    decays = np.full((4, 2, 5), 0.5)
    decays[0] *= 1.03
    both = [
        furnished.Compared(
            poses,
            [heard(pose.bends) for pose in poses],
            [heard(pose.bends, silent=pose.bends == 2 and not again) for pose in poses],
            [heard(pose.bends) for pose in poses] if again else None,
            decays if again else np.where(np.arange(4)[:, None, None] == 2, np.nan, decays),
            (1, 2),
        )
        for again in (True, False)
    ]
    table = {row.name: row for row in furnished.rows(both)}
    assert table["rt60_error_median_apartments"].value == pytest.approx(3.0)
    assert table["rt60_error_median_apartments"].reference_own == 0.0
    assert len(table["drr_error_db_in_sight"].samples) == 6
    assert len(table["level_error_db_out_of_sight"].samples) == 3  # RLR is silent at one
    assert table["level_error_db_out_of_sight"].met is None
    assert all(np.isfinite(row.value) for row in table.values())
