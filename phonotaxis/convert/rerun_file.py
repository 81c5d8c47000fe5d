"""Episodes as Rerun recordings (.rrd): way, camera with depth, bearing, speeds, actions and events over time.

Rerun plays no sound, so each channel's level is a curve.
"""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import BEARING, DISTANCE
from phonotaxis.configs.geometry import base_from_camera
from phonotaxis.deploy import messages
from phonotaxis.deploy.devices import AudioBlock, DepthFrame
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.episode_page.surroundings import commanded_way, pose_at, way

TIMELINE = "episode"
_UNUSABLE = (KeyError, TypeError, ValueError, OverflowError, IndexError, RecursionError)  # of a damaged message
_LEVELS = {1: "DEBUG", 2: "INFO", 3: "WARN", 4: "ERROR"}


def write_rerun(path: Path, episode: Episode) -> int:
    """Write a recording; only its owner can read it. A file there is replaced once the new one is whole.

    Args:
        path: of the .rrd file.
        episode: what `read_episode` returned.

    Returns:
        How many messages of the episode are in it.

    Raises:
        ModuleNotFoundError: the Rerun SDK isn't installed.
        EpisodeError: a message can't be used.
        OSError: the file can't be written.
    """
    import rerun

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem[:60]}.") as folder:
        part = Path(folder, "part.rrd")
        part.touch(mode=0o600)
        count = _write(rerun, part, episode)
        os.replace(part, path)
    return count


def _write(rerun: Any, path: Path, episode: Episode) -> int:
    recording = rerun.RecordingStream("phonotaxis", recording_id=episode.metadata.get("run_id", episode.path.stem))
    recording.save(str(path))
    try:
        converter = _Converter(rerun, recording, episode)
        converter.fixed()
    except _UNUSABLE as error:
        raise EpisodeError(f"{episode.path}: its way can't be drawn ({error!r})") from None
    index, count = SampleIndex(), 0
    start_ns = min((message.publish_ns for message in episode.messages), default=0)
    for message in episode.messages:
        if message.topic not in messages.TOPICS or message.topic in messages.VIEWER_TOPICS:
            continue
        recording.set_time(TIMELINE, duration=(message.publish_ns - start_ns) * 1e-9)
        try:
            count += converter.take(message.topic, decode(message, index), message.publish_ns)
        except _UNUSABLE as error:
            raise EpisodeError(f"{episode.path}: a message on {message.topic} can't be used ({error!r})") from None
    recording.flush()
    recording.disconnect()
    return count


class _Converter:
    def __init__(self, rerun: Any, recording: Any, episode: Episode) -> None:
        self._rr, self._log, self._robot = rerun, recording.log, episode.info.robot
        odometry = episode.odometry()
        self._poses = way(odometry) if odometry else commanded_way(episode.safety())

    def fixed(self) -> None:
        """Log what doesn't change: axes, camera, the whole way."""
        rr, camera = self._rr, self._robot.camera.pinhole
        self._log("world", rr.ViewCoordinates.FLU, static=True)
        pose = base_from_camera(camera)
        self._log("world/robot/camera", rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]), static=True)
        pinhole = rr.Pinhole(
            focal_length=(camera.fx, camera.fy), principal_point=(camera.cx, camera.cy), width=camera.width,
            height=camera.height, camera_xyz=rr.ViewCoordinates.RDF, image_plane_distance=0.4,
        )  # fmt: skip
        self._log("world/robot/camera", pinhole, static=True)
        if len(self._poses):
            line = np.column_stack([self._poses[:, 1:3], np.zeros(len(self._poses))])
            self._log("world/way", rr.LineStrips3D([line]), static=True)

    def take(self, topic: str, value: Any, time_ns: int) -> int:
        """Log one decoded message; returns 1."""
        rr = self._rr
        if topic == messages.AUDIO_TOPIC:
            self._audio(value)
        elif topic == messages.DEPTH_TOPIC:
            self._depth(value)
        elif topic == messages.ODOMETRY_TOPIC:
            self._log("odometry/collision", rr.Scalars(float(value.collision)))
        elif topic == messages.STEP_TOPIC:
            self._step(value, time_ns)
        elif topic == messages.SAFETY_TOPIC:
            for name in ("v_mps", "w_radps"):
                self._log(f"speed/let_through/{name}", rr.Scalars(float(value[name])))
            self._log("safety", rr.TextLog(str(value["reason"]), level="INFO"))
        elif topic == messages.HEALTH_TOPIC:
            text = f"{value['event']}: {value['message']}"
            self._log("health", rr.TextLog(text, level=_LEVELS.get(int(value["level"]), "ERROR")))
        return 1

    def _audio(self, block: AudioBlock) -> None:
        samples = block.samples.astype(np.float64) / 32768.0
        level = 10.0 * np.log10((samples**2).mean(axis=1) + 1e-12)
        for microphone, channel in enumerate(self._robot.array.channel_map):
            self._log(f"audio/level_dbfs/{microphone}", self._rr.Scalars(float(level[channel])))

    def _depth(self, frame: DepthFrame) -> None:
        self._place(frame.capture_ns)
        self._log("world/robot/camera/depth", self._rr.DepthImage(frame.depth_m, meter=1.0))

    def _place(self, time_ns: int) -> None:
        x, y, yaw = pose_at(self._poses, time_ns)
        turn = self._rr.Quaternion(xyzw=[0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)])
        self._log("world/robot", self._rr.Transform3D(translation=[x, y, 0.0], rotation=turn))

    def _step(self, step: dict[str, Any], time_ns: int) -> None:
        rr = self._rr
        self._place(time_ns)
        bearing = decode_tensor(step["outputs"][BEARING])
        azimuth = math.atan2(float(bearing[1]), float(bearing[0]))
        far_m = math.exp(min(5.0, float(decode_tensor(step["outputs"][DISTANCE])[0])))
        arrow = [far_m * math.cos(azimuth), far_m * math.sin(azimuth), 0.0]
        self._log("world/robot/believed_source", rr.Arrows3D(vectors=[arrow], origins=[[0.0, 0.0, 0.3]]))
        self._log("policy/bearing_deg", rr.Scalars(math.degrees(azimuth)))
        self._log("policy/distance_m", rr.Scalars(far_m))
        self._log("policy/value", rr.Scalars(float(step["value"])))
        for name in ("v_mps", "w_radps"):
            self._log(f"speed/asked_for/{name}", rr.Scalars(float(step[name])))
        self._log("policy/action", rr.TextLog(str(step["action_name"]), level="INFO"))
