"""A button to arm the robot with, a Linux input device: held, it arms; pressed while the robot is armed, it disarms.

The guardian reads it, and does what a person at its socket may ask for, on the same conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phonotaxis.deploy.clock import NS_PER_S
from phonotaxis.deploy.input_device import EV_KEY, EV_SYN, PRESSED, RELEASED, SYN_DROPPED, InputDevice

if TYPE_CHECKING:
    from phonotaxis.configs.devices import ArmButtonConfig


class ArmButton:
    """The button.

    A hold counts from when the press was read to when no release has been: a guardian that was held up reads both at
    once and arms nothing. What was held when the device came, or went, counts for nothing either.

    Attributes:
        notices: level and text of what a person should know, to hand on and take out.
    """

    def __init__(self, config: ArmButtonConfig, at_ns: int) -> None:
        """Open the device, if it is there."""
        self._device = InputDevice(config.device, "arm button", at_ns)
        self._code, self._hold_ns = config.key_code, int(config.hold_s * NS_PER_S)
        self._held_since_ns: int | None = None
        self.notices = self._device.notices

    def request(self, armed: bool, at_ns: int) -> str:
        """Read what was pressed since the last call; never waits.

        Args:
            armed: the robot is.
            at_ns: monotonic time, later than all that can be read.

        Returns:
            What the person asks for: `arm`, `disarm` or nothing.
        """
        asked = ""
        for kind, code, value in self._device.events(at_ns):
            if kind == EV_KEY and value == PRESSED and armed:
                asked = "disarm"  # by any key: who reaches for it in haste may miss
                self._held_since_ns = None
            elif (kind, code, value) == (EV_KEY, self._code, PRESSED):
                self._held_since_ns = at_ns
            elif (kind, code, value) == (EV_KEY, self._code, RELEASED) or (kind, code) == (EV_SYN, SYN_DROPPED):
                self._held_since_ns = None
        if not self._device.present:
            self._held_since_ns = None
        if asked or self._held_since_ns is None or at_ns - self._held_since_ns < self._hold_ns:
            return asked
        self._held_since_ns = None  # once for a hold
        return "" if armed else "arm"

    def close(self) -> None:
        """Let go of the device."""
        self._device.close()
