"""Episodes seen in a mirror: what is met of an apartment is met of its mirror image too, which is another apartment.

Sound and light know no left and right. So what a robot hears, sees and does in a room is, with left and right
exchanged, what it would hear, see and do in the room's mirror image, with its array's mirror image (and its camera's,
which therefore has to look out from the body's middle). The features of a policy are laid out alike whatever the array,
so that the exchange is one of their numbers' places and signs, and costs nothing; the policy that is taught so says
"left" where the world's robot turns right.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from phonotaxis.configs import contract as names
from phonotaxis.envs.hashing import fold, key_of, unit
from phonotaxis.policies.audio_front_end import AudioLayout
from phonotaxis.policies.doubt import LEFT, RIGHT
from phonotaxis.policies.front_ends import MOTION_FEATURES

_MIRROR = 0x6D6972
_ASIDE = [1, 2, 4]  # of the features of motion: to the left, turned left, turning left


def seen_in_a_mirror(seeds: np.ndarray, share: float) -> np.ndarray:
    """Say which episodes are, bool [k], by their seeds, int [k]; about `share` of them."""
    return np.asarray(_drawn(np.asarray(seeds, dtype=np.int64)) < share)


@njit(cache=True)
def _drawn(seeds: np.ndarray) -> np.ndarray:
    """Return a uniform number in [0, 1) for each seed."""
    return np.array([unit(fold(key_of(seed), _MIRROR)) for seed in seeds])


class Mirror:
    """Exchanges left and right in some of a batch's rows; what is exchanged twice is as it was.

    Args:
        layout: of the features of sound.
    """

    def __init__(self, layout: AudioLayout) -> None:
        azimuths = np.arange(layout.azimuths)
        bands = np.arange(layout.bands)[:, None] * layout.azimuths
        turned = (bands + -azimuths % layout.azimuths).ravel()
        rest = np.arange(turned.size, layout.size)
        self._sound = torch.from_numpy(np.concatenate([turned, rest]))

    def features(self, features: dict[str, Tensor], rows: np.ndarray) -> dict[str, Tensor]:
        """Return the features of `Policy.features`, [batch, ...], with rows int [k] exchanged."""
        if not rows.size:
            return features
        where = torch.from_numpy(rows)
        exchanged = {name: features[name].clone() for name in (names.AUDIO, names.DEPTH, MOTION_FEATURES)}
        exchanged[names.AUDIO][where] = exchanged[names.AUDIO][where][:, self._sound]
        exchanged[names.DEPTH][where] = exchanged[names.DEPTH][where].flip(-1)
        exchanged[MOTION_FEATURES][where[:, None], torch.tensor(_ASIDE)] *= -1.0
        return features | exchanged

    @staticmethod
    def by_action(numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return numbers [batch, actions], as regrets are, with those of the turns exchanged in rows int [k]."""
        exchanged = numbers.copy()
        exchanged[rows, LEFT], exchanged[rows, RIGHT] = numbers[rows, RIGHT], numbers[rows, LEFT]
        return exchanged

    @staticmethod
    def actions(actions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return actions, int [batch], with the turns exchanged in rows int [k]."""
        exchanged = actions.copy()
        exchanged[rows] = np.where(actions[rows] == LEFT, RIGHT, np.where(actions[rows] == RIGHT, LEFT, actions[rows]))
        return exchanged
