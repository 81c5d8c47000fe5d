"""Open loop: engines beside a reference on the same observations, each with its own memory, one row at a time.

A batch of one is what a robot runs, so that is what is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.export.parity import Flip, ParityReport, flips, note
from phonotaxis.policies.policy import ExportablePolicy, Policy

Step = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def torch_step(policy: Policy) -> Step:
    """Return PyTorch in eager mode as an engine's `run`."""
    exportable = ExportablePolicy(policy.eval())

    def step(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = [torch.from_numpy(inputs[name]) for name in exportable.input_names]
        with torch.inference_mode():
            values = exportable(*tensors)
        return {name: value.numpy() for name, value in zip(exportable.output_names, values)}

    return step


class OpenLoop:
    """Feeds observations to a reference and to engines.

    Attributes:
        reports: differences from the reference, by engine's name.
        action: what the reference said last, [episodes, *shape].
    """

    def __init__(self, contract: Contract, reference: Step, engines: Mapping[str, Step], episodes: int) -> None:
        """Begin with cleared memories for so many episodes at once."""
        self._reference, self._engines, self._contract = reference, dict(engines), contract
        self.reports = {name: ParityReport() for name in engines}
        shape = (episodes, 1, *contract.state_shape)
        self._states = {name: np.zeros(shape, dtype=np.float32) for name in ("", *engines)}
        action = contract.outputs()[0]
        self.action = np.zeros((episodes, *action.shape), dtype=action.dtype)
        self._steps = np.zeros(episodes, dtype=np.int64)

    def add(self, observation: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        """Take a step of some of the episodes.

        Args:
            observation: arrays [episodes, *shape] of `contract.observations()`.
            rows: the episodes that are going on, int [n].
        """
        specs = self._contract.observations()
        for row in rows.tolist():
            seen = {spec.name: np.ascontiguousarray(observation[spec.name][row : row + 1]) for spec in specs}
            expected = self._step("", self._reference, seen, row)
            self.action[row] = expected[names.ACTION][0]
            for name, engine in self._engines.items():
                received = self._step(name, engine, seen, row)
                note(self.reports[name], expected, received)
                for flip in flips(int(self._steps[row]), expected, received):
                    self.reports[name].flips.append(Flip(flip.step, row, flip.expected, flip.received, flip.margin))
            self._steps[row] += 1

    def _step(self, name: str, step: Step, seen: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
        outputs = step(self._contract.feed(seen, self._states[name][row]))
        self._states[name][row] = outputs[names.STATE_OUT]
        return outputs


class OpenLoopDecider:
    """Drives worlds by the reference while the engines look on; see `policies.rollout.Decider`."""

    def __init__(self, loop: OpenLoop) -> None:
        self.loop = loop

    def begin(self, worlds: np.ndarray) -> None:
        """Nothing: `episode_start` in the observation clears the memories, as on a robot."""

    def decide(self, world: object) -> np.ndarray:
        """Take the reference's action in every active world."""
        active: np.ndarray = world.active  # type: ignore[attr-defined]
        self.loop.add(world.observation, np.flatnonzero(active))  # type: ignore[attr-defined]
        return self.loop.action.copy()
