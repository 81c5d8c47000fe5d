"""Domain randomisation: what one episode's values are, drawn from the ranges of `configs.randomisation`."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import NamedTuple

from phonotaxis.configs.air import Air
from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.motion import Drive
from phonotaxis.configs.randomisation import Randomisation, Range
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.envs.motion import DriveParameters
from phonotaxis.envs.scenes.scene import Scene

_DRIVE_FIELDS = (
    "max_acceleration_mps2", "max_angular_acceleration_radps2", "latency_s", "speed_scale", "slip_v", "slip_w",
    "slip_turn_radpm", "radius_m",
)  # fmt: skip


# Drawn by the scene: its sound is traced once for all the episodes in it.
OF_THE_SCENE = ("absorption_scale", "scattering_scale")


class Variation(NamedTuple):
    """One episode's values, plain floats; names and units are those of `Randomisation`'s ranges.

    The defaults are a simulator without noise, in which nothing varies. No noise is -infinity dB(A), and no limit of
    acceleration is infinity.
    """

    sound_level_shift_db: float = 0.0
    air_temperature_c: float = 20.0
    air_relative_humidity_percent: float = 70.0
    absorption_scale: float = 1.0
    scattering_scale: float = 1.0
    diffuse_noise_dba: float = -math.inf
    robot_noise_shift_db: float = 0.0
    self_noise_shift_db: float = 0.0
    unit_gain_std_db: float = 0.0
    unit_delay_std_us: float = 0.0
    unit_position_std_m: float = 0.0
    unit_clip_below_full_scale_db: float = 0.0
    unit_dead_probability: float = 0.0
    camera_x_shift_m: float = 0.0
    camera_y_shift_m: float = 0.0
    camera_z_shift_m: float = 0.0
    camera_roll_shift_rad: float = 0.0
    camera_pitch_shift_rad: float = 0.0
    camera_yaw_shift_rad: float = 0.0
    camera_fov_scale: float = 1.0
    depth_noise_scale: float = 1.0
    radius_m: float = 0.18
    speed_scale: float = 1.0
    max_acceleration_mps2: float = math.inf
    max_angular_acceleration_radps2: float = math.inf
    latency_s: float = 0.0
    slip_v: float = 0.0
    slip_w: float = 0.0
    slip_turn_radpm: float = 0.0


def nominal_variation(
    radius_m: float,
    drive: Drive | None = None,
    air: Air | None = None,
    unit: UnitVariation | None = None,
    diffuse_dba: float | None = None,
) -> Variation:
    """Return the task's own values, around which nothing varies yet.

    Args:
        radius_m: of the body.
        drive: of the task; None for one that reaches setpoints at once.
        air: of the scenes.
        unit: spread between units of the array; None for the data sheet's.
        diffuse_dba: level of the room's background, dB(A); None is off.
    """
    drive, air = drive or Drive(), air or Air()
    given: dict[str, float] = {
        "air_temperature_c": air.temperature_c,
        "air_relative_humidity_percent": air.relative_humidity_percent,
        "diffuse_noise_dba": -math.inf if diffuse_dba is None else diffuse_dba,
        "radius_m": radius_m,
    }
    given |= {f"unit_{name}": value for name, value in (unit or UnitVariation()).model_dump().items()}
    of_drive = drive.model_dump(exclude={"wall"})
    given |= {name: math.inf if value is None else value for name, value in of_drive.items()}
    return Variation(**given)


def draw_variation(randomisation: Randomisation, seed: int, nominal: Variation | None = None) -> Variation:
    """Draw the values of one episode; those of materials stay nominal, see `vary_materials`.

    Each field is drawn by a hash of the seed and its own name: the same seed gives the same values whatever else was
    drawn, and a field that is added changes no other's.

    Args:
        randomisation: the ranges; even in each.
        seed: of the episode.
        nominal: the values of what doesn't vary, and those that what is named `_scale` multiplies; see
            `nominal_variation`.
    """
    nominal, drawn = nominal or Variation(), {}
    for name, among in randomisation.ranges().items():
        if name not in OF_THE_SCENE:
            own = getattr(nominal, name) if name.endswith("_scale") else 1.0
            drawn[name] = own * _drawn(among, _unit_of(name, seed))
    return nominal._replace(**drawn)


def vary_materials(scene: Scene, randomisation: Randomisation, scene_seed: int) -> Scene:
    """Return a scene whose materials absorb and scatter more or less than they are listed with.

    The factors are those of the scene's seed. Episodes in one scene share them, as they share its traced sound;
    episodes in another have others. So an episode is the same whatever was loaded, traced or dropped before.

    Args:
        scene: as its source builds it.
        randomisation: the ranges; without one of materials the scene is returned as it is.
        scene_seed: that it was built with.
    """
    ranges = {name: among for name, among in randomisation.ranges().items() if name in OF_THE_SCENE}
    scales = {name: _drawn(among, _unit_of(f"{name} of scene", scene_seed)) for name, among in ranges.items()}
    if not scales:
        return scene
    absorption, scattering = (scales.get(name, 1.0) for name in OF_THE_SCENE)
    return dataclasses.replace(scene, absorption_scale=absorption, scattering_scale=scattering)


def materials_of(scene: Scene, variation: Variation) -> Variation:
    """Return an episode's values with those of its scene's materials."""
    return variation._replace(absorption_scale=scene.absorption_scale, scattering_scale=scene.scattering_scale)


def _drawn(among: Range, share: float) -> float:
    """Return the value at a share of a range."""
    return min(among.low + (among.high - among.low) * share, among.high)  # rounding may go past it


def _unit_of(name: str, seed: int) -> float:
    """Return the uniform number in [0, 1) of a name and a seed."""
    digest = hashlib.blake2b(f"phonotaxis variation {name} {seed}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def vary_drive(drives: DriveParameters, world: int, variation: Variation) -> None:
    """Write a variation into the drive parameters of one world."""
    for name in _DRIVE_FIELDS:
        getattr(drives, name)[world] = getattr(variation, name)


def varied_camera(camera: PinholeCamera, variation: Variation) -> PinholeCamera:
    """Return a camera with its mount shifted and its angle of view scaled; size and range are as they were."""
    x, y, z = camera.mount_xyz_m
    roll, pitch, yaw = camera.mount_rpy_rad
    shifted = {
        "fx": camera.fx / variation.camera_fov_scale,
        "fy": camera.fy / variation.camera_fov_scale,
        "mount_xyz_m": (
            x + variation.camera_x_shift_m,
            y + variation.camera_y_shift_m,
            z + variation.camera_z_shift_m,
        ),
        "mount_rpy_rad": (
            roll + variation.camera_roll_shift_rad,
            pitch + variation.camera_pitch_shift_rad,
            yaw + variation.camera_yaw_shift_rad,
        ),
    }
    return PinholeCamera.model_validate(camera.model_dump() | shifted)


def varied_unit(variation: Variation) -> UnitVariation:
    """Return the spread between the microphones of an episode's array."""
    spread = {name: getattr(variation, f"unit_{name}") for name in UnitVariation.model_fields}
    return UnitVariation.model_validate(spread)


def varied_air(variation: Variation, pressure_kpa: float = 101.325) -> Air:
    """Return an episode's air."""
    return Air(
        temperature_c=variation.air_temperature_c,
        relative_humidity_percent=variation.air_relative_humidity_percent,
        pressure_kpa=pressure_kpa,
    )
