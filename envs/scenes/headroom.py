"""Whether a scene is high enough for what a robot carries."""

from __future__ import annotations

from phonotaxis.configs.contract import Contract
from phonotaxis.envs.scenes.scene import Scene, SceneError


def check_headroom(scene: Scene, contract: Contract) -> None:
    """Refuse a scene whose highest ceiling the robot's senses would be over: there they hear and see nothing.

    Raises:
        SceneError: the scene is too low.
    """
    array_m = float(contract.array.positions_m()[:, 2].mean())
    for what, z_m in (("the middle of the array", array_m), ("the camera", contract.camera.mount_xyz_m[2])):
        if z_m >= scene.height_m:
            raise SceneError(
                f"{scene.name} is {scene.height_m:g} m high, and {what} is at z = {z_m:g} m over the floor that the "
                "robot stands on; mount it lower, or take a higher scene"
            )
