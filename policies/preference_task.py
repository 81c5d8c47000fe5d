"""A task that a knob is learnt on: where its episodes are drawn, and those by which a head is judged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from phonotaxis.configs.prefer import PreferConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.threads import Crew, cores
from phonotaxis.envs.world import World
from phonotaxis.policies.benchmark import told
from phonotaxis.policies.checkpoint import Checkpoint, CheckpointError
from phonotaxis.policies.draws import Draw, draw_episodes
from phonotaxis.policies.kept_head import Comfort, KnobValidation
from phonotaxis.policies.kept_library import kept_library, of_few_scenes
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.validation import validation_task


class PreferenceTask:
    """One of the tasks of a training by preferences.

    Args:
        base: policy with a head of preferences, which is the head here too, not a copy.
        task: whose train split is drawn from.
        validation: that of the suite's validation split, if it is known; see `validation_task`.
        config: how.
        fields: folder in which traced sound fields are kept; None for none.

    Attributes:
        task: whose train split is drawn from.
        policy: with the weights of `base`, for the task's own array, body and period.
        validation: the task that heads are judged on.
        judge: runs its episodes.

    Raises:
        CheckpointError: the policy's weights don't fit the network for the task.
    """

    def __init__(
        self, base: Policy, task: AudioGoalTask, validation: AudioGoalTask | None, config: PreferConfig,
        fields: Path | None,
    ) -> None:  # fmt: skip
        weights = Checkpoint(base.contract, base.config, {"policy": base.state_dict()})
        try:
            self.policy = weights.policy(contract=told(task.contract(), base.contract)).requires_grad_(False)
        except CheckpointError as error:
            raise CheckpointError(f"{task.name}: {error}") from None
        self.policy.caution = base.caution
        self.task, self.validation, self._config, self._fields = task, validation_task(task, validation), config, fields
        self.judge = KnobValidation(self.validation, config.validation_episodes, config.manners)

    @cached_property
    def world(self) -> World:
        """The simulated worlds that episodes are drawn in, built when first asked for."""
        config = self._config
        steps = min(self.task.max_steps, config.episode_steps or self.task.max_steps)
        task = of_few_scenes(self.task, config.scene_count).model_copy(update={"max_steps": steps})
        library = kept_library(task, None if self._fields is None else str(self._fields))
        worlds = min(config.worlds, config.starts * config.draws)
        return World(task, worlds, library=library, builders=Crew(cores()))  # nothing else runs while a field is traced

    def draw(self, seeds: Sequence[int], cautions: Sequence[float], seed: tuple[int, ...]) -> list[Draw]:
        """Run episodes with drawn actions; see `draw_episodes`."""
        return draw_episodes(self.policy, self.world, seeds, cautions, seed, self._config.temperature)

    def measure(self) -> Comfort:
        """Measure the head as it is now on the validation episodes."""
        return self.judge.measure(self.policy)
