"""The episode log: everything that came in, was decided and was let through, in one MCAP file.

Episodes record people: files are readable by their owner alone, a folder keeps a bounded number of them, and
each says so in its metadata.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import platform
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy import messages
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.container import Container
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample

FORMAT_VERSION = 1
PRIVACY = (
    "This file holds raw microphone recordings and depth images and may record people. It is readable by its "
    "owner alone; delete it when it has served its purpose."
)
QUEUED_RECORDS = 2000  # about half a minute: a disk that is slower than that counts as gone
SYNC_NS = 1_000_000_000  # a power cut costs at most this much
CLOSE_TIMEOUT_S = 10.0


class EpisodeError(ValueError):
    """A file that isn't an episode or can't be used as one; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class EpisodeInfo:
    """What an episode says about itself.

    Attributes:
        kind: `robot` (through devices, simulated ones too) or `rollout` (written by the simulator itself).
        contract: of the policy.
        robot: whose devices delivered.
        bundle_sha256: identity of the policy's file.
        engine: the engine's fingerprint.
        provenance: where the policy came from.
        goal: float32 [n] in tasks that name one.
        extra: further facts, JSON-able: a simulated episode's scene and seed.
    """

    kind: str
    contract: Contract
    robot: RobotConfig
    bundle_sha256: str
    engine: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)
    goal: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return the texts that stand in the file."""
        goal = "" if self.goal is None else base64.b64encode(self.goal.astype("<f4").tobytes()).decode()
        return {
            "format_version": str(FORMAT_VERSION),
            "kind": self.kind,
            "contract": self.contract.to_json(),
            "robot": self.robot.model_dump_json(),
            "bundle_sha256": self.bundle_sha256,
            "engine": json.dumps(self.engine, sort_keys=True),
            "provenance": json.dumps(self.provenance, sort_keys=True),
            "goal_float32_base64": goal,
            "extra": json.dumps(self.extra, sort_keys=True),
            "versions": json.dumps(_versions(), sort_keys=True),
            "camera_pose": json.dumps(messages.camera_pose(self.robot)),
            "started_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "started_monotonic_ns": str(now_ns()),
            "privacy": PRIVACY,
        }


def _versions() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
    }
    for name in ("phonotaxis", "numpy", "onnxruntime", "mcap", "foxglove-sdk"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@dataclass(frozen=True, eq=False)
class _Record:
    topic: str
    log_ns: int
    publish_ns: int
    sequence: int
    encode: Callable[[], bytes]


class EpisodeWriter:
    """Writes an episode from a thread of its own, so that no disk can stall the loop.

    Attributes:
        path: of the file.
        failure: why nothing more is written; None while all is well. The robot must stop then.
    """

    def __init__(self, path: Path, info: EpisodeInfo) -> None:
        """Create the file.

        Raises:
            OSError: it exists, or can't be created or written.
        """
        self.path = path
        self.failure: str | None = None
        self._sample_rate_hz = info.robot.sample_rate_hz
        self._counts: dict[str, int] = {}
        self._container = Container(path, info.metadata())
        self._queue: queue.Queue[_Record | None] = queue.Queue(QUEUED_RECORDS)
        self._thread = threading.Thread(target=self._work, name="episode-writer", daemon=True)
        self._thread.start()

    def audio(self, block: AudioBlock, log_ns: int) -> None:
        """Log a block of raw samples."""
        rate = self._sample_rate_hz
        self._put(messages.AUDIO_TOPIC, log_ns, block.capture_ns, lambda: messages.encode_audio(block, rate),
                  block.first_sample)  # fmt: skip

    def depth(self, frame: DepthFrame, log_ns: int) -> None:
        """Log a frame of the robot's own camera."""
        self._put(messages.DEPTH_TOPIC, log_ns, frame.capture_ns, lambda: messages.encode_depth(frame))

    def odometry(self, sample: OdometrySample, log_ns: int) -> None:
        """Log a motion."""
        self._json(messages.ODOMETRY_TOPIC, log_ns, sample.capture_ns, messages.odometry_dict(sample))

    def pose(self, time_ns: int, x_m: float, y_m: float, yaw_rad: float) -> None:
        """Log the pose that odometry adds up to; for viewers, nothing is computed from it."""
        self._put(messages.POSE_TOPIC, time_ns, time_ns,
                  lambda: messages.encode_pose(time_ns, x_m, y_m, yaw_rad))  # fmt: skip

    def step(self, step: dict[str, Any], log_ns: int) -> None:
        """Log what the policy saw and said: what `steps.step_dict` returns."""
        self._json(messages.STEP_TOPIC, log_ns, int(step["due_ns"]), step, int(step["step"]))

    def safety(self, status: dict[str, Any], log_ns: int) -> None:
        """Log what safety let through: a status of the guardian."""
        kept = {key: status[key] for key in ("time_ns", "v_mps", "w_radps", "reason", "armed", "sequence")}
        self._json(messages.SAFETY_TOPIC, log_ns, int(status["time_ns"]), kept)

    def health(self, time_ns: int, level: str, event: str, message: str, **data: Any) -> None:
        """Log an event; `level` is debug, info, warning or error."""
        self._json(messages.HEALTH_TOPIC, time_ns, time_ns,
                   messages.health_dict(time_ns, level, event, message, data))  # fmt: skip

    def _json(
        self, topic: str, log_ns: int, publish_ns: int, value: dict[str, Any], sequence: int | None = None
    ) -> None:
        self._put(topic, log_ns, publish_ns, lambda: messages.encode_json(value), sequence)

    def _put(
        self,
        topic: str,
        log_ns: int,
        publish_ns: int,
        encode: Callable[[], bytes],
        sequence: int | None = None,
    ) -> None:
        if self.failure is not None:
            return
        number = self._counts.get(topic, 0)
        self._counts[topic] = number + 1
        record = _Record(topic, log_ns, publish_ns, number if sequence is None else sequence, encode)
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.failure = f"{self.path}: the disk can't keep up ({QUEUED_RECORDS} records wait)"

    def _work(self) -> None:
        synced_ns = now_ns()
        while True:
            record = self._queue.get()
            try:
                if record is None:
                    self._container.close()
                    return
                self._write(record)
                if now_ns() - synced_ns > SYNC_NS:
                    self._container.file.check_exists()
                    self._container.file.sync()
                    synced_ns = now_ns()
            except (OSError, ValueError) as error:
                self._fail(error)
                return

    def _write(self, record: _Record) -> None:
        self._container.add(record.topic, record.log_ns, record.publish_ns, record.sequence, record.encode())

    def _fail(self, error: Exception) -> None:
        """Say what happened in the file itself if a few hundred bytes still fit, and give up."""
        self.failure = (
            f"{self.path}: the episode can't be written any more ({error}); free space or choose another folder"
        )
        at_ns = now_ns()
        event = messages.health_dict(at_ns, "error", "log_failed", self.failure, {})
        try:
            self._container.add(messages.HEALTH_TOPIC, at_ns, at_ns, 0, messages.encode_json(event))
        except OSError:
            return  # the message above reaches the person through the runtime
        finally:
            self._container.file.close()

    def close(self) -> None:
        """Write what is queued and the end of the file. May be called more than once."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=CLOSE_TIMEOUT_S)
            self._thread.join(CLOSE_TIMEOUT_S)
            if self._thread.is_alive():
                self.failure = f"{self.path}: the disk did not take the rest within {CLOSE_TIMEOUT_S:g} s"


def episode_path(folder: Path) -> Path:
    """Return a new episode's path in a folder: named by wall clock, a number added where it is taken."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path, number = folder / f"episode-{stamp}.mcap", 1
    while path.exists():
        number += 1
        path = folder / f"episode-{stamp}-{number}.mcap"
    return path


def prune_episodes(folder: Path, keep: int) -> list[Path]:
    """Delete the oldest episodes of a folder so that at most `keep` remain; returns those deleted."""
    found = sorted(folder.glob("episode-*.mcap"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    surplus = found[: max(0, len(found) - keep)]
    for path in surplus:
        path.unlink()
    return surplus
