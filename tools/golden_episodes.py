"""Record golden episodes of a policy on this machine, for another machine to replay.

    python tools/golden_episodes.py FOLDER [--policy POLICY.onnx] [--episodes 3] [--steps 40]

Writes `policy.onnx` and `episode-N.mcap`. Without --policy the network has random weights, scaled so that its decisions
differ from step to step: what is compared is arithmetic, not skill.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.configs.goal import nothing_named
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.deploy.rollout import RolloutStep, write_rollout
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import Bundle, open_bundle, read_bundle, write_bundle
from phonotaxis.export.check import task_of
from phonotaxis.export.engines import Engine, open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.policies.policy import Policy

_SEED = 5_000_000


def random_policy(task: AudioGoalTask) -> Bundle:
    """Make a bundle of a network with random weights that decides differently from step to step."""
    torch.manual_seed(3)
    policy = Policy(task.contract()).eval()
    with torch.no_grad():
        policy.heads.action[-1].weight.mul_(50.0)
    return open_bundle(export_policy(policy, {}))


def rollout(world: World, engine: Engine, bundle: Bundle, seed: int, steps: int) -> Iterator[RolloutStep]:
    """Act through one episode, or so many steps of it; a stop is replaced by a step forward."""
    world.begin(np.array([0]), np.array([seed]))
    state = bundle.initial_state()
    for _ in range(steps):
        seen = {name: value.copy() for name, value in bundle.contract.seen(world.observation, np.array([0])).items()}
        said = engine.run(bundle.contract.feed(seen, state))
        state = said[names.STATE_OUT]
        yield RolloutStep(
            {key: value[0] for key, value in seen.items()}, {key: value[0] for key, value in said.items()}
        )
        action = said[names.ACTION]
        outcome = world.step(np.where(action == 0, 1, action) if action.ndim == 1 else action)
        if outcome.terminated[0] or outcome.truncated[0]:
            return


def main(arguments: list[str] | None = None) -> int:
    """Record from the command line."""
    parser = argparse.ArgumentParser(description="Record golden episodes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.policy is None:
        task = AudioGoalTask(scenes=SceneSet(count=4))
        bundle = random_policy(task)
    else:
        bundle = read_bundle(options.policy)
        task = task_of(bundle)
    write_bundle(options.folder / "policy.onnx", bundle.data)
    engine, world = open_engine(bundle), World(task, 1)
    for number in range(options.episodes):
        path = options.folder / f"episode-{number}.mcap"
        path.unlink(missing_ok=True)
        steps = rollout(world, engine, bundle, _SEED + number, options.steps)
        goal = None if bundle.contract.goal is None else nothing_named()
        write_rollout(path, bundle, dict(engine.fingerprint), steps, goal=goal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
