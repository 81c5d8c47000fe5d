"""Tasks that a policy is trained on at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field, ValidationError, model_validator

from phonotaxis.configs import presets
from phonotaxis.configs.base import ConfigError, Frozen, build, changed
from phonotaxis.configs.suite import load_suite
from phonotaxis.configs.task import AudioGoalTask

_SHORT = frozenset(("suite", "array", "changes"))  # what a file may say of a lane's task in short
_OF_EACH_LANE = ("episode_steps", "scene_count", "validation")  # void beside lanes, which have their own


class Lane(Frozen):
    """One of several tasks that a policy is trained on at once.

    In a file, `suite: NAME` stands for the task of a suite's train split, `array: NAME` for the same with another
    microphone array, and `changes: {sources: {stops_after_s: null}}` for the same but for what is named.

    Attributes:
        task: what is trained.
        validation: what it is validated on, heard and seen as `task` is; None for what `policies.validation` makes of
            that. Void beside `suite`, whose validation split it then is.
        worlds: simulated at once, the lane's share of the experience.
        episode_steps: episodes are cut here while collecting.
        scene_count: scenes kept in memory and drawn from; the task's own number where left out. To trace a source's
            sound takes as long as a hundred steps, so that fewer scenes, which are met again, are learnt from faster.
    """

    task: AudioGoalTask
    validation: AudioGoalTask | None = None
    worlds: int = Field(default=16, ge=1, le=4096)
    episode_steps: int = Field(default=250, ge=1)
    scene_count: int | None = Field(default=None, ge=1, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not _SHORT & data.keys():
            return data
        rest = {key: value for key, value in data.items() if key not in _SHORT}
        if "suite" in data:
            if "task" in data:
                raise ValueError("a lane has a suite or a task, not both")
            if "validation" in data:
                raise ValueError("validation: void beside a suite, which says it itself")
            try:
                rest |= suite_tasks(data["suite"])
            except ConfigError as error:
                raise ValueError(str(error)) from None
        task = rest.get("task", {})
        task = task.model_dump() if isinstance(task, AudioGoalTask) else task
        if not isinstance(task, dict) or not isinstance(data.get("changes", {}), dict):
            raise ValueError("a lane's task and changes are mappings of a task's fields, as in `changes: {goal: none}`")
        if "array" in data:
            task = task | {"array": data["array"]}
        return rest | {"task": changed(task, data.get("changes", {}))}


class InLanes(Frozen):
    """What a training says of its tasks: one, or several in `lanes`.

    What lanes say themselves is refused beside them: another `task` than the first lane's, another number of `worlds`
    than theirs together, `validation`, `episode_steps` and `scene_count`.

    Attributes:
        task: what is trained, where there are no `lanes`.
        validation: where there are no lanes, what it is validated on; see `Lane`.
        lanes: tasks trained at once; the first one's contract is the policy's until it is exported for another. They
            all name goals or none does, and have the same front end and actions.
        worlds: simulated at once; with lanes, those of all together.
        episode_steps: where there are no lanes, episodes are cut here while collecting.
        scene_count: likewise, scenes drawn from; see `Lane`.
    """

    task: AudioGoalTask = AudioGoalTask()
    validation: AudioGoalTask | None = None
    lanes: tuple[Lane, ...] = ()
    worlds: int = Field(default=64, ge=1, le=4096)
    episode_steps: int = Field(default=250, ge=1)
    scene_count: int | None = Field(default=None, ge=1, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _first_lane(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("lanes") or not isinstance(data["lanes"], (list, tuple)):
            return data
        try:
            lanes = [Lane.model_validate(lane) for lane in data["lanes"]]
            task = AudioGoalTask.model_validate(data.get("task", lanes[0].task))
        except ValidationError:
            return data  # which is read once more, field by field, so that the error has its path
        worlds = sum(lane.worlds for lane in lanes)
        void = [name for name in _OF_EACH_LANE if name in data]
        void += ["task"] if task != lanes[0].task else []
        void += ["worlds"] if data.get("worlds", worlds) != worlds else []
        if void:
            raise ValueError(f"{', '.join(void)}: void beside lanes; say it of each lane, or leave the lanes out")
        return data | {"lanes": lanes, "task": task, "worlds": worlds}

    @model_validator(mode="after")
    def _one_network_fits(self) -> InLanes:
        first = self.all_lanes[0].task.contract()
        for number, lane in enumerate(self.all_lanes):
            own = lane.task.contract()
            for what in ("goal", "front_end", "camera", "hop_samples", "sample_rate_hz", "window_samples"):
                if getattr(own, what) != getattr(first, what):
                    raise ValueError(f"lanes.{number}: its {what} differs from that of the first lane")
            if lane.task.actions != "discrete":
                raise ValueError("training speaks of discrete actions; task.actions must be 'discrete'")
        return self

    @property
    def all_lanes(self) -> tuple[Lane, ...]:
        """The lanes; where none are given one of the task."""
        of_each = {name: getattr(self, name) for name in _OF_EACH_LANE}
        return self.lanes or (Lane(task=self.task, worlds=self.worlds, **of_each),)


def suite_tasks(name: str) -> dict[str, AudioGoalTask]:
    """Return what a lane, or a training without lanes, says of a suite: `task`, and `validation` of one's own suite.

    What a shipped name stands for never changes, so that a checkpoint needn't hold it; a file may, or be gone.

    Raises:
        ConfigError: no such suite.
    """
    suite = load_suite(name)
    own = {} if name in presets.names("suites") else {"validation": suite.task_of("validation")}
    return {"task": suite.task_of("train")} | own


def first_tasks(config: dict[str, Any], where: str) -> dict[str, AudioGoalTask]:
    """Return what a training's first lane says of its tasks, as `suite_tasks`; empty where nothing is said.

    Args:
        config: of a checkpoint, or `training` of a bundle's provenance.
        where: what the user knows it as.

    Raises:
        ConfigError: a task isn't of this version's form.
    """
    inner = config["ppo"] if isinstance(config.get("ppo"), dict) else config
    lanes = inner.get("lanes")
    first = lanes[0] if lanes and isinstance(lanes, list | tuple) else inner
    if not isinstance(first, dict):
        raise ConfigError(f"{where}: lanes: expected mappings, got {type(first).__name__}")
    told = {name: first[name] for name in ("task", "validation") if first.get(name) is not None}
    return {name: build(AudioGoalTask, task, f"{where}: {name}") for name, task in told.items()}


def without_void(fields: dict[str, Any]) -> dict[str, Any]:
    """Return all fields of a training, as a checkpoint holds them, without those that its lanes make void."""
    return {name: value for name, value in fields.items() if not fields.get("lanes") or name not in _OF_EACH_LANE}


def lane_names(lanes: Sequence[Lane]) -> list[str]:
    """Return a name for each lane: its task's and its array's, numbered where that is another's too."""
    return numbered(f"{lane.task.name} {lane.task.array}" for lane in lanes)


def numbered(given: Iterable[str]) -> list[str]:
    """Return names that differ: one that is given again gets a number, from 2 up."""
    names: list[str] = []
    for own in given:
        name, number = own, 1
        while name in names:
            number += 1
            name = f"{own} {number}"
        names.append(name)
    return names
