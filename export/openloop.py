"""Open loop: engines beside a reference on the same observations, each with its own memory, one row at a time.

A batch of one is what a robot runs, so that is what is compared. A memory can make much of little: where an engine
differs, a witness in float64 says which of the two rounds, and a step from the reference's own memory says how much of
it a step makes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import Contract
from phonotaxis.export.parity import Flip, ParityReport, flips, note
from phonotaxis.policies.policy import ExportablePolicy, Policy

Step = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
_REFERENCE, _WITNESS = "reference", "witness"  # beside the engines' names


def torch_step(policy: Policy) -> Step:
    """Return PyTorch in eager mode as an engine's `run`."""
    exportable = ExportablePolicy(policy.eval())

    def step(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = [torch.from_numpy(inputs[name]) for name in exportable.input_names]
        with torch.inference_mode():
            values = exportable(*tensors)
        return {name: value.numpy() for name, value in zip(exportable.output_names, values)}

    return step


def float64_step(policy: Policy) -> Step:
    """Return the network in float64 as an engine's `run`, with memory and outputs in float64."""
    double = ExportablePolicy(copy.deepcopy(policy).eval().double())

    def step(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = [torch.from_numpy(inputs[name]).double() for name in double.input_names]
        torch.set_default_dtype(torch.float64)  # of what the network makes on its way
        try:
            with torch.inference_mode():
                values = double(*tensors)
        finally:
            torch.set_default_dtype(torch.float32)
        return {name: value.numpy() for name, value in zip(double.output_names, values)}

    return step


class OpenLoop:
    """Feeds observations to a reference and to engines.

    Attributes:
        reports: differences from the reference, by engine's name.
        action: what the reference said last, [episodes, *shape].
    """

    def __init__(
        self,
        contract: Contract,
        reference: Step,
        engines: Mapping[str, Step],
        episodes: int,
        witness: Step | None = None,
        seen_closely: str = "fp32",
        caution: float = 0.0,
    ) -> None:
        """Begin with cleared memories for so many episodes at once.

        Args:
            contract: of all.
            reference: the network.
            engines: by name.
            episodes: at once.
            witness: `float64_step` of the network.
            seen_closely: engine that is held against the witness too, and steps from the reference's memory.
            caution: where the knob stands, of a policy that has one.
        """
        self._reference, self._engines, self._contract = reference, dict(engines), contract
        self._caution = caution
        self._witness, self._close = witness, seen_closely if witness is not None else ""
        self.reports = {name: ParityReport() for name in engines}
        shape = (episodes, 1, *contract.state_shape)
        self._states = {name: np.zeros(shape, dtype=np.float32) for name in (_REFERENCE, *engines)}
        self._states[_WITNESS] = np.zeros(shape, dtype=np.float64)
        action = contract.outputs()[0]
        self.action = np.zeros((episodes, *action.shape), dtype=action.dtype)
        self._steps = np.zeros(episodes, dtype=np.int64)
        self._numbers = np.full(episodes, -1, dtype=np.int64)  # of the episode that each row is in, of all begun

    def add(self, observation: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        """Take a step of some of the episodes.

        Args:
            observation: arrays [episodes, *shape] of `contract.observations()`.
            rows: the episodes that are going on, int [n].
        """
        for row in rows.tolist():
            seen = self._contract.seen(observation, np.array([row]), self._caution)
            if self._numbers[row] < 0 or observation[names.EPISODE_START][row].any():
                self._numbers[row] = self._numbers.max() + 1
            before = self._states[_REFERENCE][row].copy()
            expected = self._step(_REFERENCE, self._reference, seen, row)
            exact = None if self._witness is None else self._step(_WITNESS, self._witness, seen, row)
            self.action[row] = expected[names.ACTION][0]
            for name, engine in self._engines.items():
                received = self._step(name, engine, seen, row)
                if exact is not None and name == self._close:
                    stepped = engine(self._contract.feed(seen, before))
                    self.reports[name].note_origin(expected, received, exact, stepped)
                note(self.reports[name], expected, received)
                self.reports[name].note_episode(int(self._numbers[row]), expected, received)
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
