"""Actions as what a drive is asked for."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.contract import Contract, DiscreteActions


def setpoints(contract: Contract, worlds: int, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read actions as velocity setpoints.

    Args:
        contract: that says what the actions are.
        worlds: how many there are.
        actions: int [worlds], or float [worlds, 3] for continuous actions.

    Returns:
        v [worlds] m/s, w [worlds] rad/s, stop [worlds] bool.

    Raises:
        ValueError: wrong shape, or an action outside the contract's range.
    """
    kind = contract.actions
    if isinstance(kind, DiscreteActions):
        if actions.shape != (worlds,) or not np.issubdtype(actions.dtype, np.integer):
            raise ValueError(f"expected integer actions [{worlds}], got {actions.dtype} {list(actions.shape)}")
        if actions.min() < 0 or actions.max() >= len(kind.names):
            raise ValueError(f"actions must lie in 0..{len(kind.names) - 1}, got {actions.min()}..{actions.max()}")
        table = np.array(kind.setpoints)
        return table[actions, 0], table[actions, 1], actions == 0
    if actions.shape != (worlds, 3) or not np.isfinite(actions).all():
        raise ValueError(f"expected finite actions [{worlds}, 3], got {list(actions.shape)}")
    values = np.clip(actions.astype(np.float64), -1.0, 1.0)
    stop = values[:, 2] > 0.0
    v_mps, w_radps = values[:, 0] * contract.body.max_v_mps, values[:, 1] * contract.body.max_w_radps
    return np.where(stop, 0.0, v_mps), np.where(stop, 0.0, w_radps), stop
