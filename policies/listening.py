"""Listening: what was heard before says how what is heard now is to be read.

A window of a quarter of a second shows from where sound comes, but hardly which of it is sought: that a noise is
steady, that a tone comes back every second, that something has fallen silent, shows over many. Units that keep what
the windows told, some for long and some for short, scale and shift what each direction shows (FiLM, Perez et al. 2018)
before a likelihood is made of it, and have a say in how far away the source is and how much the window is trusted.
"""

from __future__ import annotations

from torch import Tensor, nn

from phonotaxis.policies.memory import leak, leaking


class Listening(nn.Module):
    """What was heard, kept by units that see the windows alone (`memory.leak`).

    Attributes:
        size: of the state.
        inputs: length of what one moment gives.
    """

    def __init__(self, fused: int, size: int, units: int, told: int) -> None:
        """Build the layers.

        Args:
            fused: length of the vector of all senses.
            size: of the state.
            units: that each direction shows, to be scaled and shifted.
            told: numbers that are added to what a window tells.
        """
        super().__init__()
        self.size, self.inputs = size, 2 * size
        self.take = leaking(fused, size)
        self.heed = nn.Linear(size, 2 * units + told)
        self._parts = [units, units, told]
        # Nothing is heeded at first: a policy that doesn't listen goes on as it was when it begins to.
        nn.init.zeros_(self.heed.weight)
        nn.init.zeros_(self.heed.bias)

    def unroll(
        self, given: Tensor, state: Tensor, shown: Tensor, told: Tensor, episode_start: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take several steps.

        Args:
            given: float32 [time, batch, inputs], `take` of each moment.
            state: float32 [batch, size] before the first step.
            shown: float32 [time, batch, azimuths, units], of each direction.
            told: float32 [time, batch, told].
            episode_start: float32 [time, batch, 1].

        Returns:
            `shown` and `told` as they are to be read, and the state after each step, float32 [time, batch, size].
        """
        states = leak(given, state, 1.0 - episode_start)
        scale, shift, more = self.heed(states).split(self._parts, dim=-1)
        shown = shown * (1.0 + scale[:, :, None]) + shift[:, :, None]
        return shown, told + more, states
