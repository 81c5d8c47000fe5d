"""What is seen in a mirror is what the mirror image of the world shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from phonotaxis.configs import contract as names
from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.collect import Collector, TaskWorlds
from phonotaxis.policies.front_ends import MOTION_FEATURES
from phonotaxis.policies.mirror import Mirror, seen_in_a_mirror
from phonotaxis.policies.policy import Policy

TASK = AudioGoalTask(scenes=SceneSet(count=4), sources_per_scene=2)


def worlds(mirrored: float, count: int = 6) -> TaskWorlds:
    torch.manual_seed(0)
    return TaskWorlds(Lane(task=TASK, worlds=count), Policy(TASK.contract()), 0, mirrored=mirrored)


def test_it_is_drawn_by_the_episode_alone_and_about_as_often_as_asked() -> None:
    seeds = np.arange(4000)
    drawn = seen_in_a_mirror(seeds, 0.5)
    assert 0.46 < drawn.mean() < 0.54
    assert np.array_equal(drawn[::-1], seen_in_a_mirror(seeds[::-1], 0.5))
    assert not seen_in_a_mirror(seeds, 0.0).any()
    assert seen_in_a_mirror(seeds, 1.0).all()


def test_the_mirror_of_a_mirror_image_is_what_was_there() -> None:
    lane = worlds(0.0)
    shown, rows = lane.features(), np.array([0, 3])
    mirror = Mirror(lane.policy.front_ends.audio.layout)
    once = mirror.features(shown, rows)
    twice = mirror.features(once, rows)
    for name, value in shown.items():
        assert torch.equal(twice[name], value)
        assert torch.equal(once[name][[1, 2, 4, 5]], value[[1, 2, 4, 5]])
    for name in (names.AUDIO, names.DEPTH):
        assert not torch.equal(once[name][rows], shown[name][rows])
    regrets = np.arange(24.0).reshape(6, 4)
    assert mirror.by_action(regrets, rows)[0].tolist() == [0.0, 1.0, 3.0, 2.0]
    assert mirror.by_action(regrets, rows)[1].tolist() == regrets[1].tolist()
    assert mirror.actions(np.array([0, 1, 2, 3, 2, 3]), np.arange(4)).tolist() == [0, 1, 3, 2, 2, 3]


def test_sound_from_the_left_is_heard_from_the_right() -> None:
    """Microphones exchanged across the axis hear what the array hears in the mirror image of the world."""
    lane = worlds(0.0)
    observation = {name: torch.from_numpy(array) for name, array in lane.world.observation.items()}
    plain = lane.features()
    place = TASK.contract().array.positions_m()
    opposite = [int(np.abs(place - np.array([x, -y, z])).sum(axis=1).argmin()) for x, y, z in place]
    assert sorted(opposite) == list(range(len(place)))
    assert opposite != sorted(opposite)
    observation[names.AUDIO] = observation[names.AUDIO][:, opposite]
    observation[names.DEPTH] = observation[names.DEPTH].flip(-1)
    found = Mirror(lane.policy.front_ends.audio.layout).features(plain, np.arange(6))
    meant = lane.policy.features(observation)
    assert found.keys() == meant.keys()
    for name in found:
        torch.testing.assert_close(found[name], meant[name], rtol=1e-4, atol=1e-3)


def test_a_policy_in_the_mirror_drives_the_same_robot_the_same_way() -> None:
    """What the expert would do in the mirror, done there, is what it would do outside."""
    plain, turned = worlds(0.0), worlds(1.0)
    for _ in range(12):
        wanted, there = plain.regrets(0.7), turned.regrets(0.7)
        said, seen = plain.labels(wanted), turned.labels(there)
        torch.testing.assert_close(seen["bearing_rad"], -said["bearing_rad"])
        torch.testing.assert_close(seen["regrets"], said["regrets"][:, [0, 1, 3, 2]])
        odometry, mirrored = plain.features()[MOTION_FEATURES], turned.features()[MOTION_FEATURES]
        torch.testing.assert_close(mirrored[:, [1, 2, 4]], -odometry[:, [1, 2, 4]])
        plain.act(wanted.argmin(axis=1))
        turned.act(there.argmin(axis=1))
        np.testing.assert_array_equal(plain.world.pose, turned.world.pose)
    assert np.ptp(plain.world.pose[:, 2]) > 0.0


def test_each_episode_is_drawn_anew_and_lanes_learn_in_the_mirror(tmp_path: Path) -> None:
    """As episodes end and begin; with an array whose mirror image is another array, too."""
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray).model_dump(mode="json")
    array |= {
        "name": "lopsided",
        "mic_xyz_m": [[0.03, 0.0, 0.4], [0.0, 0.05, 0.4], [-0.02, 0.01, 0.4], [0.0, 0.0, 0.4]],
    }
    (tmp_path / "lopsided.yaml").write_text(yaml.safe_dump(array))
    lopsided = TASK.model_copy(update={"array": str(tmp_path / "lopsided.yaml")})
    config = ImitationConfig(
        lanes=[Lane(task=task, worlds=8, episode_steps=3) for task in (TASK, lopsided)], chunk=4, buffer_frames=1024,
        mirrored=0.5, policy=PolicyConfig(audio_hidden=16, audio_size=16, memory_size=16),
    )  # fmt: skip
    collector = Collector(config, Policy(TASK.contract(), config.policy))
    met = set()
    for _ in range(4):
        chunk = collector.collect(0.5).chunk
        for number, lane in enumerate(collector.lanes):
            seeds = np.array([episode.seed for episode in lane.world.episodes if episode is not None])
            assert np.array_equal(lane.in_mirror, np.flatnonzero(seen_in_a_mirror(seeds, 0.5)))
            met.add((number, tuple(lane.in_mirror)))
            sign = np.where(np.isin(np.arange(8), lane.in_mirror), -1.0, 1.0)
            told = lane.labels(lane.regrets(0.7))["bearing_rad"].numpy()
            np.testing.assert_allclose(told, sign * lane.world.bearing_rad, rtol=1e-6)
        assert torch.isfinite(chunk.regrets).all()
    assert len(met) > 4


def test_without_a_share_nothing_is_seen_in_a_mirror() -> None:
    config = ImitationConfig(task=TASK, worlds=16, chunk=4, buffer_frames=1024)
    collector = Collector(config, Policy(TASK.contract(), config.policy))
    assert [lane.in_mirror.size for lane in collector.lanes] == [0]


def test_a_camera_that_looks_aside_has_no_mirror_image() -> None:
    aside = TASK.model_copy(update={"camera": TASK.camera.model_copy(update={"mount_xyz_m": (0.1, 0.05, 0.5)})})
    ImitationConfig(task=aside)
    with pytest.raises(ValueError, match=r"mirrored: .*mount_xyz_m.*0\.05"):
        ImitationConfig(task=aside, mirrored=0.5)
