"""Shipped trainings: they load, and an ablation lacks one thing and nothing else."""

from __future__ import annotations

import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import first_tasks, without_void
from phonotaxis.configs.suite import overlap
from phonotaxis.configs.trained import trained_tasks, trainings
from phonotaxis.envs.sounds import KINDS_OF
from phonotaxis.export.bundle import read_bundle
from phonotaxis.export.shipped import shipped_policy


@pytest.mark.parametrize("name", presets.names("training"))
def test_a_shipped_training_loads(name: str) -> None:
    assert presets.load("training", name, ImitationConfig).minutes <= 180.0


@pytest.mark.parametrize("name", presets.names("training"))
def test_a_shipped_training_keeps_off_validation_and_test(name: str) -> None:
    for lane in presets.load("training", name, ImitationConfig).all_lanes:
        for split in ("validation", "test"):
            assert overlap(lane.task, split, KINDS_OF[split]) is None


def test_the_shipped_policy_was_trained_off_validation_and_test() -> None:
    shipped = shipped_policy()
    assert shipped is not None
    tasks = [task for config in trainings(read_bundle(shipped).provenance) for task in trained_tasks(config, "shipped")]
    assert len(tasks) > 1
    for task in tasks:
        for split in ("validation", "test"):
            assert overlap(task, split, KINDS_OF[split]) is None


@pytest.mark.parametrize(
    ("lacks", "differs"),
    [
        ("deaf", {"senses": ("depth",)}),
        ("blind", {"senses": ("audio",)}),
        ("one_microphone", {"senses": ("one_microphone", "depth")}),
        ("no_memory", {"memory": "none", "map_cells": 0}),
    ],
)
def test_an_ablation_is_the_full_training_but_for_one_thing(lacks: str, differs: dict[str, object]) -> None:
    full = presets.load("training", "half_hour", ImitationConfig)
    without = presets.load("training", f"half_hour_{lacks}", ImitationConfig)
    assert without == full.model_copy(update={"policy": full.policy.model_copy(update=differs)})


@pytest.mark.parametrize(
    ("lanes", "match"),
    [
        (5, r"mine\.yaml: lanes: .*tuple, got 5"),
        ([{"suite": "audiogoal-v1"}, {"suite": "audiogoal-v1", "worlds": 0}], r"mine\.yaml: lanes\.1\.worlds: .*got 0"),
        ([{"suite": "audiogoal-v1", "wolrds": 3}], r"mine\.yaml: lanes\.0\.wolrds: unknown key"),
    ],
)
def test_a_wrong_lane_is_named_by_its_path(lanes: object, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build(ImitationConfig, {"lanes": lanes}, "mine.yaml")


@pytest.mark.parametrize(
    "void", [{"worlds": 96}, {"episode_steps": 100}, {"scene_count": 5}, {"task": {"max_steps": 7}}]
)
def test_what_lanes_say_themselves_is_refused_beside_them(void: dict[str, object]) -> None:
    lanes = [{"suite": "audiogoal-v1", "worlds": 8}, {"suite": "semantic-v1", "worlds": 8}]
    with pytest.raises(ConfigError, match=f"{next(iter(void))}: void beside lanes; say it of each lane"):
        build(ImitationConfig, {"lanes": lanes} | void, "mine.yaml")


def test_a_checkpoints_configuration_has_every_field_and_is_read_again() -> None:
    config = presets.load("training", "all_suites", ImitationConfig)
    saved = config.model_dump(mode="json")
    assert build(ImitationConfig, without_void(saved), "checkpoint") == config
    alone = ImitationConfig(worlds=8, episode_steps=100, scene_count=5)
    assert build(ImitationConfig, without_void(alone.model_dump(mode="json")), "checkpoint") == alone


@pytest.mark.parametrize("config", [{"ppo": 3}, {"ppo": None}, {"lanes": 5}, {"lanes": []}, {"task": None}, {}])
def test_a_strangers_training_that_tells_no_task_is_taken_for_none(config: dict[str, object]) -> None:
    assert first_tasks(config, "bundle") == {}


def test_a_strangers_lanes_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="bundle: lanes: expected mappings, got int"):
        first_tasks({"lanes": [5]}, "bundle")


def test_the_head_for_directions_fits_behind_the_shipped_network() -> None:
    """Its network is that of the training behind which it is learnt; it takes what that one leaves of three hours."""
    own, behind = (presets.load("training", name, ImitationConfig) for name in ("directions", "all_suites"))
    assert own.policy == behind.policy.model_copy(update={"directions": own.policy.directions})
    assert {lane.task.front_end for lane in own.lanes} == {lane.task.front_end for lane in behind.lanes}
    assert {lane.task.name for lane in own.lanes} == {lane.task.name for lane in behind.lanes}
    assert own.learns == ("directions.",)
    assert own.minutes + behind.minutes <= 180.0
