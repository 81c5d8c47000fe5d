"""Suites: fixed tasks whose splits keep out of each other's way."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import DiscreteActions
from phonotaxis.configs.suite import DEFAULT_SUITE, SPLITS, Suite, load_suite, overlap
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.envs import sounds
from phonotaxis.envs.instructions import PHRASES
from phonotaxis.envs.library import load_scene
from phonotaxis.envs.sound_table import sound_table

NAMES = (
    "audiogoal-hard-v1", "audiogoal-hard-v2", "audiogoal-robot-v1", "audiogoal-v1", "instruction-v1", "semantic-v1",
)  # fmt: skip
# SHA-256 of what the files say. A released version is for ever: a suite that has to change gets a new name instead.
DIGESTS = {
    "audiogoal-hard-v1": "601b080fccf157ca",
    "audiogoal-hard-v2": "85a0f5ad8a310108",
    "audiogoal-robot-v1": "f23abe64af724f9c",
    "audiogoal-v1": "9e910367989ead3c",
    "instruction-v1": "969df24cbf0a3368",
    "semantic-v1": "e976b3a4a7916ab2",
}


@pytest.fixture(params=NAMES)
def suite(request: pytest.FixtureRequest) -> Suite:
    return load_suite(request.param)


def test_the_shipped_suites_are_these() -> None:
    assert tuple(presets.names("suites")) == NAMES
    assert DEFAULT_SUITE in NAMES


def test_a_version_never_changes(suite: Suite) -> None:
    said = json.dumps(presets.read_yaml(presets.PRESETS / "suites" / f"{suite.name}.yaml"), sort_keys=True)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == DIGESTS[suite.name]


def test_one_policy_can_serve_them_all() -> None:
    layouts = {load_suite(name).task_of("train").contract().observations() for name in NAMES}
    assert len(layouts) == 1
    assert {load_suite(name).task_of("train").contract().camera for name in NAMES} == {
        load_suite(DEFAULT_SUITE).task_of("test").contract().camera
    }


def test_a_name_is_that_of_its_file_and_the_test_is_large_enough(suite: Suite) -> None:
    assert suite.name in NAMES
    assert suite.test.episodes >= 500
    assert suite.train.scene_count >= 1000


def test_no_scene_and_no_episode_is_of_two_splits(suite: Suite) -> None:
    for one, other in combinations(SPLITS, 2):
        scenes = [suite.task_of(name).scenes for name in (one, other)]
        spans = [range(s.first_seed, s.first_seed + s.count) for s in scenes]
        assert not set(spans[0]) & set(spans[1])
        assert suite.seeds(one)[-1] < suite.seeds(other)[0]
    longest_training = 500 * 1_000_003 + 10**9  # seed 500, a thousand million episodes
    assert longest_training < suite.seeds("validation")[0]


def test_no_sound_is_of_two_splits_and_unnamed_goals_are_of_kinds_training_never_hears(suite: Suite) -> None:
    banks = {name: sound_table(suite.task_of(name)).sounds for name in ("validation", "test")}
    task = suite.task_of("train")
    few = task.sounds.model_copy(update={"instances_per_kind": 2})
    banks["train"] = sound_table(task.model_copy(update={"sounds": few})).sounds
    for one, other in combinations(SPLITS, 2):
        bits = [{sound.samples.tobytes() for sound in banks[name]} for name in (one, other)]
        assert not bits[0] & bits[1]
    for name in ("validation", "test"):
        goals = set(suite.task_of(name).sources.goal_kinds) or {sound.kind for sound in banks[name]}
        heard = {sound.kind for sound in banks["train"]}
        if suite.task.goal == "none":
            assert not goals & heard
        else:
            assert goals == heard == set(PHRASES[name])


def test_the_key_of_a_sound_holds_its_split() -> None:
    alike = [sounds.make("kettle", 0, 0, split).samples for split in SPLITS]
    assert len({wave.tobytes() for wave in alike}) == len(SPLITS)


def test_a_file_may_be_like_a_shipped_one_but_for_what_it_names(tmp_path: Path) -> None:
    hard, longer = load_suite("audiogoal-hard-v1"), load_suite("audiogoal-hard-v2")
    assert longer.task.sources.stops_after_s == (15.0, 45.0)
    sources = hard.task.sources.model_copy(update={"stops_after_s": (15.0, 45.0)})
    task = hard.task.model_copy(update={"sources": sources})
    assert longer == hard.model_copy(update={"name": "audiogoal-hard-v2", "task": task})
    own = tmp_path / "own.yaml"
    own.write_text("{name: own-v1, like: audiogoal-hard-v2, task: {sources: {distractors: 0}}}")
    sources = sources.model_copy(update={"distractors": 0})
    task = hard.task.model_copy(update={"sources": sources})
    assert load_suite(str(own)) == hard.model_copy(update={"name": "own-v1", "task": task})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("like: own.yaml", "like: expected a shipped preset .*, got 'own.yaml'"),
        ("like: [audiogoal-v1]", "like: expected a shipped preset"),
        ("{name: own-v1, like: audiogoal-v1, task: {sources: {stops_aftr_s: null}}}", "did you mean 'stops_after_s'"),
        (
            "{name: own-v1, like: audiogoal-v1, task: {scenes: {count: 5, first_seed: 9}, sounds: {kinds: [siren]}}}",
            "task.scenes.first_seed, task.scenes.count, task.sounds.kinds: void in a suite's task.*say scene_count",
        ),
        (
            "{name: own-v1, like: audiogoal-v1, task: {sounds: {split: test, instances_per_kind: 1}, "
            "sources: {goal_kinds: [siren]}}}",
            "task.sounds.split, task.sounds.instances_per_kind, task.sources.goal_kinds: void",
        ),
    ],
)
def test_what_a_file_can_not_be_like_is_said(tmp_path: Path, said: str, message: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(said)
    with pytest.raises(ConfigError, match=message):
        load_suite(str(own))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{like: audiogoal-v1, task: {max_steps: 9}}", "own.yaml: name: required beside `like`; give yours a name"),
        ("{name: audiogoal-v1, like: audiogoal-v1, task: {max_steps: 9}}", "name: 'audiogoal-v1' is a shipped suite"),
        ("{name: semantic-v1, like: audiogoal-v1}", "'semantic-v1' is a shipped suite, and this one is another"),
    ],
)
def test_a_shipped_suites_name_is_not_for_another(tmp_path: Path, said: str, message: str) -> None:
    """Else figures of an easier task would bear the name of the benchmark's."""
    own = tmp_path / "own.yaml"
    own.write_text(said)
    with pytest.raises(ConfigError, match=message):
        load_suite(str(own))


def test_a_copy_of_a_shipped_suite_is_that_suite(suite: Suite) -> None:
    assert load_suite(str(presets.PRESETS / "suites" / f"{suite.name}.yaml")) == suite


def test_recordings_take_the_place_of_sounds_alone() -> None:
    suite = load_suite("audiogoal-robot-v1")
    plain, recorded = suite.task_of("test"), suite.task_of("test", "recordings")
    assert recorded.sounds.folder == "recordings"
    assert recorded.sources.goal_kinds == ()
    same = plain.model_dump(exclude={"sounds", "sources"})
    assert recorded.model_dump(exclude={"sounds", "sources"}) == same


def test_recordings_have_no_kind_to_be_named() -> None:
    with pytest.raises(ValueError, match="recordings of a folder have no kinds"):
        load_suite("semantic-v1").task_of("test", "recordings")


@pytest.mark.parametrize("name", ["audiogoal-hard-v1", "audiogoal-hard-v2"])
def test_recordings_have_no_kind_that_never_is_the_goal(name: str) -> None:
    """Each would be goal in one episode and distractor in the next, and nothing would tell which is which."""
    with pytest.raises(ConfigError, match=f"{name} takes no recordings.*music, water, vacuum never are it"):
        load_suite(name).task_of("test", "recordings")


def test_a_suite_may_be_in_ones_own_building_with_ones_own_recordings(tmp_path: Path) -> None:
    """A file is one scene in every split; recordings play in every split unless others are named."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{name: my-house-v1, like: audiogoal-v1, task: {scenes: {source: house.yaml}, sounds: {folder: mine}}}"
    )
    mine = load_suite(str(path))
    for split in SPLITS:
        task = mine.task_of(split)
        assert task.scenes == SceneSet(source="house.yaml", count=1)  # without the apartments' options
        assert (task.sounds.folder, task.sources.goal_kinds) == ("mine", ())
    path.write_text("{name: my-flat-v1, like: audiogoal-v1, task: {scenes: {source: 'apartment:3'}}}")
    flat = load_suite(str(path)).task_of("test").scenes
    assert (flat.first_seed, flat.count) == (0, 1)
    assert mine.task_of("test", "others").sounds.folder == "others"
    assert not set(mine.seeds("train")) & set(mine.seeds("test"))


@pytest.mark.parametrize("page", ["arrays.md", "scenes.md"])
def test_the_suites_of_the_documentation_are_suites(
    repository: Path, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (repository / "docs" / page).read_text(encoding="utf-8"), flags=re.S)
    monkeypatch.chdir(tmp_path)  # paths are of the working directory
    shown = [block for block in blocks if "like: audiogoal" in block]
    (tmp_path / "my_array.yaml").write_text(blocks[0])
    assert len(shown) == 1
    (tmp_path / "mine.yaml").write_text(shown[0])
    task = load_suite("mine.yaml").task_of("train")
    assert (page == "arrays.md") is (task.contract().array.name == "my_array")
    assert (page == "scenes.md") is (task.scenes.source == "house.yaml")


def test_a_training_in_test_scenes_or_with_test_sounds_is_found_out() -> None:
    assert overlap(AudioGoalTask()) is None
    for name in NAMES:
        assert overlap(load_suite(name).task_of("train"), "test", sounds.KINDS_OF["test"]) is None
    assert "3000000 to 3000009 are of the test split" in str(
        overlap(AudioGoalTask(scenes=SceneSet(first_seed=3_000_000, count=10)))
    )
    assert overlap(AudioGoalTask(sounds=SoundSet(split="test"))) == "sounds are of the test split"
    assert overlap(AudioGoalTask(scenes=SceneSet(source="house.yaml"))) is None
    assert overlap(AudioGoalTask(scenes=SceneSet(source="apartment:3000005"))) == (
        "scenes 3000005 to 3000005 are of the test split"
    )
    assert overlap(AudioGoalTask(scenes=SceneSet(source="apartment:5"))) is None
    unheard = AudioGoalTask(sounds=SoundSet(kinds=("kettle", "siren", "barking")))
    assert str(overlap(unheard, "test", sounds.KINDS_OF["test"])).endswith("no goal is named: barking, siren")
    assert overlap(unheard, "validation", sounds.KINDS_OF["validation"]) is None


def test_audiogoal_v1_is_what_it_says() -> None:
    task = load_suite("audiogoal-v1").task_of("test")
    assert (task.step_m, task.turn_deg, task.success_m) == (0.25, 10.0, 1.0)
    assert (task.sounds.mean_level_db_spl, task.sounds.level_range_db) == (75.0, 10.0)
    assert task.sources == type(task.sources)()
    for index in range(0, task.scenes.count, 8):
        assert len(np.unique(load_scene(task.scenes, index).room)) - 1 >= 4  # -1 is walls


def test_audiogoal_robot_v1_is_a_rover() -> None:
    body = load_suite("audiogoal-robot-v1").task_of("test").contract().body
    assert body.max_v_mps <= 0.3 + 1e-9
    assert body.max_w_radps <= 0.7
    assert body.max_acceleration_mps2 == 0.5
    latency_s = load_suite("audiogoal-robot-v1").task_of("test").randomise.latency_s
    assert latency_s is not None
    assert (latency_s.low, latency_s.high) == (0.0, 0.25)


def test_setpoints_are_those_of_the_step() -> None:
    actions = load_suite("audiogoal-v1").task_of("test").contract().actions
    assert isinstance(actions, DiscreteActions)
    assert actions.setpoints[1] == (1.0, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"name": "audiogoal"}, "name"), ({"test": {"scene_count": 1, "instances_per_kind": 1, "episodes": 400}}, "500")],
)
def test_what_is_no_suite_is_refused(change: dict[str, Any], message: str) -> None:
    data = load_suite("audiogoal-v1").model_dump(exclude_unset=True) | change
    with pytest.raises(ValueError, match=message):
        Suite.model_validate(data)


def test_an_unknown_suite_is_named_with_its_neighbour() -> None:
    with pytest.raises(ConfigError, match="did you mean 'audiogoal-v1'"):
        load_suite("audiogoal-v2")
