"""What a task accepts, and what it tells a policy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError, Frozen, build
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.configs.sources import Sources
from phonotaxis.configs.suite import Suite
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet


def task(**fields: Any) -> AudioGoalTask:
    return build(AudioGoalTask, fields, "task.yaml")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"drive": {"latency_s": 0.3}}, "latency_s 0.3 is longer than the control period of 0.25 s"),
        ({"randomise": {"latency_s": [0.0, 0.3]}}, "latency_s 0.3 is longer than the control period"),
        ({"modalities": ["semantic"]}, "modalities: .*must name depth, and each once"),
        ({"modalities": ["depth", "depth"]}, "modalities: .*must name depth, and each once"),
        ({"modalities": ["depth", "colour"]}, r"modalities\.1: .*'depth', 'semantic' or 'color'"),
        ({"depth_noise": {"min_range_m": 10.0}}, "depth_noise leaves no range: camera 0.1 to 10 m, noise 10.0 to None"),
        ({"camera": {"mount_xyz_m": [0.1, 0.0, -0.2]}}, "mount_xyz_m is at z = -0.2 m, below the floor: heights"),
        ({"camera": {"cx": -1.0}}, "camera: .*cx -1 lies outside the image, which has 64 pixels there"),
        ({"camera": {"cy": 64.5}}, "camera: .*cy 64.5 lies outside the image"),
        ({"camera": {"mount_rpy_rad": [0.0, 15.0, 0.0]}}, "mount_rpy_rad: more than a whole turn; it is in radians"),
        ({"source_height_m": [100.0, 200.0]}, "source_height_m must end at 50 m or lower, got 200"),
        ({"success_m": 3.0, "max_distance_m": 3.0}, "success_m 3 must be under max_distance_m 3: every episode would"),
        (
            {"max_steps": 10, "sources": {"starts_after_s": [0.0, 2.5]}},
            r"starts_after_s reaches 2.5 s, an episode ends after 2.5 s \(max_steps\): there the goal would",
        ),
        ({"sources": {"stops_after_s": [0.0, 0.0]}}, "stops_after_s must end after starts_after_s begins, 0 s, got 0"),
        ({"sources": {"distractor_level_db": [1e9, 1e9]}}, "distractor_level_db: .*levels from -60 to 60 dB"),
        ({"randomise": {"diffuse_noise_dba": 40}}, "needs noise.diffuse_dba"),
        ({"randomise": {"absorption_scale": [0.5, 20]}}, "absorption_scale: .*must lie within 0 to 10 times"),
        ({"unit": {"clip_below_full_scale_db": 50.0}}, "clip_below_full_scale_db: .*less than or equal to 40"),
        ({"sources": {"directivity": "speaker"}}, r"sources\.directivity.*'talker', 'loudspeaker'"),
        ({"sources": {"directivity": {"kind": "cardioid", "order": -1}}}, "greater than or equal to 0"),
        ({"sources": {"directivity": []}}, "at least 1 item"),
        ({"scenes": {"options": {"seed": 3}}}, "scenes.options: .*'seed' is no option of a source"),
        ({"scenes": {"options": {"name": "a"}}}, "scenes.options: .*'name' is no option of a source"),
        ({"sounds": {"folder": "a", "kinds": ["siren"]}}, "sounds: .*recordings of a folder have none"),
        (
            {"sources": {"directivity": {"kind": "loudspeaker", "driver_radius_m": 0.3}}},
            "driver_radius_m 0.3 exceeds radius_m 0.12: give a smaller driver",
        ),
    ],
)
def test_what_cannot_be_is_explained(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        task(**fields)


@pytest.mark.parametrize(
    ("kind", "model"),
    [("tasks", AudioGoalTask), ("arrays", MicrophoneArray), ("robots", RobotConfig), ("suites", Suite),
     ("training", ImitationConfig)],
)  # fmt: skip
def test_a_key_that_is_said_twice_is_refused(kind: str, model: type[Frozen], tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("name: mine\nsounds:\n  folder: a\n  seed: 3\n  folder: b\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: key 'folder' is said in line 3 and again in line 5; keep one"):
        presets.load(kind, path, model)


def test_a_key_beside_a_merge_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {c: &c {<<: *a, x: 3}}\nd: {<<: *c}\n")
    assert presets.read_yaml(path) == yaml.safe_load(path.read_text())
    path.write_text("x: 1\n'x': 2\n")
    with pytest.raises(ConfigError, match="key 'x' is said in line 1 and again in line 2"):
        presets.read_yaml(path)


@pytest.mark.parametrize("source", ["house.yaml", "scan.glb", "apartment:3"])
def test_a_source_that_is_one_scene_has_no_further_ones(source: str) -> None:
    """Unless each has materials of its own."""
    assert task(scenes={"source": source}).scenes.count == 1
    assert task(scenes={"source": source, "count": 1, "first_seed": 0}).scenes.count == 1
    for several in ({"count": 20_000}, {"first_seed": 7}):
        with pytest.raises(ConfigError, match=f"'{source}' is one scene, whatever the seed: expected count 1"):
            task(scenes={"source": source, **several})
        assert task(scenes={"source": source, **several}, randomise={"absorption_scale": [0.5, 2.0]})
    assert task(scenes={"source": "studio"}).scenes.count == 32


def test_a_latency_of_the_whole_period_is_allowed() -> None:
    assert task(drive={"latency_s": 0.25}).contract().body.latency_s == 0.25


def test_images_stand_in_the_contract_in_one_order() -> None:
    contract = task(modalities=["color", "depth", "semantic"]).contract()
    specs = {spec.name: (spec.shape, spec.dtype) for spec in contract.observations()}
    assert list(specs)[1:4] == ["depth", "semantic", "color"]
    assert specs["semantic"] == ((64, 64), "uint8")
    assert specs["color"] == ((64, 64, 3), "uint8")
    assert contract == task(modalities=["depth", "semantic", "color"]).contract()
    assert Contract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sample_rate_hz": 8000}, r"^task mine: .*front_end.high_hz .* exceeds half the sample rate"),
        (
            {"step_m": 1.0, "hop_samples": 2000},
            r"task mine, .*turn_deg in 0.125 s: body: max_v_mps: .*less than or equal to 5, got 8\.0",
        ),
        (
            {"window_samples": 200, "hop_samples": 200, "crossfade_s": 0.01, "step_m": 0.01, "turn_deg": 1.0},
            r"^task mine: .*front_end.n_fft .* exceeds window_samples 200",
        ),
        (
            {"hop_samples": 1_000_000, "window_samples": 1_000_000},
            r"^task mine: hop_samples: .*less than or equal to",
        ),
    ],
)
def test_what_no_policy_can_be_told_is_said_of_the_task(fields: dict[str, Any], said: str) -> None:
    mine = task(name="mine", **fields)
    with pytest.raises(ConfigError, match=said):
        mine.contract()


@pytest.mark.parametrize("model", [AudioGoalTask, SceneSet, SoundSet, Sources])
def test_every_field_is_explained(model: type[Frozen]) -> None:
    explained = re.findall(r"^    (?:    )?([a-z_]+): ", str(model.__doc__), re.MULTILINE)
    assert [name for name in explained if name in model.model_fields] == list(model.model_fields)


def test_the_default_world_at_another_rate_is_as_fast(repository: Path) -> None:
    page = (repository / "docs" / "worlds.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "sample_rate_hz" in each]
    slower, usual = task(**yaml.safe_load(block)).contract(), task().contract()
    assert slower.sample_rate_hz == 8000
    assert (slower.body, slower.control_period_s) == (usual.body, usual.control_period_s)


def test_an_array_below_the_floor_is_refused_and_one_on_it_is_not(tmp_path: Path) -> None:
    lines = "name: low\nchannel_map: [0, 1]\ndevice_channels: 2\nmic_xyz_m: [[0.05, 0, {}], [-0.05, 0, {}]]\n"
    path = tmp_path / "low.yaml"
    path.write_text(lines.format(-0.1, -0.2))
    with pytest.raises(ConfigError, match=r"task mine: the middle of array .*low.yaml is at z = -0.15 m, .*stands"):
        task(name="mine", array=str(path)).contract()
    path.write_text(lines.format(-0.02, 0.02))
    assert task(array=str(path)).contract().array.name == "low"


def test_depth_alone_is_the_default() -> None:
    names = [spec.name for spec in AudioGoalTask().contract().observations()]
    assert names == ["audio", "depth", "depth_age_s", "motion", "motion_valid", "episode_start"]


def test_a_contract_from_before_there_were_modalities_is_one_of_depth() -> None:
    contract = AudioGoalTask().contract()
    old = re.sub(r'"modalities":\["depth"\],', "", contract.to_json())
    assert old != contract.to_json()
    assert Contract.from_json(old) == contract


def test_the_contract_states_the_drive() -> None:
    body = AudioGoalTask().contract().body
    assert (body.max_acceleration_mps2, body.max_angular_acceleration_radps2, body.latency_s) == (None, None, 0.0)
    drive = {"max_acceleration_mps2": 2.0, "max_angular_acceleration_radps2": 4.0, "latency_s": 0.1}
    body = task(drive=drive).contract().body
    assert (body.max_acceleration_mps2, body.max_angular_acceleration_radps2, body.latency_s) == (2.0, 4.0, 0.1)


def test_where_the_drive_varies_the_contract_states_the_middle_and_the_widest_body() -> None:
    varied = task(
        drive={"max_acceleration_mps2": 9.0},
        randomise={"max_acceleration_mps2": [2, 4], "latency_s": [0.0, 0.1], "radius_m": [0.15, 0.21]},
    )
    body = varied.contract().body
    assert (body.max_acceleration_mps2, body.latency_s, body.radius_m) == pytest.approx((3.0, 0.05, 0.21))
    assert body.max_angular_acceleration_radps2 is None
    assert varied.widest_radius_m == 0.21
    assert AudioGoalTask().widest_radius_m == 0.18


def test_the_example_of_the_documentation_is_a_task(repository: Path) -> None:
    page = (repository / "docs" / "worlds.md").read_text(encoding="utf-8")
    block = re.findall(r"```yaml\n(.*?)```", page, flags=re.S)[0]
    shown = task(**yaml.safe_load(block))
    assert len(shown.randomise.ranges()) >= 8
    plain = AudioGoalTask()
    for name in ("modalities", "depth_noise", "drive", "air", "noise", "unit", "sources"):
        assert getattr(shown, name) != getattr(plain, name)


def test_a_policy_sees_what_it_reads_of_what_is_shown_and_zeros_where_no_goal_is_named() -> None:
    contract = task(goal="kind", modalities=["depth", "semantic"]).contract()
    shown = {spec.name: np.zeros((3, *spec.shape), spec.dtype) for spec in contract.observations()}
    shown["depth_age_s"][:, 0] = [1.0, 2.0, 3.0]
    named = contract.seen(shown, np.array([2, 0]))
    assert list(named) == [spec.name for spec in contract.observations()]
    assert named["depth_age_s"].tolist() == [[3.0], [1.0]]
    goal = shown.pop("goal")
    goal[:] = 1.0
    del shown["semantic"]
    unnamed = contract.seen({**shown, "odour": goal}, np.array([1]))
    assert list(unnamed) == [name for name in named if name != "semantic"]
    assert (unnamed["goal"].shape, unnamed["goal"].dtype) == ((1, *goal.shape[1:]), np.float32)
    assert not unnamed["goal"].any()
    assert contract.seen({**shown, "goal": goal}, np.array([1]))["goal"].all()
    assert "goal" not in task().contract().seen({**shown, "goal": goal}, np.array([1]))


def test_yaml_that_stands_for_a_billion_numbers_is_refused_in_a_moment(tmp_path: Path) -> None:
    names = "abcdefghi"
    lines = ["a: &a [" + ", ".join("x" * 10) + "]"]
    lines += [f"{new}: &{new} [" + ", ".join([f"*{old}"] * 10) + "]" for old, new in zip(names, names[1:])]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines) + "\nname: *i\n")
    code = (
        "import sys\nfrom pathlib import Path\nfrom phonotaxis.configs import presets\n"
        "from phonotaxis.configs.base import ConfigError\nfrom phonotaxis.configs.task import AudioGoalTask\n"
        "try:\n    presets.load('tasks', sys.argv[1], AudioGoalTask)\nexcept ConfigError as error:\n    print(error)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "bomb.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "name: Input should be a valid string" in done.stdout
    assert len(done.stdout) < 10_000


@pytest.mark.parametrize("text", ["[" * 2000, "name: 2024-13-01", "name: 0x_"])
def test_what_yaml_chokes_on_is_not_yaml(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(ConfigError, match="not YAML"):
        presets.load("tasks", str(tmp_path / "odd.yaml"), AudioGoalTask)
