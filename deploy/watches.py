"""All that watches the sensors of a run."""

from __future__ import annotations

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.channel_order import OrderWatch
from phonotaxis.deploy.plausibility import MUTE_S, AudioWatch, DepthWatch
from phonotaxis.deploy.timing import Timing


class Watches:
    """The watches of a run, made before its devices are opened: that takes some tenths of a second.

    Attributes:
        audio: dead and clipping channels, and a real array that is mute.
        order: exchanged and inverted ones.
        depth: frozen and noisy images.
        timing: capture times, and the drift of the converter's clock.
    """

    def __init__(self, robot: RobotConfig, contract: Contract) -> None:
        rate_hz = robot.sample_rate_hz
        mute_s = MUTE_S if robot.devices.kind == "hardware" else None
        self.audio = AudioWatch(list(robot.array.channel_map), rate_hz, robot.safety.audio_max_age_ms, mute_s)
        self.order = OrderWatch(robot.array, rate_hz)
        self.depth = DepthWatch()
        self.timing = Timing(robot, contract.body.max_w_radps)
