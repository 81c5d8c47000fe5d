"""Collection for DAgger: the policy drives more and more, the expert says what each action would have cost."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import Lane
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.threads import Crew, cores
from phonotaxis.envs.world import World
from phonotaxis.policies.chunks import Chunk
from phonotaxis.policies.doubt import Loitering, settling, undoing_regrets
from phonotaxis.policies.episode_seeds import first_seed
from phonotaxis.policies.expert import WRONG_STOP_REGRET, action_regrets
from phonotaxis.policies.kept_library import kept_library, of_few_scenes
from phonotaxis.policies.policy import Policy

_SPELL_STEPS = 12.0  # mean length of a spell of one driver: long enough to get out of a corner


@dataclass
class Collected:
    """One round: the chunk, and the episodes that ended in it, by lane."""

    chunk: Chunk
    results: list[list[EpisodeResult]]


class TaskWorlds:
    """The worlds of one lane: they show, are acted in, and begin anew.

    Args:
        lane: task, number of worlds and where episodes are cut.
        policy: of the task's own contract, whose front ends are used.
        first: seed of the first episode.
        store: folder in which sound fields outlive the training; None for none.
        builders: who builds scenes and traces fields; None does it in one thread.
    """

    def __init__(
        self, lane: Lane, policy: Policy, first: int, store: str | None = None, builders: Crew | None = None
    ) -> None:
        self.lane = lane
        self.policy = policy.eval()
        task = of_few_scenes(lane.task, lane.scene_count)
        self.world = World(task, lane.worlds, library=kept_library(task, store), builders=builders)
        self.loitering = Loitering(lane.worlds, task.turn_deg)
        self.episodes = 0
        self._first_seed = first
        self._begin(np.arange(lane.worlds))

    def _begin(self, worlds: np.ndarray) -> None:
        self.loitering.begin(worlds)
        self.world.begin(worlds, self._first_seed + self.episodes + np.arange(worlds.size))
        self.episodes += worlds.size

    def features(self) -> dict[str, torch.Tensor]:
        """Run the front ends on what is seen."""
        observation = {name: torch.from_numpy(array) for name, array in self.world.observation.items()}
        return self.policy.features(observation)

    def labels(self, regrets: np.ndarray) -> dict[str, torch.Tensor]:
        """Say what the expert knows, and where episodes have just begun."""
        world = self.world
        return {
            "episode_start": torch.from_numpy(world.observation[names.EPISODE_START].copy()),
            "regrets": torch.from_numpy(self._in_doubt(regrets)),
            "bearing_rad": torch.from_numpy(world.bearing_rad.astype(np.float32)),
            "range_m": torch.from_numpy(world.range_m.astype(np.float32)),
            "distance_m": torch.from_numpy(world.distance_m.astype(np.float32)),
            "to_go": torch.from_numpy(world.actions_to_go().astype(np.float32)),
        }

    def _in_doubt(self, regrets: np.ndarray) -> np.ndarray:
        told = settling(self.world, regrets) + undoing_regrets(self.world)
        return told + self.loitering.regrets(told.shape[1])

    def act(self, actions: np.ndarray) -> list[EpisodeResult]:
        """Take a step in every world; what ends begins anew."""
        world = self.world
        self.loitering.act(actions)
        outcome = world.step(actions)
        done = outcome.terminated | outcome.truncated | (world.steps >= self.lane.episode_steps)
        ended = np.flatnonzero(done)
        results = [world.result(int(index)) for index in ended]
        if ended.size:
            self._begin(ended)
        return results


class Collector:
    """Steps the worlds of all lanes with a mixture of policy and expert.

    Who drives changes from spell to spell. When it is the policy, half of the worlds take its best action and half
    draw from it, so that the buffer holds both what it will do and what it might. A stop in the wrong
    place is not taken: it would end the episode where it begins to teach.

    Args:
        config: of the training.
        policy: the collector's own copy; the trainer refreshes its weights between rounds.
        fields: folder in which sound fields outlive the training; None for none.
    """

    def __init__(self, config: ImitationConfig, policy: Policy, fields: str | None = None) -> None:
        self.config = config
        self.policy = policy.eval()
        self.rng = np.random.Generator(np.random.PCG64([0x636F6C, config.seed]))
        self.state = policy.initial_state(config.worlds)
        self.lanes: list[TaskWorlds] = []
        builders = Crew(cores())  # a field takes as long as a hundred steps, for which the learner would wait: it helps
        for number, lane in enumerate(config.all_lanes):
            own = policy if number == 0 else Policy(lane.task.contract(), config.policy)
            own.front_ends.understanding = policy.front_ends.understanding  # the only front end that has learnt
            self.lanes.append(TaskWorlds(lane, own, first_seed(config.seed, number), fields, builders))
        self._cuts = np.cumsum([lane.lane.worlds for lane in self.lanes])[:-1]
        self._by_expert = np.ones(config.worlds, dtype=np.bool_)
        self._greedy = np.arange(config.worlds) % 2 == 0

    @torch.no_grad()
    def collect(self, expert_share: float) -> Collected:
        """Step every world through one chunk.

        Args:
            expert_share: probability that a spell is the expert's, 0..1.
        """
        rows: list[dict[str, torch.Tensor]] = []
        features: list[dict[str, torch.Tensor]] = []
        results: list[list[EpisodeResult]] = [[] for _ in self.lanes]
        state_before = self.state.clone()
        for _ in range(self.config.chunk):
            seen = _joined([lane.features() for lane in self.lanes])
            regrets = [action_regrets(lane.world, self.config.stop_within) for lane in self.lanes]
            labels = _joined([lane.labels(own) for lane, own in zip(self.lanes, regrets)])
            output = self.policy.step(seen, self.state, labels["episode_start"])
            self.state = output.state
            features.append({name: value.half() for name, value in seen.items()})
            rows.append(labels)
            actions = self._choose(output.logits, np.concatenate(regrets), expert_share)
            for lane, own, found in zip(self.lanes, np.split(actions, self._cuts), results):
                found.extend(lane.act(own))
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        chunk = Chunk(
            features={name: torch.stack([row[name] for row in features]) for name in features[0]},
            state=state_before,
            **stacked,
        )
        return Collected(chunk, results)

    def _choose(self, logits: torch.Tensor, regrets: np.ndarray, expert_share: float) -> np.ndarray:
        scores = logits.numpy().astype(np.float64)
        noise = self.rng.gumbel(size=scores.shape)  # the largest of logits plus Gumbel noise is a draw from softmax
        scores = np.where(self._greedy[:, None], scores, scores + noise)
        wrong_stop = regrets[:, 0] >= WRONG_STOP_REGRET
        scores[wrong_stop, 0] = -np.inf
        change = self.rng.random(len(scores)) < 1.0 / _SPELL_STEPS
        draw = self.rng.random(len(scores)) < expert_share
        self._by_expert = np.where(change, draw, self._by_expert)
        return np.where(self._by_expert, regrets.argmin(axis=1), scores.argmax(axis=1))


def _joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Put the lanes' tensors one after the other along their first axis."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


_collector: Collector | None = None  # of this process, where it is a collecting one
_begun: tuple[ImitationConfig, str | None] | None = None  # what it is made of


def start_collector(config: ImitationConfig, fields: str | None, parent: int) -> None:
    """Prepare this process for collecting; signals to end are the parent's business, its death ends this one.

    Worlds are made in the first round: what is wrong with a task reaches the parent from there, and not from here.

    Args:
        config: of the training.
        fields: folder in which sound fields outlive the training; None for none.
        parent: process that this one ends with.
    """
    global _begun
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # a terminal and a batch system send them to the whole group
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    _begun = config, fields


def collect_round(weights: dict[str, np.ndarray], expert_share: float) -> Collected:
    """Collect one round in this process with these weights, see `Collector.collect`."""
    global _collector
    if _begun is None:
        raise RuntimeError("start_collector has not run in this process")
    if _collector is None:
        config, fields = _begun
        torch.manual_seed(config.seed)
        _collector = Collector(config, Policy(config.task.contract(), config.policy), fields)
    _collector.policy.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    collected = _collector.collect(expert_share)
    return collected


def _end_with(parent: int) -> None:
    """End this process soon after its parent, however that ended: a killed training leaves nothing running."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
