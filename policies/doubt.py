"""What actions cost a pupil in doubt, beside what they cost the expert, who never is.

The expert knows where the source is, so it never takes back a turn, never goes round in circles, and never has to
choose between the likeliest place and none. A pupil that imitates its costs alone does the first two where it is in
doubt, and never the third. The expert's own way costs no more by this: it doesn't lead to where this counts.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.envs.world import World
from phonotaxis.policies.expert import WRONG_STOP_REGRET

LEFT, RIGHT = 2, 3
UNDO_REGRET = 1.0
LOITER_REGRET = 1.0
FORWARD_MAKES_GOOD = 4.0  # turns
CIRCLES, MOST_CIRCLES = 0.75, 1.5  # turned in one place: from where on it costs, and where it costs all
SETTLED_REGRET = 1.0  # of a wrong stop, when nothing has been heard for long
SILENCE_S = (10.0, 50.0)  # in which the regret of a wrong stop falls to that


def undoing_regrets(world: World) -> np.ndarray:
    """Say what it costs to take back the last turn, float32 [worlds, actions].

    No good way has a left turn after a right one, so a reversal loses what both cost. Told so, a policy in doubt goes
    on turning the way it turns, and looks all round, instead of dithering where it stands.
    """
    turned = world.observation[names.MOTION][:, 4]
    regrets = np.zeros((world.num_worlds, world.contract.num_actions), dtype=np.float32)
    regrets[turned > 0, RIGHT] = UNDO_REGRET
    regrets[turned < 0, LEFT] = UNDO_REGRET
    return regrets


class Loitering:
    """Counts turns in one place, which cost from three quarters of a circle on.

    Having looked all round a pupil has heard what can be heard there. Told that more turns cost something, it goes
    forward where it is in doubt, and hears something new.

    Args:
        worlds: how many.
        turn_deg: of a turn.
    """

    def __init__(self, worlds: int, turn_deg: float) -> None:
        self._turns = np.zeros(worlds)
        self._circle = 360.0 / turn_deg

    def begin(self, worlds: np.ndarray) -> None:
        """Forget what was turned in these worlds."""
        self._turns[worlds] = 0.0

    def act(self, actions: np.ndarray) -> None:
        """Count; actions int [worlds], of `contract.DiscreteActions`."""
        turned = (actions == LEFT) | (actions == RIGHT)
        counted = self._turns + np.where(turned, 1.0, -FORWARD_MAKES_GOOD)
        self._turns = counted.clip(0.0, MOST_CIRCLES * self._circle)

    def regrets(self, actions: int) -> np.ndarray:
        """Say what another turn costs, float32 [worlds, actions]."""
        beyond = (self._turns / self._circle - CIRCLES) / (MOST_CIRCLES - CIRCLES)
        regrets = np.zeros((self._turns.size, actions), dtype=np.float32)
        regrets[:, [LEFT, RIGHT]] = LOITER_REGRET * beyond.clip(0.0, 1.0)[:, None]
        return regrets


def settling(world: World, regrets: np.ndarray) -> np.ndarray:
    """Let a wrong stop cost less once nothing has been heard for long.

    In silence nothing more is to be learnt of where the source was: who waits for certainty runs out of time, and the
    likeliest place is worth more than none.

    Args:
        world: whose episodes are asked when they fall silent.
        regrets: float32 [worlds, actions], of `expert.action_regrets`.

    Returns:
        The regrets, float32 [worlds, actions].
    """
    ends_s = np.array([np.inf if episode is None else episode.ends_s for episode in world.episodes])
    silent_s = np.maximum(world.steps * world.contract.control_period_s - ends_s, 0.0)
    share = ((silent_s - SILENCE_S[0]) / (SILENCE_S[1] - SILENCE_S[0])).clip(0.0, 1.0)
    settled = regrets.copy()
    settled[:, 0] = np.minimum(regrets[:, 0], WRONG_STOP_REGRET + (SETTLED_REGRET - WRONG_STOP_REGRET) * share)
    return settled
