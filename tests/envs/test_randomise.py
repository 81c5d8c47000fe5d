from __future__ import annotations

import math

import numpy as np
import pytest

from phonotaxis.configs.air import Air
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.motion import Drive
from phonotaxis.configs.randomisation import Randomisation, Range, bounds
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.envs import scenes
from phonotaxis.envs.motion import drive_parameters
from phonotaxis.envs.randomise import (
    OF_THE_SCENE,
    Variation,
    draw_variation,
    materials_of,
    nominal_variation,
    varied_air,
    varied_camera,
    varied_unit,
    vary_drive,
    vary_materials,
)
from phonotaxis.envs.scenes.materials import absorption_table, scattering_table

NAMES = tuple(name for name in Randomisation.model_fields if name not in OF_THE_SCENE)
EVERYTHING = Randomisation.model_validate({name: bounds(name)[:2] for name in Randomisation.model_fields})


def drawn() -> np.ndarray:
    """Return the draws of 400 episodes, [episodes, NAMES]."""
    variations = [draw_variation(EVERYTHING, seed) for seed in range(400)]
    return np.array([[getattr(variation, name) for name in NAMES] for variation in variations])


def test_materials_are_the_scenes_own_and_even_in_their_range() -> None:
    room = scenes.load("empty_room")
    rooms = [vary_materials(room, EVERYTHING, seed) for seed in range(400)]
    for name in OF_THE_SCENE:
        scales = np.array([getattr(one, name) for one in rooms])
        assert scales.min() < 0.3
        assert scales.max() > 9.7
        assert scales.mean() == pytest.approx(5.0, abs=0.6)  # 4 standard errors
        assert getattr(vary_materials(room, EVERYTHING, 7), name) == scales[7]
        assert getattr(materials_of(rooms[7], Variation()), name) == scales[7]
        assert all(getattr(draw_variation(EVERYTHING, seed), name) == 1.0 for seed in range(9))
    assert vary_materials(room, Randomisation(latency_s=Range(low=0.0, high=0.1)), 7) is room


def test_scaled_materials_end_at_one() -> None:
    for table in (absorption_table, scattering_table):
        np.testing.assert_allclose(table(2.0), np.minimum(2.0 * table(), 1.0), rtol=1e-6)
        assert table(10.0).max() == 1.0
        assert not table(0.0).any()


def test_a_variation_has_the_fields_of_the_configuration() -> None:
    assert Variation._fields == tuple(Randomisation.model_fields)


def test_nothing_varies_by_default() -> None:
    nominal = nominal_variation(radius_m=0.2, drive=Drive(latency_s=0.1, slip_v=0.05), diffuse_dba=35.0)
    assert draw_variation(Randomisation(), 7, nominal) == nominal
    assert draw_variation(Randomisation(), 7) == Variation() == nominal_variation(radius_m=0.18)
    assert (nominal.radius_m, nominal.latency_s, nominal.slip_v, nominal.diffuse_noise_dba) == (0.2, 0.1, 0.05, 35.0)
    assert nominal.max_acceleration_mps2 == math.inf


def test_every_draw_lies_in_its_range_and_fills_it() -> None:
    draws = drawn()
    for name, column in zip(NAMES, draws.T):
        low, high, _ = bounds(name)
        assert low <= column.min() < low + 0.03 * (high - low)
        assert high - 0.03 * (high - low) < column.max() <= high
        assert column.mean() == pytest.approx((low + high) / 2, abs=0.06 * (high - low))  # 4 standard errors


def test_fields_are_drawn_independently_of_each_other() -> None:
    draws = drawn()
    correlations = np.abs(np.corrcoef(draws.T) - np.eye(len(NAMES)))
    assert correlations.max() < 0.25  # 5 standard errors of 400 draws


def test_a_field_that_is_added_changes_no_others_draw() -> None:
    few = Randomisation(latency_s=Range(low=0.0, high=0.1), slip_v=Range(low=0.0, high=0.2))
    one = Randomisation(slip_v=few.slip_v)
    for seed in (0, 5, 2**40):
        assert draw_variation(few, seed).slip_v == draw_variation(one, seed).slip_v
        assert draw_variation(one, seed).latency_s == 0.0


def test_the_same_seed_draws_the_same_for_ever() -> None:
    """A change here changes every trained policy's episodes: it belongs in the changelog."""
    half = Randomisation(slip_v=Range(low=0.0, high=0.2), radius_m=Range(low=0.15, high=0.25))
    drawn = draw_variation(half, 3)
    assert drawn == draw_variation(half, int(np.int64(3)))
    assert (drawn.slip_v, drawn.radius_m) == pytest.approx((0.18592247930990857, 0.2106300241148909), rel=1e-12)


def test_a_range_of_one_value_is_that_value() -> None:
    fixed = Randomisation(radius_m=Range(low=0.21, high=0.21))
    assert {draw_variation(fixed, seed).radius_m for seed in range(20)} == {0.21}


def test_a_variation_reaches_one_worlds_drive_alone() -> None:
    drives = drive_parameters(Drive(max_acceleration_mps2=2.0), 0.18, 3)
    before = [array.copy() for array in drives]
    varied = draw_variation(EVERYTHING, 1)
    vary_drive(drives, 1, varied)
    for name, was, array in zip(drives._fields, before, drives):
        assert (array[[0, 2]] == was[[0, 2]]).all()
        if name != "slides":
            assert array[1] == getattr(varied, name)


def test_the_nominal_variation_is_the_drives_own_parameters() -> None:
    drive = Drive(max_angular_acceleration_radps2=3.0, slip_w=0.1, slip_turn_radpm=0.02, speed_scale=0.9)
    drives = drive_parameters(drive, 0.25, 1)
    expected = [array.copy() for array in drives]
    for array in drives[:-1]:
        array[:] = -1.0
    vary_drive(drives, 0, nominal_variation(0.25, drive))
    assert [array.tolist() for array in drives] == [array.tolist() for array in expected]


def test_a_camera_is_shifted_and_its_view_scaled() -> None:
    camera = PinholeCamera(mount_xyz_m=(0.1, 0.0, 0.5), mount_rpy_rad=(0.0, 0.1, 0.0))
    assert varied_camera(camera, Variation()) == camera
    shift = Variation(camera_z_shift_m=-0.1, camera_yaw_shift_rad=0.2, camera_pitch_shift_rad=0.1, camera_fov_scale=2.0)
    varied = varied_camera(camera, shift)
    assert varied.mount_xyz_m == pytest.approx((0.1, 0.0, 0.4))
    assert varied.mount_rpy_rad == pytest.approx((0.0, 0.2, 0.2))
    half_view = math.atan(camera.width / 2 / varied.fx)
    assert math.tan(half_view) == pytest.approx(2.0 * camera.width / 2 / camera.fx)
    assert (varied.width, varied.max_range_m) == (camera.width, camera.max_range_m)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_drawn_can_be_built(seed: int) -> None:
    """The bounds of the ranges lie within those of the configurations they vary."""
    varied = draw_variation(EVERYTHING, seed)
    assert varied_air(varied).temperature_c == varied.air_temperature_c
    assert varied_unit(varied).gain_std_db == varied.unit_gain_std_db
    assert varied_camera(PinholeCamera(), varied).fx > 0


def test_the_outermost_values_can_be_built() -> None:
    for end in (0, 1):
        outermost = Variation(**{name: bounds(name)[end] for name in NAMES})
        varied_air(outermost)
        varied_unit(outermost)
        varied_camera(PinholeCamera(), outermost)


def test_air_and_unit_survive_the_way_there_and_back() -> None:
    air = Air(temperature_c=12.0, relative_humidity_percent=70.0)
    unit = UnitVariation(gain_std_db=1.0, dead_probability=0.1)
    nominal = nominal_variation(0.18, air=air, unit=unit)
    assert (varied_air(nominal), varied_unit(nominal)) == (air, unit)
