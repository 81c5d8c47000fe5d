"""A bundle in the simulator decides as the policy that it was made of."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import Bundle, read_bundle, write_bundle
from phonotaxis.export.decider import EngineDecider
from phonotaxis.export.onnx import export_policy
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import with_knob
from phonotaxis.policies.rollout import PolicyDecider, run_episodes

TASK = AudioGoalTask(
    scenes=SceneSet(source="empty_room", count=1), sources_per_scene=1, sounds=SoundSet(instances_per_kind=1),
    response_s=0.05, max_steps=12, goal="none",
)  # fmt: skip


@pytest.fixture(scope="module")
def policy() -> Policy:
    torch.manual_seed(5)
    sizes = PolicyConfig(
        memory_size=8, audio_hidden=8, audio_size=8, motion_size=8, depth_size=8, depth_channels=(2, 2), head_hidden=8
    )
    return Policy(TASK.contract(), sizes).eval()


@pytest.fixture(scope="module")
def bundle(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("bundle") / "policy.onnx"
    write_bundle(path, export_policy(policy, {}))
    return read_bundle(path)


def test_it_decides_as_the_policy_does_step_by_step(policy: Policy, bundle: Bundle) -> None:
    world = World(TASK, 3)
    engine, torch_one = EngineDecider(bundle, 3), PolicyDecider(policy, 3)
    world.begin(np.arange(3), np.arange(3))
    for decider in (engine, torch_one):
        decider.begin(np.arange(3))
    for _ in range(6):
        actions = torch_one.decide(world)
        assert np.array_equal(engine.decide(world), actions)
        assert engine.bearing_rad == pytest.approx(torch_one.bearing_rad, abs=1e-3)
        world.step(np.maximum(actions, 1))


def test_it_turns_the_knob_as_the_policy_does(policy: Policy, tmp_path: Path) -> None:
    torch.manual_seed(5)
    knobbed = with_knob(copy.deepcopy(policy))
    assert knobbed.caution is not None
    torch.nn.init.normal_(knobbed.caution.added[-1].weight)
    torch.nn.init.normal_(knobbed.caution.added[-1].bias)
    write_bundle(tmp_path / "knobbed.onnx", export_policy(knobbed, {}))
    bundle, found = read_bundle(tmp_path / "knobbed.onnx"), {}
    for caution in (0.0, 0.7):
        world, torch_one, engine = World(TASK, 3), PolicyDecider(knobbed, 3, caution), EngineDecider(bundle, 3, caution)
        world.begin(np.arange(3), np.arange(3))
        for decider in (engine, torch_one):
            decider.begin(np.arange(3))
        found[caution] = []
        for step in range(8):
            found[caution].append(engine.decide(world))
            assert np.array_equal(found[caution][-1], torch_one.decide(world))
            world.step(np.full(3, 1 + step % 3))
    assert not np.array_equal(found[0.0], found[0.7])


def test_where_no_goal_is_named_a_bundle_that_can_be_told_one_reads_zeros(policy: Policy, bundle: Bundle) -> None:
    assert policy.contract.goal is not None
    unnamed = TASK.model_copy(update={"goal": "absent"})
    assert "goal" not in World(unnamed, 1).observation
    for decider in (EngineDecider(bundle, 2), PolicyDecider(policy, 2)):
        found = [run_episodes(World(task, 2), decider, range(3)) for task in (unnamed, TASK)]
        assert found[0] == found[1]


def test_results_are_the_same_for_any_batch(bundle: Bundle) -> None:
    found = [run_episodes(World(TASK, n), EngineDecider(bundle, n), range(5)) for n in (1, 2, 5)]
    assert found[0] == found[1] == found[2]
    assert all(result.bearing_error_rad is not None for result in found[0])
