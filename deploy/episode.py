"""The episode log: everything that came in, was decided and was let through, in MCAP files.

Episodes record people: files are readable by their owner alone, a folder keeps a bounded amount of them, and
each says so in its metadata.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phonotaxis.deploy import messages
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.episode_info import FORMAT_VERSION, PRIVACY, EpisodeError, EpisodeInfo
from phonotaxis.deploy.log_thread import LogThread
from phonotaxis.deploy.record_queue import Record
from phonotaxis.deploy.retention import episode_path, prune_episodes
from phonotaxis.deploy.viewer_messages import encode_calibration, encode_pose, encode_transforms

__all__ = [
    "FORMAT_VERSION",
    "PRIVACY",
    "EpisodeError",
    "EpisodeInfo",
    "EpisodeWriter",
    "episode_path",
    "prune_episodes",
]

_JSON_BYTES = 2000  # what a small message takes in memory, about
_SAFETY_FIELDS = ("time_ns", "v_mps", "w_radps", "reason", "armed", "sequence")


class EpisodeWriter:
    """Writes an episode from a thread of its own, so that no disk can stall the loop.

    Every method returns at once. Files of the size or age that the robot's configuration names are closed and a
    further part is begun; the folder is kept within its bounds.

    Attributes:
        path: of the first file.
    """

    def __init__(self, path: Path, info: EpisodeInfo) -> None:
        """Create the file.

        Raises:
            OSError: it exists, or can't be created or written.
        """
        self.path = path
        self._robot = info.robot
        self._sample_rate_hz = info.robot.sample_rate_hz
        self._counts: dict[str, int] = {}
        self._stops = info.robot.log.on_failure == "stop"
        self._overrun: str | None = None
        run_id = secrets.token_hex(8)
        self._log = LogThread(
            path, lambda part: {**info.metadata(), "run_id": run_id, "part": str(part)}, info.robot.log
        )

    @property
    def failure(self) -> str | None:
        """Why nothing more is written; None while all is well. The robot must stop then."""
        return self._log.failure or self._overrun

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at the moment, where the configuration says to go on without a log."""
        return self._log.trouble

    @property
    def writing(self) -> Path:
        """Path of the file that is being written, or was last."""
        return self._log.path

    def counters(self) -> dict[str, int | float]:
        """Return what was written, what waited for the disk and what was lost; see `LogThread.counters`."""
        return self._log.counters()

    def audio(self, block: AudioBlock, log_ns: int) -> None:
        """Log a block of raw samples."""
        rate = self._sample_rate_hz
        self._put(messages.AUDIO_TOPIC, log_ns, block.capture_ns, lambda: messages.encode_audio(block, rate),
                  block.samples.nbytes, block.first_sample)  # fmt: skip

    def depth(self, frame: DepthFrame, log_ns: int) -> None:
        """Log a frame of the robot's own camera."""
        self._put(messages.DEPTH_TOPIC, log_ns, frame.capture_ns, lambda: messages.encode_depth(frame),
                  frame.depth_m.nbytes)  # fmt: skip

    def odometry(self, sample: OdometrySample, log_ns: int) -> None:
        """Log a motion."""
        self._json(messages.ODOMETRY_TOPIC, log_ns, sample.capture_ns, messages.odometry_dict(sample))

    def pose(self, time_ns: int, x_m: float, y_m: float, yaw_rad: float) -> None:
        """Log the pose that odometry adds up to, and where the camera is with it; for viewers."""
        robot, pose = self._robot, (x_m, y_m, yaw_rad)
        for topic, encode in (
            (messages.POSE_TOPIC, lambda: encode_pose(time_ns, *pose)),
            (messages.TRANSFORM_TOPIC, lambda: encode_transforms(robot, time_ns, *pose)),
            (messages.CALIBRATION_TOPIC, lambda: encode_calibration(robot, time_ns)),
        ):
            self._put(topic, time_ns, time_ns, encode, _JSON_BYTES)

    def step(self, step: dict[str, Any], log_ns: int) -> None:
        """Log what the policy saw and said: what `steps.step_dict` returns."""
        self._json(messages.STEP_TOPIC, log_ns, int(step["due_ns"]), step, int(step["step"]))

    def safety(self, status: dict[str, Any], log_ns: int) -> None:
        """Log what safety let through: a status of the guardian, with what the guardian was told where it says so."""
        kept = {key: status[key] for key in _SAFETY_FIELDS}
        if "trace" in status:
            kept["trace"] = status["trace"]
        self._json(messages.SAFETY_TOPIC, log_ns, int(status["time_ns"]), kept)

    def health(self, time_ns: int, level: str, event: str, message: str, **data: Any) -> None:
        """Log an event; `level` is debug, info, warning or error."""
        self._json(messages.HEALTH_TOPIC, time_ns, time_ns,
                   messages.health_dict(time_ns, level, event, message, data))  # fmt: skip

    def _json(
        self, topic: str, log_ns: int, publish_ns: int, value: dict[str, Any], sequence: int | None = None
    ) -> None:
        self._put(topic, log_ns, publish_ns, lambda: messages.encode_json(value), _JSON_BYTES, sequence)

    def _put(
        self,
        topic: str,
        log_ns: int,
        publish_ns: int,
        encode: Callable[[], bytes],
        size: int,
        sequence: int | None = None,
    ) -> None:
        number = self._counts.get(topic, 0)
        self._counts[topic] = number + 1
        record = Record(topic, log_ns, publish_ns, number if sequence is None else sequence, encode, size)
        if not self._log.queue.put(record) and self._stops:
            self._overrun = f"{self._log.path}: the disk can't keep up; use a faster one"

    def close(self) -> None:
        """Write what is queued and the end of the file. May be called more than once."""
        self._log.close()
