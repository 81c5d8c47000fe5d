"""What viewers need beside the log itself: where the robot is, where its camera sits, how the camera projects.

Nothing is computed from these; replay leaves them out.
"""

from __future__ import annotations

import math

from foxglove import messages

from phonotaxis.configs.geometry import base_from_camera
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import NS_PER_S

WORLD, BASE, CAMERA = "odom", "base_link", "camera_optical"


def encode_pose(time_ns: int, x_m: float, y_m: float, yaw_rad: float) -> bytes:
    """Write a pose in the frame in which the odometry began, as foxglove.PoseInFrame."""
    pose = messages.Pose(position=messages.Vector3(x=x_m, y=y_m, z=0.0), orientation=_turn(yaw_rad))
    return bytes(messages.PoseInFrame(timestamp=_timestamp(time_ns), frame_id=WORLD, pose=pose).encode())


def encode_transforms(robot: RobotConfig, time_ns: int, x_m: float, y_m: float, yaw_rad: float) -> bytes:
    """Write the frames of base and camera (x right, y down, z along the axis), as foxglove.FrameTransforms."""
    mount = base_from_camera(robot.camera.pinhole)
    found = [
        messages.FrameTransform(
            timestamp=_timestamp(time_ns), parent_frame_id=WORLD, child_frame_id=BASE,
            translation=messages.Vector3(x=x_m, y=y_m, z=0.0), rotation=_turn(yaw_rad),
        ),
        messages.FrameTransform(
            timestamp=_timestamp(time_ns), parent_frame_id=BASE, child_frame_id=CAMERA,
            translation=messages.Vector3(x=float(mount[0, 3]), y=float(mount[1, 3]), z=float(mount[2, 3])),
            rotation=messages.Quaternion(**dict(zip("xyzw", quaternion(mount[:3, :3].tolist())))),
        ),
    ]  # fmt: skip
    return bytes(messages.FrameTransforms(transforms=found).encode())


def encode_calibration(robot: RobotConfig, time_ns: int) -> bytes:
    """Write the camera's projection, as foxglove.CameraCalibration."""
    camera = robot.camera.pinhole
    matrix = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    projection = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return bytes(
        messages.CameraCalibration(
            timestamp=_timestamp(time_ns), frame_id=CAMERA, width=camera.width, height=camera.height,
            distortion_model="", K=matrix, R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], P=projection,
        ).encode()
    )  # fmt: skip


def quaternion(rotation: list[list[float]]) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a rotation matrix (Shepperd 1978: the largest component first, so that none cancels)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    squares = (1 + a - e - i, 1 - a + e - i, 1 - a - e + i, 1 + a + e + i)  # four times x, y, z, w squared
    rows = (
        (squares[0], b + d, c + g, h - f),
        (b + d, squares[1], f + h, c - g),
        (c + g, f + h, squares[2], d - b),
        (h - f, c - g, d - b, squares[3]),
    )
    row = rows[max(range(4), key=lambda index: squares[index])]
    length = math.sqrt(sum(value * value for value in row))
    x, y, z, w = (value / length for value in row)
    return x, y, z, w


def _turn(yaw_rad: float) -> messages.Quaternion:
    return messages.Quaternion(x=0.0, y=0.0, z=math.sin(yaw_rad / 2), w=math.cos(yaw_rad / 2))


def _timestamp(time_ns: int) -> messages.Timestamp:
    return messages.Timestamp(time_ns // NS_PER_S, time_ns % NS_PER_S)
