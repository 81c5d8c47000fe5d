"""Running deciders through fixed episodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World
from phonotaxis.policies.baselines import ExpertDecider, RandomDecider
from phonotaxis.policies.benchmark import told
from phonotaxis.policies.blocks import ROWS
from phonotaxis.policies.policy import Policy, PolicyOutput
from phonotaxis.policies.rollout import PolicyDecider, run_episodes
from phonotaxis.policies.trails import trails

SEEDS = [5, 9, 2, 7, 30, 1, 4]


@pytest.fixture(scope="module")
def task(make_task: Callable[..., AudioGoalTask]) -> AudioGoalTask:
    return make_task(max_steps=25)


@pytest.fixture(scope="module")
def policy(task: AudioGoalTask, tiny: PolicyConfig) -> Policy:
    torch.manual_seed(3)
    return Policy(task.contract(), tiny)


@pytest.mark.parametrize("worlds", [1, 3, 7])
def test_a_policys_results_are_the_same_to_the_last_digit_for_any_number_of_worlds_and_threads(
    task: AudioGoalTask, policy: Policy, worlds: int
) -> None:
    def run(count: int, threads: int) -> list[EpisodeResult]:
        return run_episodes(World(task, count, threads), PolicyDecider(policy, count), SEEDS)

    assert run(worlds, 2) == run(4, 1)


@pytest.mark.parametrize("worlds", [1, 2, 3])
def test_continuous_actions_reach_their_own_worlds(make_task: Callable[..., AudioGoalTask], worlds: int) -> None:
    """Where as many worlds run as an action has parts, an axis isn't the other, and who has ended stops nobody."""

    class Stop(ExpertDecider):
        """Waits for so many steps as the episode's seed says, then stops."""

        def decide(self, world: World) -> np.ndarray:
            late = [episode is not None and world.steps[k] >= episode.seed for k, episode in enumerate(world.episodes)]
            actions = np.zeros((world.num_worlds, 3))
            actions[:, 2] = np.where(late, 1.0, -1.0)
            return actions

    world = World(make_task(max_steps=20, actions="continuous"), worlds)
    results = run_episodes(world, Stop(), SEEDS[:3])
    assert [(result.stopped, result.steps) for result in results] == [(True, seed + 1) for seed in SEEDS[:3]]


def test_the_error_of_a_bearing_is_told_apart_by_sight(make_task: Callable[..., AudioGoalTask]) -> None:
    class Off(ExpertDecider):
        bearing_rad = np.zeros(2)

        def decide(self, world: World) -> np.ndarray:
            off_rad = np.where(world.source_visible, 0.1, -0.3)
            self.bearing_rad = world.bearing_rad + off_rad + 2.0 * np.pi
            return super().decide(world)

    task = make_task("apartment", max_steps=25)  # in an empty room nothing is ever out of sight
    results = run_episodes(World(task, 2), Off(), SEEDS)
    for field, expected in (("bearing_error_in_sight_rad", 0.1), ("bearing_error_out_of_sight_rad", 0.3)):
        found = [error_rad for result in results if (error_rad := getattr(result, field)) is not None]
        assert found
        assert found == pytest.approx([expected] * len(found))
    for result in results:
        assert result.bearing_error_rad in (
            pytest.approx(0.1), pytest.approx(0.3), pytest.approx(0.2),
        )  # fmt: skip
        assert result.time_s == pytest.approx(0.25 * result.steps)
    assert all(r.bearing_error_rad is None for r in run_episodes(World(task, 2), ExpertDecider(), SEEDS[:2]))


@pytest.mark.parametrize("worlds", [1, 3, 10])
def test_results_come_in_the_order_of_the_seeds(task: AudioGoalTask, worlds: int) -> None:
    results = run_episodes(World(task, worlds), ExpertDecider(), SEEDS)
    assert [result.episode_seed for result in results] == SEEDS
    assert results == run_episodes(World(task, 2), ExpertDecider(), SEEDS)


def test_random_walks_do_not_depend_on_the_batch(task: AudioGoalTask) -> None:
    def run(worlds: int, seed: int) -> list[EpisodeResult]:
        return run_episodes(World(task, worlds), RandomDecider(worlds, 4, seed), SEEDS)

    assert run(1, 0) == run(4, 0)
    assert run(4, 0) != run(4, 1)


def test_a_policys_memory_begins_anew_with_each_episode(task: AudioGoalTask, policy: Policy) -> None:
    """An episode ends the same, whichever came before it in its world."""
    together = run_episodes(World(task, 1), PolicyDecider(policy, 1), SEEDS)
    alone = [run_episodes(World(task, 1), PolicyDecider(policy, 1), [seed])[0] for seed in SEEDS[-2:]]
    assert together[-2:] == alone


def test_a_world_can_be_used_again(task: AudioGoalTask) -> None:
    world = World(task, 3)
    first = run_episodes(world, ExpertDecider(), SEEDS[:4])
    world.begin(np.array([2]), np.array([77]))  # left in the middle of something
    assert run_episodes(world, ExpertDecider(), SEEDS[:4]) == first


def test_it_tells_of_episodes_and_steps(task: AudioGoalTask) -> None:
    told: list[EpisodeResult] = []
    steps: list[int] = []
    world = World(task, 2)
    results = run_episodes(
        world,
        ExpertDecider(),
        SEEDS[:3],
        on_episode=told.append,
        on_step=lambda world: steps.append(world.active.sum()),
    )
    assert sorted(told, key=lambda result: result.episode_seed) == sorted(results, key=lambda r: r.episode_seed)
    assert sum(steps) == sum(result.steps for result in results)


def test_no_episodes_no_results(task: AudioGoalTask) -> None:
    assert run_episodes(World(task, 2), ExpertDecider(), []) == []


def test_a_policy_says_what_it_says_elsewhere(task: AudioGoalTask, policy: Policy) -> None:
    """The decider's actions are the policy's best, with its memory carried along."""
    world = World(task, 2)
    decider = PolicyDecider(policy, 2)
    world.begin(np.arange(2), np.array([1, 2]))
    decider.begin(np.arange(2))
    state = policy.initial_state(ROWS)
    for _ in range(4):
        # in a block of its size, filled up with zeros: the number of rows decides the last bits
        empty = {spec.name: np.zeros((ROWS, *spec.shape), dtype=spec.dtype) for spec in policy.contract.observations()}
        observation = {name: torch.from_numpy(array) for name, array in empty.items()}
        for name, array in empty.items():
            array[:2] = world.observation[name]
        with torch.no_grad():
            said = policy.step(policy.features(observation), state, observation["episode_start"])
        said = PolicyOutput(*(value[:2] for value in said.tensors().values()))
        state[:2] = said.state
        actions = decider.decide(world)
        assert np.array_equal(actions, said.logits.argmax(dim=1).numpy())
        assert decider.output is not None
        assert torch.equal(decider.output.bearing, said.bearing)
        world.step(np.maximum(actions, 1))
    decider.begin(np.array([1]))
    assert not decider.state[1].any()
    assert decider.state[0].any()


def test_where_no_goal_is_named_a_policy_that_can_be_told_one_reads_zeros(
    make_task: Callable[..., AudioGoalTask], tiny: PolicyConfig
) -> None:
    without, zeros = make_task(max_steps=10), make_task(max_steps=10, goal="none")
    torch.manual_seed(3)
    policy = Policy(told(without.contract(), zeros.contract()), tiny)
    assert policy.contract.goal == zeros.contract().goal
    found = [run_episodes(World(task, 2), PolicyDecider(policy, 2), SEEDS[:3]) for task in (without, zeros)]
    assert found[0] == found[1]


def test_a_trail_is_the_way_of_its_episode(task: AudioGoalTask) -> None:
    results = run_episodes(World(task, 3), ExpertDecider(), SEEDS)
    for trail, result in zip(trails(task, lambda world: ExpertDecider(), SEEDS[2:5]), results[2:5]):
        assert trail.result == result
        assert len(trail.way_m) == result.steps
        gone_m = np.linalg.norm(np.diff(trail.way_m, axis=0), axis=1).sum()
        assert gone_m == pytest.approx(result.path_length_m, abs=0.3)
        if result.success:
            assert np.linalg.norm(trail.way_m[-1] - trail.source_m[:2]) < task.success_m
        assert trail.others_m.shape == (0, 3)


def test_a_trail_says_where_else_something_plays(make_task: Callable[..., AudioGoalTask]) -> None:
    two = make_task(max_steps=3, sources={"distractors": 2}, sources_per_scene=4)
    (trail,) = trails(two, lambda world: ExpertDecider(), SEEDS[:1])
    world = World(two, 1)
    world.begin(np.arange(1), np.array(SEEDS[:1]))
    episode = world.episodes[0]
    assert episode is not None
    places_m = [world.library.fields[other.field].source_m for other in episode.others]
    assert trail.others_m.tolist() == np.array(places_m).tolist()
