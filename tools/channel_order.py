"""How soon exchanged and inverted channels are noticed in simulated walks, and how near sound in order comes to it.

.venv/bin/python tools/channel_order.py --array respeaker_usb_v2 --noisy
"""

from __future__ import annotations

import argparse

import numpy as np

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.noise import Noise, RobotNoise
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.unit_variation import UnitVariation
from phonotaxis.deploy.channel_order import CERTAIN, OrderWatch
from phonotaxis.deploy.devices import AudioBlock
from phonotaxis.envs.world import World
from phonotaxis.policies.evaluate import unseen

BLOCK = 160
NOISY = {
    "noise": Noise(diffuse_dba=40.0, robot=RobotNoise(motor_dba_at_full_speed=50.0, fan_dba=30.0)),
    "unit": UnitVariation(gain_std_db=1.0, delay_std_us=5.0, position_std_m=0.001),
}


def walks(task: AudioGoalTask, worlds: int, steps: int, seed: int) -> np.ndarray:
    """Return what is heard on walks that turn now and then, int16 [worlds, mics, samples]."""
    world, rng = World(task, worlds, 1), np.random.default_rng(seed)
    world.begin(np.arange(worlds), np.arange(worlds) + 7000 * (seed + 1))
    heard, actions = [], np.ones(worlds, dtype=np.int64)
    for _ in range(steps):
        heard.append(np.round(world.observation["audio"] * 32768.0).astype(np.int16))
        turns = (world.observation["motion"][:, 5] > 0) | (rng.random(worlds) < 0.25)
        actions = np.where(turns, rng.integers(2, 4, worlds), np.where(rng.random(worlds) < 0.6, 1, actions))
        world.step(actions)
    return np.concatenate(heard, axis=2)


def listen(watch: OrderWatch, array: MicrophoneArray, samples: np.ndarray) -> tuple[float, float]:
    """Return after how many milliseconds something was noticed, infinite if never, and the most evidence."""
    most = 0.0
    for at in range(0, samples.shape[1] - BLOCK + 1, BLOCK):
        block = np.zeros((array.device_channels, BLOCK), dtype=np.int16)
        block[list(array.channel_map)] = samples[:, at : at + BLOCK]
        said = watch(AudioBlock(block, at, at * 62_500))
        most = max(most, watch.evidence)
        if said:
            return (at + BLOCK) / 16.0, most
    return float("inf"), most


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--array", default="respeaker_usb_v2")
    parser.add_argument("--noisy", action="store_true", help="of room and motors, and microphones that differ")
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tries", type=int, default=6, help="in each walk, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    task = presets.load("tasks", "audiogoal", AudioGoalTask).model_copy(update={"array": options.array})
    task = unseen(task.model_copy(update=NOISY if options.noisy else {}))
    array, rng = task.microphone_array(), np.random.default_rng(options.seed)
    heard = walks(task, options.worlds, options.steps, options.seed)
    plain = [listen(OrderWatch(array, 16000), array, walk) for walk in heard]
    alarms = sum(np.isfinite(ms) for ms, _ in plain)
    print(f"in order: {alarms} false alarm(s) in {heard.shape[2] * len(heard) / 16000 / 60:.1f} minutes, most evidence "
          f"{max(most for _, most in plain):.2f} of the {CERTAIN} that count")  # fmt: skip
    pairs = [pair for pair, _ in OrderWatch(array, 16000).exchanges]
    for kind in ("exchanged", "inverted"):
        delays_ms = []
        for walk in heard:
            for _ in range(options.tries):
                at = int(rng.integers(8000, walk.shape[1] - 16_000))
                wrong = walk[:, at : at + 16_000].copy()
                if kind == "exchanged":
                    a, b = pairs[rng.integers(len(pairs))]
                    wrong[[a, b]] = wrong[[b, a]]
                else:
                    mic = rng.integers(len(wrong))
                    wrong[mic] = -np.maximum(wrong[mic], -32767)
                delays_ms.append(listen(OrderWatch(array, 16000), array, wrong)[0])
        found = np.array(delays_ms)
        print(f"{kind}: noticed after {np.median(found):.0f} ms (median of {len(found)}), within 300 ms "
              f"{(found <= 300).mean():.0%}, within 1000 ms {(found <= 1000).mean():.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
