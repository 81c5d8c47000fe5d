"""Slots: places in a list that are given to what is needed, and given away once nobody uses them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

KeyType = TypeVar("KeyType", bound=Hashable)


class Slots(Generic[KeyType]):
    """Slots given to keys: kept while in use; where all are taken, the one unused for longest is given away.

    Args:
        most: slots at most, unless more are in use.

    Attributes:
        users: of each slot.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.users: list[int] = []
        self._slot: OrderedDict[KeyType, int] = OrderedDict()  # the key asked for last comes last
        self._free: list[int] = []  # found by no key any more, but perhaps still in use

    def find(self, key: KeyType) -> int | None:
        """Return a key's slot and count it as asked for, or None."""
        if key in self._slot:
            self._slot.move_to_end(key)
        return self._slot.get(key)

    def unused(self) -> list[tuple[int, KeyType | None]]:
        """Return the slots that nobody uses, with the keys that find them: first those to give away first."""
        free: list[tuple[int, KeyType | None]] = [(slot, None) for slot in self._free if self.users[slot] == 0]
        return free + [(slot, key) for key, slot in self._slot.items() if self.users[slot] == 0]

    def vacant(self) -> tuple[int, KeyType | None]:
        """Return a slot for something new, and the key it was taken from, if any."""
        unused = self.unused()
        if unused and (unused[0][1] is None or len(self.users) >= self.most):
            slot, key = unused[0]
            if key is None:
                self._free.remove(slot)
            else:
                del self._slot[key]
            return slot, key
        return len(self.users), None

    def give(self, key: KeyType, slot: int) -> None:
        """Let a key be found in a vacant slot, once what it stands for is there."""
        if slot == len(self.users):
            self.users.append(0)
        self._slot[key] = slot

    def forget(self, key: KeyType) -> None:
        """Find a key no more; its slot is vacant once nobody uses it."""
        slot = self._slot.pop(key, None)
        if slot is not None:
            self._free.append(slot)

    def found(self) -> list[KeyType]:
        """Return the keys that are found."""
        return list(self._slot)
