"""What an episode says about itself: the texts at the head of its file."""

from __future__ import annotations

import base64
import datetime
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy import messages
from phonotaxis.deploy.clock import now_ns

FORMAT_VERSION = 1
PRIVACY = (
    "This file holds raw microphone recordings and depth images and may record people. It is readable by its "
    "owner alone; delete it when it has served its purpose."
)


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
        extra: further facts, JSON-able: a simulated episode's scene and seed, the goal as it was said.
        caution: where the policy's knob stood, 0 to 1; 0 where it has none.
    """

    kind: str
    contract: Contract
    robot: RobotConfig
    bundle_sha256: str
    engine: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)
    goal: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    caution: float = 0.0

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
            "caution": repr(self.caution),  # read back to the bit
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
