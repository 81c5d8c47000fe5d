"""One step of the policy, the same in the live loop and in replay: observation in, record out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from phonotaxis.configs.contract import (
    ACTION,
    BEARING,
    CAUTION,
    DEPTH_AGE_S,
    DISTANCE,
    EPISODE_START,
    MOTION,
    MOTION_VALID,
    STATE_OUT,
    VALUE,
    Contract,
    DiscreteActions,
)
from phonotaxis.deploy.messages import encode_tensor
from phonotaxis.deploy.observation import Due, digest
from phonotaxis.export.engines import Engine

EPISODE_START_EVENT = "episode_start"  # a health event: the memory is reset here, and replay resets it here too


class PolicyRunner:
    """An engine with the recurrent state it carries from step to step."""

    def __init__(self, contract: Contract, engine: Engine) -> None:
        self.contract = contract
        self._engine = engine
        self.state = np.zeros((1, *contract.state_shape), dtype=np.float32)

    def run(self, observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one step and keep the new state.

        Args:
            observation: one array for each of `contract.observations()`, without batch axis.

        Returns:
            One array for each of `contract.outputs()`, without batch axis.

        Raises:
            EngineError: the engine refuses the input or returns numbers that aren't finite.
        """
        inputs = {name: np.ascontiguousarray(value[None]) for name, value in observation.items()}
        outputs = self._engine.run(self.contract.feed(inputs, self.state))
        self.state = outputs[STATE_OUT]
        return {name: np.asarray(value[0]) for name, value in outputs.items()}


def action_name(contract: Contract, action: np.ndarray) -> str:
    """Return what an action is called, for people."""
    if isinstance(contract.actions, DiscreteActions):
        return contract.actions.names[int(action)]
    return "stop" if float(action[2]) > 0 else "move"


def step_dict(
    contract: Contract, due: Due, observation: dict[str, np.ndarray], outputs: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return what the log keeps of a step.

    The tensors of `outputs` are kept bit by bit; what follows repeats parts of them for people and plots.
    """
    v_mps, w_radps, stop = contract.setpoint(outputs[ACTION])
    cosine, sine, concentration = (float(x) for x in outputs[BEARING])
    return {
        "step": due.step,
        "due_ns": due.due_ns,
        "end_sample": due.end_sample,
        "observation_sha256": digest(observation),
        "outputs": {name: encode_tensor(value) for name, value in outputs.items()},
        "action_name": action_name(contract, outputs[ACTION]),
        "v_mps": v_mps,
        "w_radps": w_radps,
        "stop": stop,
        "value": float(outputs[VALUE][0]),
        "bearing_rad": math.atan2(sine, cosine),
        "bearing_concentration": concentration,
        "distance_log_m": float(outputs[DISTANCE][0]),
        "depth_age_s": float(observation[DEPTH_AGE_S][0]),
        "motion": [float(x) for x in observation[MOTION]],
        "motion_valid": float(observation[MOTION_VALID][0]),
        "episode_start": float(observation[EPISODE_START][0]),
        **({"caution": float(observation[CAUTION][0])} if CAUTION in observation else {}),
    }
