"""Replay golden episodes of another machine here, and compare; needs no more than the robot has.

    python check_golden.py FOLDER...  prints one JSON object; exits 1 where a decision differs beyond its margin

A folder holds `policy.onnx` and the episodes (.mcap) that it was recorded in.

Two comparisons: the replay proper, step by step from the logged state; and the recurrence, in which this machine
carries its own state from the first step to the last.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.deploy import replay
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.deploy.steps import PolicyRunner
from phonotaxis.export.bundle import Bundle, read_bundle
from phonotaxis.export.engines import Engine, open_engine


def recurrence(path: Path, bundle: Bundle, engine: Engine) -> dict[str, Any]:
    """Carry the state over a whole episode; returns differences of the logits, and flipped actions with margins."""
    runner, largest, steps, margins = PolicyRunner(bundle.contract, engine), 0.0, 0, list[float]()
    first = names.LOGITS if "logits" in [spec.name for spec in bundle.contract.outputs()] else names.MEAN
    for found in replay.replayed(read_episode(path)):
        if found.due is None:
            raise SystemExit(f"{path}: samples are missing; golden episodes are whole")
        said, outputs = runner.run(found.observation), found.logged["outputs"]
        theirs = decode_tensor(outputs[first]).astype(np.float64)
        largest = max(largest, float(np.abs(theirs - said[first]).max()))
        steps += 1
        if first == names.LOGITS:
            action = int(decode_tensor(outputs[names.ACTION]))
            if action != int(said[names.ACTION]):
                margins.append(float(theirs[action] - theirs[int(said[names.ACTION])]))
    return {"steps": steps, "largest_difference": largest, "flipped_margins": margins}


def checked(folder: Path) -> dict[str, dict[str, Any]]:
    """Check all episodes of a folder; each result says whether it `agrees`."""
    bundle = read_bundle(folder / "policy.onnx")
    engine = open_engine(bundle)
    found = {}
    for path in sorted(folder.glob("*.mcap")):
        report = replay.check(path, bundle, engine)
        own = recurrence(path, bundle, engine)
        unexplained = [margin for margin in own["flipped_margins"] if margin > 2.0 * own["largest_difference"]]
        agrees = report.ok and not unexplained and own["largest_difference"] < replay.TOLERANCE
        stages = {stage.name: str(stage) for stage in report.stages}
        found[f"{folder.name}/{path.name}"] = own | {
            "agrees": agrees,
            "same_engine": report.same_engine,
            "replay": str(report),
            "replay_largest_difference": report.largest_difference,
            "stages": stages,
            "engine": engine.fingerprint,
        }
    return found


def main(folders: list[Path]) -> int:
    """Check all episodes of all folders."""
    found = {name: result for folder in folders for name, result in checked(folder).items()}
    agrees = bool(found) and all(result["agrees"] for result in found.values())
    print(json.dumps({"machine": platform.machine(), "agrees": agrees, "episodes": found}, indent=1))
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
