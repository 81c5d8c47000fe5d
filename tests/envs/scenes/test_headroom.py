"""Robots that are higher than a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.scenes.scene import SceneError
from phonotaxis.envs.world import World


def begun(**changes: Any) -> World:
    room = {"source": "empty_room", "options": {"height_m": 1.2}, "count": 1}
    fields = {"scenes": room, "sources_per_scene": 1, "min_distance_m": 1.0, "response_s": 0.1, **changes}
    world = World(AudioGoalTask.model_validate(fields))
    world.begin(np.arange(1), np.arange(1))
    return world


def test_a_scene_lower_than_the_camera_or_the_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"is 1.2 m high, and the camera is at z = 1.3 m over the floor"):
        begun(camera={"mount_xyz_m": [0.1, 0.0, 1.3]})
    path = tmp_path / "high.yaml"
    path.write_text("name: high\nchannel_map: [0]\ndevice_channels: 1\nmic_xyz_m: [[0, 0, 1.2]]\n")
    with pytest.raises(SceneError, match=r"and the middle of the array is at z = 1.2 m over the floor"):
        begun(array=str(path))
    path.write_text(path.read_text().replace("1.2", "1.1"))
    assert begun(array=str(path)).observation["audio"].any()
