"""Renews the golden episodes of `tests/golden` on the code as it is, and writes down where they come from.

Usage: python tools/renew_golden.py [--train MINUTES]

Without --train the policy stays and the episodes are recorded anew: after a change that is meant to change what the
robot sees, decides or lets through. With it a small policy is trained first: after a change of the contract or of
the network. `robot.mcap` is a run of the runtime and its guardian on a simulated robot, in real time; `rollout.mcap`
is written by the simulator itself. What changed is to be told in the commit that brings new ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from phonotaxis.commands.provenance import provenance
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.demo.robot import drive_simulated_robot
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.recover import recover
from phonotaxis.deploy.replay import check
from phonotaxis.deploy.rollout import RolloutStep, write_rollout
from phonotaxis.deploy.steps import PolicyRunner
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import Bundle, read_bundle, write_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.figures import commit
from phonotaxis.policies.checkpoint import load_checkpoint
from phonotaxis.policies.evaluate import unseen
from phonotaxis.policies.imitation import ImitationTrainer

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
MOST_BYTES = 1_000_000  # of a file
ROLLOUT_STEPS, ROBOT_S = 24, 5.0
ROLLOUT_SEED, ROBOT_SEED = 11, 3
SMALL = PolicyConfig(
    audio_hidden=80, audio_size=56, depth_channels=(12, 24), depth_size=40, motion_size=16, memory_size=96,
    head_hidden=32,
)  # fmt: skip
TOLERANCE = (
    "1e-5 relative to the larger of 1 and the logged number; another action only where its logit's margin is below "
    "2e-5: ONNX Runtime differs by 4e-8 between thread counts and by some 1e-6 between CPU feature sets"
)


def task() -> AudioGoalTask:
    """Return the task of the golden policy and episodes."""
    return AudioGoalTask(scenes=SceneSet(count=32), sources_per_scene=2)


def train(minutes: float, folder: Path) -> None:
    """Train a small policy into `tests/golden/policy.onnx`."""
    trainer = ImitationTrainer(
        ImitationConfig(task=task(), policy=SMALL, seed=0, minutes=minutes, validate_every_minutes=0.0), folder
    )
    policy = trainer.run(lambda progress: None)
    write_bundle(GOLDEN / "policy.onnx", export_policy(policy, provenance(load_checkpoint(folder))))


def rollout(bundle: Bundle, runner: PolicyRunner) -> Iterator[RolloutStep]:
    """Yield the steps of one episode of the simulator, of a scene that training has not had."""
    world = World(unseen(task()), num_worlds=1)
    world.begin(np.array([0]), np.array([ROLLOUT_SEED]))
    for _ in range(ROLLOUT_STEPS):
        seen = {spec.name: world.observation[spec.name][0].copy() for spec in bundle.contract.observations()}
        outputs = runner.run(seen)
        yield RolloutStep(seen, outputs)
        if not world.active[0] or int(outputs["action"]) == 0:
            return
        world.step(outputs["action"].reshape(1))


def record(bundle: Bundle, folder: Path) -> None:
    """Record both episodes."""
    engine = open_engine(bundle)
    plain = folder / "rollout.mcap"
    steps = rollout(bundle, PolicyRunner(bundle.contract, engine))
    write_rollout(plain, bundle, dict(engine.fingerprint), steps, scene_seed=ROLLOUT_SEED)
    shutil.copy(bundle.path, folder / "policy.onnx")
    drive = drive_simulated_robot(unseen(task()), ROBOT_SEED, folder, ROBOT_S, say=print)
    for source, name in ((plain, "rollout.mcap"), (drive.episode, "robot.mcap")):
        target = GOLDEN / name
        target.unlink(missing_ok=True)
        recover(source, target, compress=True)
        target.chmod(0o644)


def describe(bundle: Bundle) -> dict[str, object]:
    """Check the new files, and return what `golden.json` says of them."""
    files = {}
    for name in ("policy.onnx", "robot.mcap", "rollout.mcap"):
        data = (GOLDEN / name).read_bytes()
        if len(data) > MOST_BYTES:
            raise SystemExit(f"{name}: {len(data)} bytes, over {MOST_BYTES}; record less")
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    for name in ("robot.mcap", "rollout.mcap"):
        report = check(GOLDEN / name, bundle)
        print(f"{name}: {report}")
        if not report.ok:
            raise SystemExit(1)
        episode = read_episode(GOLDEN / name)
        actions = [step["action_name"] for step in episode.steps()]
        files[name] |= {
            "engine": episode.info.engine,
            "versions": json.loads(episode.metadata["versions"]),
            "steps": report.steps,
            "stages": {stage.name: stage.compared for stage in report.stages},
            "actions": {action: actions.count(action) for action in sorted(set(actions))},
        }
    return {
        "command": "python tools/renew_golden.py",
        "commit": commit(),
        "policy_provenance": {key: bundle.provenance.get(key) for key in ("commit", "counters")},
        "tolerance": TOLERANCE,
        "files": files,
    }


def main() -> int:
    """Renew the golden files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=float, metavar="MINUTES", help="train a policy first")
    minutes = parser.parse_args().train
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="phonotaxis-golden-") as name:
        folder = Path(name)
        if minutes is not None:
            train(minutes, folder / "train")
        bundle = read_bundle(GOLDEN / "policy.onnx")
        record(bundle, folder)
    text = json.dumps(describe(bundle), indent=2) + "\n"
    (GOLDEN / "golden.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
