"""Episodes drawn from a policy with a knob: what its head of preferences is learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World
from phonotaxis.policies.blocks import in_blocks
from phonotaxis.policies.manners import Bystander, Ride
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.rollout import run_episodes

STOP = 0  # of discrete actions
_STATE = "state"


@dataclass(frozen=True)
class Draw:
    """One drawn episode.

    Attributes:
        result: how it went.
        ride: how it felt.
        caution: with which it was drawn.
        read: float16 [steps, size], what the heads read.
        logits: float32 [steps, actions], of the policy without its head of preferences.
        actions: int64 [steps].
    """

    result: EpisodeResult
    ride: Ride
    caution: float
    read: torch.Tensor
    logits: torch.Tensor
    actions: torch.Tensor


class _Drawer:
    """Draws actions, each episode by a generator of its own; see `policies.rollout.Decider`.

    A stop isn't drawn, it is taken where the policy finds it best: drawn by chance at one of a hundred steps it would
    end most episodes.
    """

    def __init__(
        self, policy: Policy, num_worlds: int, cautions: Sequence[float], seed: tuple[int, ...], temperature: float
    ) -> None:
        assert policy.caution is not None
        self._policy, self._head, self._cautions, self._seed = policy, policy.caution, cautions, seed
        self._temperature = temperature
        self._state = policy.initial_state(num_worlds)
        self._running = np.full(num_worlds, -1, dtype=np.int64)
        self._rngs: list[np.random.Generator] = []
        self.rows: list[list[tuple[np.ndarray, np.ndarray, int]]] = []

    def begin(self, worlds: np.ndarray) -> None:
        numbers = len(self.rows) + np.arange(len(worlds))
        self._running[worlds] = numbers
        self._state[torch.from_numpy(np.asarray(worlds))] = 0.0
        self.rows += [[] for _ in worlds]
        self._rngs += [np.random.Generator(np.random.PCG64([*self._seed, int(number)])) for number in numbers]

    @torch.no_grad()
    def decide(self, world: World) -> np.ndarray:
        active = np.flatnonzero(world.active)
        seen = self._policy.contract.seen(world.observation, active) | {_STATE: self._state[active].numpy()}
        said = in_blocks(self._step, seen)
        self._state[active] = torch.from_numpy(said[_STATE])
        actions = np.zeros(world.num_worlds, dtype=np.int64)
        for row, index in enumerate(active):
            number = self._running[index]
            logits = said["logits"][row] + self._cautions[number] * said["added"][row]
            actions[index] = self._choose(logits, self._rngs[number])
            self.rows[number].append((said["read"][row].astype(np.float16), said["logits"][row], int(actions[index])))
        return actions

    def _choose(self, logits: np.ndarray, rng: np.random.Generator) -> int:
        noise = rng.gumbel(size=logits.shape)  # the largest of logits plus it is a draw from their distribution
        best = int(np.argmax(logits))
        return best if best == STOP else 1 + int(np.argmax((logits / self._temperature + noise)[1:]))

    def _step(self, block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        observation = {name: torch.from_numpy(array) for name, array in block.items()}
        state = observation.pop(_STATE)
        perceived = self._policy.perceive(self._policy.features(observation))
        read, state, _ = self._policy.mind.step(perceived, state, observation[names.EPISODE_START])
        logits, added = self._policy.heads(read)[0], self._head(read, torch.ones(len(read), 1))
        return {"read": read.numpy(), "logits": logits.numpy(), "added": added.numpy(), _STATE: state.numpy()}


def draw_episodes(
    policy: Policy, world: World, seeds: Sequence[int], cautions: Sequence[float], seed: tuple[int, ...],
    temperature: float = 1.0,
) -> list[Draw]:  # fmt: skip
    """Run episodes with drawn actions.

    Args:
        policy: with a head of preferences and discrete actions.
        world: whose task they are of.
        seeds: of the episodes; the same one several times gives several draws from one start.
        cautions: where the knob stands in each.
        seed: of the draws.
        temperature: of the draws.

    Returns:
        One for each of `seeds`; the same whatever the number of worlds.
    """
    drawer = _Drawer(policy.eval(), world.num_worlds, cautions, seed, temperature)
    bystander = Bystander(drawer, world.num_worlds)
    results = run_episodes(world, bystander, seeds)
    return [
        Draw(result, ride, caution, *_stacked(rows))
        for result, ride, caution, rows in zip(results, bystander.rides, cautions, drawer.rows)
    ]


def _stacked(rows: list[tuple[np.ndarray, np.ndarray, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    read, logits, actions = zip(*rows)
    return torch.from_numpy(np.stack(read)), torch.from_numpy(np.stack(logits)), torch.tensor(actions)
