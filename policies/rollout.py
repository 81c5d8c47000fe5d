"""Runs deciders through fixed episodes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World
from phonotaxis.policies.bearings import Bearings
from phonotaxis.policies.blocks import in_blocks
from phonotaxis.policies.policy import Policy, PolicyOutput

_STATE = "state"
_SAID = ("logits", "value", "bearing", "distance", _STATE)  # in the order of `PolicyOutput`


class Decider(Protocol):
    """What can be evaluated: it sees observations (a baseline may also see the world) and names actions.

    A decider that also says where it believes the source to be has an attribute `bearing_rad`, float64 [worlds],
    azimuth in the base frame, NaN where it says nothing: as of its last decision.
    """

    def begin(self, worlds: np.ndarray) -> None:
        """Forget what was in these worlds, int [k]: they begin new episodes."""
        ...

    def decide(self, world: World) -> np.ndarray:
        """Return an action per world, int64 [worlds] (those of inactive worlds are ignored)."""
        ...


class PolicyDecider:
    """A learnt policy, deterministic, with its memory per world.

    Attributes:
        output: what it said last of the worlds that were active; None before the first step.
        bearing_rad: see `Decider`.
        caution: where the knob stands, where the policy has one.
    """

    def __init__(self, policy: Policy, num_worlds: int, caution: float = 0.0) -> None:
        self.policy = policy.eval()
        self.caution = caution
        self.state = policy.initial_state(num_worlds)
        self.output: PolicyOutput | None = None
        self.bearing_rad = np.full(num_worlds, np.nan)

    def begin(self, worlds: np.ndarray) -> None:
        """Clear the memory of some worlds."""
        self.state[torch.from_numpy(np.asarray(worlds))] = 0.0

    @torch.no_grad()
    def decide(self, world: World) -> np.ndarray:
        """Take the policy's best action in every active world."""
        active = np.flatnonzero(world.active)
        seen = self.policy.contract.seen(world.observation, active, self.caution)
        seen[_STATE] = self.state[active].numpy()
        said = in_blocks(self._step, seen)
        logits, value, bearing, distance, state = (torch.from_numpy(said[name]) for name in _SAID)
        self.output = PolicyOutput(logits, value, bearing, distance, state)
        self.state[active] = self.output.state
        self.bearing_rad[:] = np.nan
        self.bearing_rad[active] = bearing_of(said["bearing"])
        actions = np.zeros(world.num_worlds, dtype=np.int64)
        actions[active] = self.policy.action(self.output.logits).numpy()
        return actions

    def _step(self, block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        observation = {name: torch.from_numpy(array) for name, array in block.items()}
        state = observation.pop(_STATE)
        output = self.policy.step(self.policy.features(observation), state, observation[names.EPISODE_START])
        return {name: value.numpy() for name, value in output.tensors().items()}


def bearing_of(head: np.ndarray) -> np.ndarray:
    """Read the azimuth, radians [n], from a policy's bearing head, [n, 3] (`contract.BEARING_FIELDS`)."""
    return np.arctan2(head[:, 1].astype(np.float64), head[:, 0].astype(np.float64))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch multiply in one thread: in how many it does decides the last bits, and by them the way taken."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_episodes(
    world: World,
    decider: Decider,
    seeds: Sequence[int],
    on_episode: Callable[[EpisodeResult], None] | None = None,
    on_step: Callable[[World], None] | None = None,
) -> list[EpisodeResult]:
    """Run episodes to their ends, as many at once as the world holds.

    Args:
        world: whose task they are of.
        decider: who acts.
        seeds: of the episodes.
        on_episode: told of each as it ends.
        on_step: called after each decision, before it is acted on.

    Returns:
        The results in the order of `seeds`; the same whatever the number of worlds, if the decider's choices don't
        depend on it.
    """
    results: dict[int, EpisodeResult] = {}
    bearings = Bearings(world.num_worlds)
    running = np.full(world.num_worlds, -1, dtype=np.int64)
    upcoming = 0

    def begin(worlds: np.ndarray) -> None:
        nonlocal upcoming
        chosen = worlds[: max(0, len(seeds) - upcoming)]
        if chosen.size == 0:
            return
        numbers = np.arange(upcoming, upcoming + chosen.size)
        upcoming += chosen.size
        running[chosen] = numbers
        world.begin(chosen, np.array([seeds[int(number)] for number in numbers]))
        decider.begin(chosen)
        bearings.begin(chosen)

    world.active[:] = False
    begin(np.arange(world.num_worlds))
    while len(results) < len(seeds):
        actions = decider.decide(world)
        bearings.note(world, decider)
        if on_step is not None:
            on_step(world)
        outcome = world.step(np.where(world.active, actions.T, 0).T)  # [worlds], or [worlds, 3] where continuous
        ended = np.flatnonzero(outcome.terminated | outcome.truncated)
        for index in ended:
            result = bearings.into(world.result(int(index)), int(index))
            results[int(running[index])] = result
            if on_episode is not None:
                on_episode(result)
        begin(ended)
    return [results[number] for number in range(len(seeds))]
