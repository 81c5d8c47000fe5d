"""Worlds as small as they can be: what is tested is how they work, not what can be learnt in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet

MakeTask = Callable[..., AudioGoalTask]

# Every option of a world that is off by default, switched on so that it acts within a few steps.
EVERYTHING: dict[str, Any] = {
    "array": "binaural",
    "modalities": ("depth", "semantic", "color"),
    "depth_noise": {
        "lateral_px": 0.7, "axial_m": 0.002, "axial_per_m": 0.003, "disparity_step_px": 0.125, "baseline_m": 0.05,
        "edge_dropout": 0.5, "max_range_m": 8.0,
    },
    "drive": {
        "max_acceleration_mps2": 3.0, "max_angular_acceleration_radps2": 6.0, "latency_s": 0.05, "slip_v": 0.05,
        "slip_w": 0.05, "slip_turn_radpm": 0.05, "wall": "slide",
    },
    "air": {"temperature_c": 28.0, "relative_humidity_percent": 30.0},
    "noise": {"diffuse_dba": 40.0, "robot": {"motor_dba_at_full_speed": 55.0, "fan_dba": 30.0}},
    "unit": {
        "gain_std_db": 1.0, "delay_std_us": 5.0, "position_std_m": 0.001, "dead_probability": 0.05,
        "clip_below_full_scale_db": 20.0,
    },
    "sources": {"distractors": 1, "starts_after_s": (0.0, 0.5), "directivity": ("talker", "loudspeaker")},
    "randomise": {
        "sound_level_shift_db": [-6, 6], "air_temperature_c": [10, 30], "diffuse_noise_dba": [30, 50],
        "robot_noise_shift_db": [-6, 6], "self_noise_shift_db": [-6, 6], "unit_gain_std_db": [0, 2],
        "camera_x_shift_m": [-0.02, 0.02], "camera_pitch_shift_rad": [-0.05, 0.05], "camera_fov_scale": [0.9, 1.1],
        "depth_noise_scale": [0.5, 2.0], "radius_m": [0.14, 0.2], "speed_scale": [0.9, 1.1],
        "absorption_scale": [0.5, 2.0], "scattering_scale": [0.5, 2.0], "unit_clip_below_full_scale_db": [0, 20],
        "max_acceleration_mps2": [2, 6], "latency_s": [0.0, 0.1], "slip_w": [0.0, 0.1],
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def everything() -> dict[str, Any]:
    """Return fields of a task in which nothing is left out."""
    return EVERYTHING


@pytest.fixture(scope="session")
def make_task() -> MakeTask:
    """Build a small task: one scene and one source of it, one sound of each kind; fields can be overridden."""

    def make(source: str = "empty_room", count: int = 1, **changes: Any) -> AudioGoalTask:
        fields: dict[str, Any] = {
            "scenes": SceneSet(source=source, count=count),
            "sources_per_scene": 1,
            "min_distance_m": 1.5,
            "sounds": SoundSet(instances_per_kind=1),
        }
        return AudioGoalTask.model_validate(fields | changes)

    return make
