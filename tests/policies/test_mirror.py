"""What is seen in a mirror is what the mirror image of the world shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phonotaxis.configs import contract as names
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


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_collector_sees_as_many_as_it_is_told(share: float) -> None:
    config = ImitationConfig(
        task=TASK, worlds=16, chunk=4, buffer_frames=1024, mirrored=share,
        policy=PolicyConfig(audio_hidden=16, audio_size=16, memory_size=16),
    )  # fmt: skip
    collector = Collector(config, Policy(TASK.contract(), config.policy))
    seen = [lane.mirrored.size for lane in collector.lanes]
    assert (sum(seen) > 0) == (share > 0)
    assert sum(seen) < 16
    chunk = collector.collect(1.0).chunk
    for lane in collector.lanes:
        sign = np.where(np.isin(np.arange(16), lane.mirrored), -1.0, 1.0)
        told = lane.labels(lane.regrets(0.7))["bearing_rad"].numpy()
        np.testing.assert_allclose(told, sign * lane.world.bearing_rad, rtol=1e-6)
    assert torch.isfinite(chunk.regrets).all()
