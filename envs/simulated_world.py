"""One episode of the simulator as the world of a simulated robot."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.contract import AUDIO, DEPTH, INT16_FULL_SCALE, MOTION
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.goals import goal_text
from phonotaxis.envs.library import Library
from phonotaxis.envs.simulated_robot import WindowResult
from phonotaxis.envs.world import World


class WorldRobot:
    """The robot of one episode of a task, advanced by whole control periods; it never runs out of steps.

    Attributes:
        contract: of the task (a policy for it adds its memory).
        world: the simulator behind it, one world.
    """

    def __init__(self, task: AudioGoalTask, seed: int, library: Library | None = None) -> None:
        """Build the world of an episode.

        Args:
            task: what to simulate.
            seed: of the episode.
            library: scenes and fields of the same task, if some are there already.
        """
        self.world = World(task, num_worlds=1, library=library)
        self.contract = self.world.contract
        self._seed = seed
        self.world.begin(np.array([0]), np.array([seed]))  # compiles what the first window would wait for
        self.world.step_setpoints(np.zeros(1), np.zeros(1), np.zeros(1, dtype=np.bool_))

    @property
    def goal(self) -> str | None:
        """What a person would say to send the robot to this episode's source; None where the task names nothing."""
        episode = self.world.episodes[0]
        return None if episode is None else goal_text(self.world.library, episode)

    def start(self) -> WindowResult:
        """Begin the episode and return its first window, at rest."""
        self.world.begin(np.array([0]), np.array([self._seed]))
        return self._window()

    def hold(self, v_mps: float, w_radps: float) -> WindowResult:
        """Hold a setpoint for one control period."""
        self.world.active[0] = True  # the task's number of steps bounds training, not a robot's run
        self.world.step_setpoints(np.array([v_mps]), np.array([w_radps]), np.zeros(1, dtype=np.bool_))
        return self._window()

    def _window(self) -> WindowResult:
        world, array = self.world, self.contract.array
        hop = world.observation[AUDIO][0][:, -self.contract.hop_samples :]
        codes = np.zeros((array.device_channels, hop.shape[1]), dtype=np.int16)
        codes[list(array.channel_map)] = np.round(hop * INT16_FULL_SCALE).astype(np.int16)  # exact: it was 16 bit
        motion = world.observation[MOTION][0]
        x, y, yaw = (float(value) for value in world.pose[0])
        return WindowResult(
            audio_int16=codes,
            depth_m=world.observation[DEPTH][0].copy(),
            pose=(x, y, yaw),
            odometry=(float(motion[0]), float(motion[1]), float(motion[2])),
            collision=bool(motion[5] > 0),
            distance_to_goal_m=float(world.distance_m[0]),
            extra={
                "bearing_rad": float(world.bearing_rad[0]),
                "source_visible": bool(world.source_visible[0]),
            },
        )
