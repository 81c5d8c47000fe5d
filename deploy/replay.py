"""Replay: recompute every action of an episode from its raw samples and frames, and compare.

Where the engine's fingerprint is the one that the robot had, everything must be identical bit for bit. On
another machine or version the observations still must, and the engine's outputs may differ by `TOLERANCE`; an
action may differ only where its margin was smaller than that could bridge.

    python -m phonotaxis.deploy.replay EPISODE.mcap --policy POLICY.onnx
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import ACTION, LOGITS, MEAN, STATE_OUT, Contract
from phonotaxis.deploy import messages
from phonotaxis.deploy.episode import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode, read_episode
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.deploy.observation import Due, ObservationBuilder
from phonotaxis.deploy.steps import EPISODE_START_EVENT, PolicyRunner, step_dict
from phonotaxis.export.bundle import Bundle, BundleError, read_bundle
from phonotaxis.export.engines import EngineError, open_engine

# ONNX Runtime's outputs differ by 4e-8 between thread counts and some 1e-6 between CPU feature sets; the
# logits of a trained policy lie around 1, so 1e-3 is wide of rounding and far below a different decision.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Mismatch:
    """A step in which the log and the recomputation differ.

    Attributes:
        step: its number.
        quantity: the first that differs: `due_ns`, `observation_sha256`, `logits`, `action`, `setpoint`, ...
        logged: what stands in the log, shortened.
        computed: what came out now, shortened.
    """

    step: int
    quantity: str
    logged: str
    computed: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.quantity} differs (logged {self.logged}, computed {self.computed})"


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        episode: path of the file.
        bundle_sha256: identity of the policy.
        steps: compared.
        mismatches: one for each step that differs, in order; the first names the tampered or odd step.
        same_engine: the fingerprints are equal, so equality was asked for bit by bit.
        largest_difference: of logits or mean over all steps; 0 where all bits are equal.
        lost: what a cut file lacks, in words; empty for a whole one.
        safety_records: statements of what safety let through.
    """

    episode: str
    bundle_sha256: str
    steps: int
    mismatches: tuple[Mismatch, ...]
    same_engine: bool
    largest_difference: float
    lost: str
    safety_records: int

    @property
    def ok(self) -> bool:
        """Whether there was something to compare and all of it agreed."""
        return self.steps > 0 and not self.mismatches

    @property
    def first(self) -> Mismatch | None:
        """The first step that differs, if any."""
        return self.mismatches[0] if self.mismatches else None

    def __str__(self) -> str:
        how = "bit-identical" if self.same_engine else f"equal within {TOLERANCE:g} (another engine or machine)"
        if self.ok:
            text = f"{self.steps} steps recomputed from raw samples and frames: {how}"
        elif self.first is None:
            text = "no step to compare"
        else:
            text = f"{len(self.mismatches)} of {self.steps} steps differ; first {self.first}"
        return text + (f"; {self.lost}" if self.lost else "")


def check(episode: Path | str | Episode, bundle: Bundle) -> ReplayReport:
    """Recompute an episode and compare it with its log.

    Args:
        episode: path of the file, or what `read_episode` returned.
        bundle: the policy that the robot ran.

    Raises:
        EpisodeError: not an episode, or one of another policy.
        EngineError: the policy can't be loaded.
    """
    episode = episode if isinstance(episode, Episode) else read_episode(episode)
    if episode.info.bundle_sha256 != bundle.sha256:
        raise EpisodeError(
            f"{episode.path}: recorded with policy {episode.info.bundle_sha256[:12]}, got {bundle.path} "
            f"({bundle.sha256[:12]}); give the bundle that ran"
        )
    if episode.info.contract != bundle.contract:
        raise EpisodeError(f"{episode.path}: its contract is not that of the policy it names: it was altered")
    engine = open_engine(bundle)
    same_engine = episode.info.engine == engine.fingerprint
    comparison = _Comparison(PolicyRunner(bundle.contract, engine), exact=same_engine)
    for logged, due, observation in replayed(episode):
        comparison.step(logged, due, observation)
    return ReplayReport(
        episode=str(episode.path),
        bundle_sha256=bundle.sha256,
        steps=comparison.steps,
        mismatches=tuple(comparison.mismatches),
        same_engine=same_engine,
        largest_difference=comparison.largest_difference,
        lost=episode.what_is_lost(),
        safety_records=sum(message.topic == messages.SAFETY_TOPIC for message in episode.messages),
    )


def replayed(episode: Episode) -> Iterator[tuple[dict[str, Any], Due | None, dict[str, np.ndarray]]]:
    """Yield each logged step with what is recomputed for it: when it was due, and the observation.

    The messages are fed in the log's order, which is the order in which the robot's loop took them. A logged
    step whose samples are missing comes with None and no observation.

    Raises:
        EpisodeError: a message can't be decoded or doesn't fit the robot.
    """
    builder = ObservationBuilder(episode.info.contract, episode.info.robot, episode.info.goal)
    index = SampleIndex()
    waiting: deque[tuple[Due, dict[str, np.ndarray]]] = deque()
    for number, message in enumerate(episode.messages):
        if message.topic == messages.POSE_TOPIC:
            continue  # for viewers: nothing is computed from it
        try:
            value = decode(message, index)
            if message.topic == messages.AUDIO_TOPIC:
                waiting.extend((due, builder.observe(due)) for due in builder.add_block(value))
            elif message.topic == messages.DEPTH_TOPIC:
                builder.add_frame(value)
            elif message.topic == messages.ODOMETRY_TOPIC:
                builder.add_odometry(value)
            elif message.topic == messages.SAFETY_TOPIC:
                builder.set_allowed(float(value["v_mps"]), float(value["w_radps"]))
            elif message.topic == messages.HEALTH_TOPIC and value["event"] == EPISODE_START_EVENT:
                builder.mark_start()
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise EpisodeError(
                f"{episode.path}: message {number} on {message.topic} can't be used ({error!r})"
            ) from None
        if message.topic == messages.STEP_TOPIC:
            due, observation = waiting.popleft() if waiting else (None, {})
            yield value, due, observation


class _Comparison:
    """Goes through the steps; each is judged on its own: after a fault the state is taken from the log."""

    def __init__(self, runner: PolicyRunner, exact: bool) -> None:
        self._runner, self._exact = runner, exact
        self.steps = 0
        self.mismatches: list[Mismatch] = []
        self.largest_difference = 0.0

    def step(self, logged: dict[str, Any], due: Due | None, observation: dict[str, np.ndarray]) -> None:
        """Compare one step."""
        self.steps += 1
        number = logged.get("step")
        number = number if isinstance(number, int) else self.steps - 1
        if due is None:
            self.mismatches.append(Mismatch(number, "samples", "a step", "nothing: its samples are missing"))
            return
        outputs = self._runner.run(observation)
        computed = step_dict(self._runner.contract, due, observation, outputs)
        try:
            found = self._first_difference(logged, computed, outputs)
            if found is not None or not self._exact:
                self._runner.state = decode_tensor(logged["outputs"][STATE_OUT])[None]
        except (KeyError, TypeError, ValueError) as error:
            found = ("record", repr(error), "a step's fields")
        if found is not None:
            self.mismatches.append(Mismatch(number, *found))

    def _first_difference(
        self, logged: dict[str, Any], computed: dict[str, Any], outputs: dict[str, np.ndarray]
    ) -> tuple[str, str, str] | None:
        for key in ("step", "due_ns", "end_sample", "observation_sha256"):
            if logged[key] != computed[key]:
                return key, _short(logged[key]), _short(computed[key])
        first = LOGITS if LOGITS in outputs else MEAN
        for name in (first, *(name for name in outputs if name != first)):
            theirs = decode_tensor(logged["outputs"][name])
            if not self._agrees(name, theirs, outputs[name], logged):
                return name, _short(theirs), _short(outputs[name])
        return self._setpoint_difference(logged, computed)

    def _agrees(self, name: str, theirs: np.ndarray, ours: np.ndarray, logged: dict[str, Any]) -> bool:
        if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
            return False
        if name in (LOGITS, MEAN):
            difference = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max())
            self.largest_difference = max(self.largest_difference, difference)
        if self._exact:
            return theirs.tobytes() == ours.tobytes()
        if name == ACTION and LOGITS in logged["outputs"]:
            return int(theirs) == int(ours) or _margin(logged) < 2 * TOLERANCE
        return bool(np.allclose(theirs, ours, rtol=TOLERANCE, atol=TOLERANCE))

    def _setpoint_difference(self, logged: dict[str, Any], computed: dict[str, Any]) -> tuple[str, str, str] | None:
        """Compare what follows from the logged action itself, whoever computed that."""
        if not self._exact:
            computed = dict(computed, **_setpoint(self._runner.contract, logged))
        for key in ("action_name", "v_mps", "w_radps", "stop"):
            if (not self._exact and key == "action_name") or logged[key] == computed[key]:
                continue
            return "setpoint" if key != "action_name" else key, _short(logged[key]), _short(computed[key])
        for key in computed if self._exact else ():
            if key != "outputs" and logged[key] != computed[key]:
                return key, _short(logged[key]), _short(computed[key])
        return None


def _margin(logged: dict[str, Any]) -> float:
    logits = np.sort(decode_tensor(logged["outputs"][LOGITS]))
    return float(logits[-1] - logits[-2])


def _setpoint(contract: Contract, logged: dict[str, Any]) -> dict[str, Any]:
    v_mps, w_radps, stop = contract.setpoint(decode_tensor(logged["outputs"][ACTION]))
    return {"v_mps": v_mps, "w_radps": w_radps, "stop": stop}


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=9, threshold=6, separator=", ")
        return " ".join(text.split())
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "…"


def main(arguments: list[str] | None = None) -> int:
    """Check an episode from the command line: exit code 0 if every step agrees."""
    parser = argparse.ArgumentParser(prog="phonotaxis.deploy.replay", description="Recompute an episode.")
    parser.add_argument("episode", type=Path, help="episode (.mcap)")
    parser.add_argument("--policy", type=Path, required=True, help="the bundle that ran (.onnx)")
    options = parser.parse_args(arguments)
    try:
        report = check(options.episode, read_bundle(options.policy))
    except (EpisodeError, BundleError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"ok": report.ok, "steps": report.steps, "report": str(report)}))
    return 0 if report.ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
