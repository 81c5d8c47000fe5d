"""Whether the exported file decides as the trained network does, over whole episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.export.engines import Engine
from phonotaxis.policies.policy import ExportablePolicy, Policy

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Flip:
    """A step at which the two chose differently.

    Attributes:
        step: index of the step.
        row: index within the batch.
        expected: PyTorch's action.
        received: the engine's action.
        margin: by how much PyTorch preferred its action to the engine's; a rounding difference has a tiny
            one.
    """

    step: int
    row: int
    expected: int
    received: int
    margin: float


@dataclass
class Origin:
    """Where a difference of logits or means comes from: the largest differences, over the same steps.

    Attributes:
        engine: of the engine from the network in float64, each with its own memory.
        reference: of PyTorch in float32 from it, likewise.
        step: of the engine from PyTorch where it begins each step with PyTorch's memory.
    """

    engine: float = 0.0
    reference: float = 0.0
    step: float = 0.0


@dataclass
class ParityReport:
    """Differences between PyTorch and an engine.

    Attributes:
        frames: steps times batch.
        largest: largest absolute difference of each output.
        flips: steps at which the discrete action differed.
        sums: of absolute differences of each output, float64, so that a million frames don't blur the mean.
        counts: of the numbers summed.
        origin: of the differences; None where there was no witness.
        episodes: the largest difference of logits or means in each, where they were told apart.
    """

    frames: int = 0
    largest: dict[str, float] = field(default_factory=dict)
    flips: list[Flip] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict, repr=False)
    counts: dict[str, int] = field(default_factory=dict, repr=False)
    origin: Origin | None = None
    episodes: list[float] = field(default_factory=list, repr=False)

    def note_origin(self, expected: Outputs, received: Outputs, exact: Outputs, stepped: Outputs) -> None:
        """Add one step: of PyTorch, the engine, the network in float64, and the engine from PyTorch's memory."""
        name = _decides(expected)
        origin = self.origin = self.origin or Origin()
        origin.engine = max(origin.engine, _largest(exact[name], received[name]))
        origin.reference = max(origin.reference, _largest(exact[name], expected[name]))
        origin.step = max(origin.step, _largest(expected[name], stepped[name]))

    def note_episode(self, number: int, expected: Outputs, received: Outputs) -> None:
        """Add one step to the episode of this number, the next one at most."""
        name = _decides(expected)
        if number == len(self.episodes):
            self.episodes.append(0.0)
        self.episodes[number] = max(self.episodes[number], _largest(expected[name], received[name]))

    def episodes_over(self, bound: float) -> int:
        """Return in how many episodes some difference was larger."""
        return sum(largest > bound for largest in self.episodes)

    @property
    def median_episode(self) -> float:
        """Median over the episodes of the largest difference in each; 0 where they weren't told apart."""
        return float(np.median(self.episodes)) if self.episodes else 0.0

    @property
    def mean(self) -> dict[str, float]:
        """Mean absolute difference of each output."""
        return {name: self.sums[name] / self.counts[name] for name in self.sums}

    def flips_over(self, margin: float) -> list[Flip]:
        """Return the flips by a larger margin."""
        return [flip for flip in self.flips if flip.margin > margin]

    @property
    def action_agreement(self) -> float:
        """Fraction of frames with the same discrete action, in [0, 1]."""
        return 1.0 - len(self.flips) / self.frames if self.frames else 1.0

    @property
    def largest_difference(self) -> float:
        """Largest absolute difference over all outputs but the action."""
        return max((value for name, value in self.largest.items() if name != names.ACTION), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {
            "frames": self.frames,
            "action_agreement": self.action_agreement,
            "largest_difference": self.largest_difference,
            "largest": self.largest,
            "mean": self.mean,
            "flips": [vars(flip) for flip in self.flips],
        }


def compare(policy: Policy, engine: Engine, observations: Iterable[dict[str, np.ndarray]]) -> ParityReport:
    """Run both over the same observations, each with its own memory.

    Args:
        policy: the trained network.
        engine: with the bundle exported from it.
        observations: one dictionary a step, arrays [batch, *shape] of `contract.observations()`.
            `episode_start` says where the memories are cleared; the batch size stays the same throughout.

    Returns:
        The differences; float64 sums, so that a million frames don't blur the mean.

    Raises:
        EngineError: an observation doesn't fit the contract.
        ValueError: the batch size changes or there are no observations.
    """
    exportable = ExportablePolicy(policy)
    was_training = policy.training
    exportable.eval()
    try:
        with torch.no_grad():
            return _compare(exportable, engine, observations)
    finally:
        policy.train(was_training)


def _compare(
    exportable: ExportablePolicy, engine: Engine, observations: Iterable[dict[str, np.ndarray]]
) -> ParityReport:
    report, contract = ParityReport(), exportable.policy.contract
    torch_state = engine_state = np.zeros(0, dtype=np.float32)
    for step, observation in enumerate(observations):
        batch = len(observation[names.EPISODE_START])
        if step == 0:
            torch_state = engine_state = np.zeros((batch, *contract.state_shape), dtype=np.float32)
        if batch != len(torch_state):
            raise ValueError(f"step {step} has {batch} rows, earlier ones {len(torch_state)}; keep the batch fixed")
        expected = _run_torch(exportable, contract.feed(observation, torch_state))
        received = engine.run(contract.feed(observation, engine_state))
        torch_state, engine_state = expected[names.STATE_OUT], received[names.STATE_OUT]
        note(report, expected, received)
        report.flips += flips(step, expected, received)
    if not report.frames:
        raise ValueError("no observations to compare on")
    return report


def _run_torch(exportable: ExportablePolicy, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    device = exportable.policy.device
    tensors = [torch.as_tensor(inputs[name]).to(device) for name in exportable.input_names]
    return {name: value.cpu().numpy() for name, value in zip(exportable.output_names, exportable(*tensors))}


def note(report: ParityReport, expected: dict[str, np.ndarray], received: dict[str, np.ndarray]) -> None:
    """Add the differences of one step's outputs, [batch, *shape] each, to a report."""
    report.frames += len(expected[names.ACTION])
    for name, value in expected.items():
        difference = np.abs(value.astype(np.float64) - received[name])
        report.largest[name] = max(report.largest.get(name, 0.0), float(difference.max()))
        report.sums[name] = report.sums.get(name, 0.0) + float(difference.sum())
        report.counts[name] = report.counts.get(name, 0) + difference.size


def _decides(outputs: Outputs) -> str:
    return names.LOGITS if names.LOGITS in outputs else names.MEAN


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float64) - other).max())


def flips(step: int, expected: dict[str, np.ndarray], received: dict[str, np.ndarray]) -> list[Flip]:
    """List the rows in which the discrete action differs; none with continuous actions."""
    if names.LOGITS not in expected:
        return []
    found = []
    for row in np.flatnonzero(expected[names.ACTION] != received[names.ACTION]):
        ours, theirs = int(expected[names.ACTION][row]), int(received[names.ACTION][row])
        logits = expected[names.LOGITS][row]
        found.append(Flip(step, int(row), ours, theirs, float(logits[ours] - logits[theirs])))
    return found
