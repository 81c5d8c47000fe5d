"""Suites of the benchmark: fixed, versioned tasks with splits over scenes, sounds, words and episodes' seeds.

What a name such as `audiogoal-v1` stands for never changes: a change of a suite is a new name. The splits keep out of
each other's way by construction: scenes and episodes of each have a range of seeds of their own, and what the bank's
sounds are drawn from is keyed by the split.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError, Frozen, build
from phonotaxis.configs.task import AudioGoalTask, SceneSet, is_one_scene

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
DEFAULT_SUITE = "audiogoal-v1"

# Of scenes: [first, end). A training of one's own that keeps below the first end never meets a test scene.
SCENE_SEEDS = {"train": (0, 1_000_000), "validation": (2_000_000, 3_000_000), "test": (3_000_000, 4_000_000)}
# Of episodes. Training counts up from its own seed times a million, far below 2^40.
EPISODE_SEEDS = {"train": (0, 2**40), "validation": (2**40, 2**41), "test": (2**41, 2**42)}
_OWN_NAME = "give yours a name of its own, e.g. my-house-v1, under which its figures can't be taken for others'"
# Of a task, what `task_of` fills in.
_OF_SPLITS = {
    "scenes": ("first_seed", "count"),
    "sounds": ("split", "kinds", "instances_per_kind"),
    "sources": ("goal_kinds",),
}


class Split(Frozen):
    """What is a split's own.

    Attributes:
        scene_count: scenes, counted from the split's first seed.
        instances_per_kind: sounds of each kind.
        kinds: of sounds; empty takes the split's own of the bank, which no other split has.
        goal_kinds: those of which the goal is one; empty for all.
        episodes: how many an evaluation runs unless told otherwise.
    """

    scene_count: int = Field(ge=1, le=100_000)
    instances_per_kind: int = Field(ge=1, le=100)
    kinds: tuple[str, ...] = ()
    goal_kinds: tuple[str, ...] = ()
    episodes: int = Field(default=500, ge=1)


class Suite(Frozen):
    """A suite: one task, three splits of it.

    Attributes:
        name: with its version, e.g. `audiogoal-v1`.
        title: what a policy is asked to do, in a line.
        task: all but scenes' seeds and counts, and the bank's sounds, which `task_of` fills in. Where its scenes are a
            file, a map or a mesh, or one scene by its seed, all splits are in this one; where its sounds are of a
            folder, all splits have these.
    """

    name: str = Field(pattern=r"^[a-z]+(-[a-z]+)*-v[1-9]\d*$")
    title: str
    task: AudioGoalTask
    train: Split
    validation: Split
    test: Split

    @model_validator(mode="before")
    @classmethod
    def _leaves_splits_their_own(cls, data: Any) -> Any:
        task = data.get("task") if isinstance(data, dict) else None
        parts = {name: part for name, part in task.items() if isinstance(part, dict)} if isinstance(task, dict) else {}
        void = [f"task.{part}.{key}" for part, keys in _OF_SPLITS.items() for key in keys if key in parts.get(part, {})]
        if void:
            raise ValueError(
                f"{', '.join(void)}: void in a suite's task, each split has its own; say scene_count, "
                "instances_per_kind, kinds and goal_kinds of train, validation and test"
            )
        return data

    @model_validator(mode="after")
    def _large_enough(self) -> Suite:
        for name in SPLITS:
            first, end = SCENE_SEEDS[name]
            if self.split(name).scene_count > end - first:
                raise ValueError(f"{name}: more scenes than its range of seeds has")
        if self.test.episodes < 500:
            raise ValueError(f"test.episodes must be at least 500, got {self.test.episodes}")
        return self

    def split(self, name: SplitName) -> Split:
        """Return a split by name."""
        split: Split = getattr(self, name)
        return split

    def task_of(self, name: SplitName, sounds_folder: str | None = None) -> AudioGoalTask:
        """Return the task of a split.

        Args:
            name: of the split.
            sounds_folder: a folder of recordings that play instead of the suite's sounds; scenes and starting places
                stay.

        Raises:
            ConfigError: the goal is named by kind, or other sources are of kinds that never are the goal, and
                recordings have no kinds.
        """
        split, source = self.split(name), self.task.scenes.source
        first_seed, count = SCENE_SEEDS[name][0], split.scene_count
        if is_one_scene(source):
            first_seed, count = 0, 1
        scenes = SceneSet(source=source, options=self.task.scenes.options, first_seed=first_seed, count=count)
        folder = sounds_folder or self.task.sounds.folder
        sounds = self.task.sounds.model_dump() | {
            "split": name,
            "kinds": split.kinds if folder is None else (),
            "instances_per_kind": split.instances_per_kind,
            "folder": folder,
        }
        sources = self.task.sources.model_dump() | {"goal_kinds": split.goal_kinds}
        if folder is not None:
            if self.task.sources.distractors and self.task.sources.distractor_kinds:
                raise ConfigError(
                    f"{self.name} takes no recordings: what tells its goal from the rest is that "
                    f"{', '.join(self.task.sources.distractor_kinds)} never are it, and recordings of a folder have no "
                    "kinds; take audiogoal-v1, audiogoal-robot-v1, or a suite of your own with `distractors: 0`"
                )
            sources |= {"goal_kinds": (), "distractor_kinds": ()}
        own = self.task.model_dump() | {"name": self.name, "scenes": scenes, "sounds": sounds, "sources": sources}
        return build(AudioGoalTask, own, f"{self.name}, {name} split")

    def seeds(self, name: SplitName, episodes: int | None = None) -> range:
        """Return the seeds of a split's first episodes; the split's own number where none is given."""
        first, end = EPISODE_SEEDS[name]
        count = self.split(name).episodes if episodes is None else episodes
        if not 1 <= count <= end - first:
            raise ValueError(f"episodes must lie in 1..{end - first}, got {count}")
        return range(first, first + count)


def load_suite(name: str) -> Suite:
    """Load a suite by name, or your own by the path of its .yaml file.

    Raises:
        ConfigError: no such suite, or not one; or another under the name of a shipped one.
    """
    suite = presets.load("suites", name, Suite)
    shipped = presets.names("suites")
    if name not in shipped:
        said = presets.read_yaml(Path(name))
        if "like" in said and "name" not in said:
            raise ConfigError(f"{name}: name: required beside `like`; {_OWN_NAME}")
        if suite.name in shipped and suite != presets.load("suites", suite.name, Suite):
            raise ConfigError(f"{name}: name: '{suite.name}' is a shipped suite, and this one is another; {_OWN_NAME}")
    return suite


def with_array(suite: Suite, array: str | None) -> Suite:
    """Return a suite whose robot has another microphone array; None leaves it as it is.

    Raises:
        ConfigError: no such array.
    """
    if array is None:
        return suite
    presets.load("arrays", array, MicrophoneArray)
    return suite.model_copy(update={"task": suite.task.model_copy(update={"array": array})})


def overlap(
    task: AudioGoalTask,
    split: SplitName = "test",
    own_kinds: Collection[str] = (),
    scene_seeds: tuple[int, int] | None = None,
) -> str | None:
    """Say what of a training's task lies in a split of the suites, or return None.

    Only procedural scenes can be told apart by their seeds; a map or a folder of recordings is left to the user.

    Args:
        task: of the training.
        split: of the suites.
        own_kinds: of sound that no other split has, where no goal is named: of `envs.sounds.KINDS_OF`.
        scene_seeds: of the split, from the first to before the second, where they aren't those of the suites.
    """
    first, end = scene_seeds or SCENE_SEEDS[split]
    scenes, sounds = task.scenes, task.sounds
    source, _, number = scenes.source.partition(":")
    low, high = scenes.first_seed, scenes.first_seed + scenes.count - 1
    if number.isdecimal():
        low = high = int(number)
    if source == "apartment" and low < end and high >= first:
        return f"scenes {low} to {high} are of the {split} split"
    if sounds.folder is None and sounds.split == split:
        return f"sounds are of the {split} split"
    heard = sorted(set(sounds.kinds) & set(own_kinds))
    if heard:
        return f"sounds are of kinds that the {split} split alone has where no goal is named: {', '.join(heard)}"
    return None
