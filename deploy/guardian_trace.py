"""What the guardian was told, and when it decided: all that a replay needs to decide the same again.

The guardian's decisions are a function of the messages that it got and a person's requests, the times at which it
got them, the times of its ticks and what the drive answered to them. Each status carries those since the last one, as

    {"first": number of the first event, "events": [[tick_ns], [heard_ns, message], ...], "left": not yet sent}

so that a status that was lost on the way shows as a jump in the numbers.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

TRACE_LOST_EVENT = "trace_lost"  # a health event: the statuses that follow can't be recomputed
MAX_EVENTS = 4000  # more than a minute of a runtime that doesn't listen
MAX_TRACE_BYTES = 3000  # of a status, which is one packet
MAX_MOTIONS = 20  # of an event, some 95 bytes each: one that didn't fit would keep all that follow it from being sent


class GuardianTrace:
    """Gathers events until they are sent."""

    def __init__(self) -> None:
        self._events: deque[str] = deque()
        self._first = 0
        self._offered = 0

    def heard(self, at_ns: int, message: dict[str, Any]) -> None:
        """Take note of a message that the guardian handled, or another event with a `type`."""
        self._add(json.dumps([at_ns, message], separators=(",", ":")))

    def ticked(self, at_ns: int) -> None:
        """Take note of a tick to which the drive answered nothing."""
        self._add(f"[{at_ns}]")

    def _add(self, event: str) -> None:
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self._first += 1
        self._events.append(event)

    def offer(self) -> dict[str, Any]:
        """Return the oldest events, as many as fit into a status; `sent` then forgets them."""
        size, count = 0, 0
        for event in self._events:
            size += len(event) + 1
            if size > MAX_TRACE_BYTES:
                break
            count += 1
        self._offered = count
        events = [json.loads(self._events[index]) for index in range(count)]
        return {"first": self._first, "events": events, "left": len(self._events) - count}

    def sent(self) -> None:
        """Forget what was offered last: it is on its way."""
        for _ in range(self._offered):
            self._events.popleft()
        self._first += self._offered
        self._offered = 0
