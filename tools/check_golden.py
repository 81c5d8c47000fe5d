"""Replay golden episodes of another machine here, and compare; needs no more than the robot has.

    python check_golden.py FOLDER     prints one JSON object; exits 1 where a decision differs beyond its margin

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
    for logged, due, observation in replay.replayed(read_episode(path)):
        assert due is not None
        said = runner.run(observation)
        theirs = decode_tensor(logged["outputs"][first]).astype(np.float64)
        largest = max(largest, float(np.abs(theirs - said[first]).max()))
        steps += 1
        if first == names.LOGITS:
            action = int(decode_tensor(logged["outputs"][names.ACTION]))
            if action != int(said[names.ACTION]):
                margins.append(float(theirs[action] - theirs[int(said[names.ACTION])]))
    return {"steps": steps, "largest_difference": largest, "flipped_margins": margins}


def main(folder: Path) -> int:
    """Check all episodes of a folder."""
    bundle = read_bundle(folder / "policy.onnx")
    engine = open_engine(bundle)
    found, agreed = {}, True
    for path in sorted(folder.glob("episode-*.mcap")):
        report = replay.check(path, bundle)
        own = recurrence(path, bundle, engine)
        unexplained = [margin for margin in own["flipped_margins"] if margin > 2.0 * own["largest_difference"]]
        agreed = agreed and report.ok and not unexplained and own["largest_difference"] < replay.TOLERANCE
        found[path.name] = own | {"replay": str(report), "same_engine": report.same_engine, "replay_ok": report.ok}
    agreed = agreed and bool(found)
    print(
        json.dumps({"machine": platform.machine(), "engine": engine.fingerprint, "agrees": agreed, "episodes": found})
    )
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
