"""The queue between the loop and the log's thread: bounded, never waited for, and it counts what it turns away."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from phonotaxis.deploy.clock import now_ns

MAX_RECORDS = 4000  # about half a minute; bytes are bounded beside it


@dataclass(frozen=True, eq=False)
class Record:
    """A message on its way to the file.

    Attributes:
        topic: one of `messages`' topics.
        log_ns: monotonic time at which it reached the runtime.
        publish_ns: monotonic time at which it was captured or decided.
        sequence: modulo 2^32.
        encode: makes the message's bytes; called in the log's thread.
        size: of what it holds in memory, bytes, about.
    """

    topic: str
    log_ns: int
    publish_ns: int
    sequence: int
    encode: Callable[[], bytes]
    size: int


class RecordQueue:
    """First in, first out. `put` returns at once, whatever the disk does.

    Attributes:
        dropped: records turned away since the beginning, by topic.
        most_records: the most that ever waited.
        most_bytes: likewise.
        longest_wait_ns: from `put` to `get`.
    """

    def __init__(self, max_bytes: int, gap: Callable[[dict[str, int]], Record]) -> None:
        """Begin empty.

        Args:
            max_bytes: that may wait; a single record may be larger.
            gap: makes the record that stands where others were turned away, from their number by topic.
        """
        self.dropped: Counter[str] = Counter()
        self.most_records = self.most_bytes = self.longest_wait_ns = 0
        self._gap = gap
        self._max_bytes = max_bytes
        self._missing: Counter[str] = Counter()
        self._items: deque[tuple[int, Record]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, record: Record) -> bool:
        """Append a record; False if it was turned away because the queue is full or closed."""
        with self._changed:
            # a record over the bound is taken alone: a disk that is quick has no part in it
            full = self._bytes + record.size > self._max_bytes and len(self._items) > 0
            full = full or len(self._items) >= MAX_RECORDS
            if full or self._closed:
                self.dropped[record.topic] += 1
                self._missing[record.topic] += 1
                return False
            if self._missing:
                self._append(self._gap(dict(self._missing)))
                self._missing.clear()
            self._append(record)
            self._changed.notify()
        return True

    def _append(self, record: Record) -> None:
        self._items.append((now_ns(), record))
        self._bytes += record.size
        self.most_records = max(self.most_records, len(self._items))
        self.most_bytes = max(self.most_bytes, self._bytes)

    def get(self, timeout_s: float) -> Record | None:
        """Return the oldest record; None if none came in time, or the queue is closed and empty."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout_s)
            if not self._items:
                return None
            put_ns, record = self._items.popleft()
            self._bytes -= record.size
            self.longest_wait_ns = max(self.longest_wait_ns, now_ns() - put_ns)
            return record

    def close(self) -> None:
        """Take no more; what waits can still be got."""
        with self._changed:
            if self._missing and not self._closed:
                self._append(self._gap(dict(self._missing)))
                self._missing.clear()
            self._closed = True
            self._changed.notify()

    @property
    def ended(self) -> bool:
        """Closed and empty."""
        return self._closed and not self._items

    @property
    def waiting(self) -> int:
        """Number of records that wait."""
        return len(self._items)

    @property
    def fullness(self) -> float:
        """Share of the bound that is in use, of records or bytes, whichever is more."""
        return max(len(self._items) / MAX_RECORDS, self._bytes / self._max_bytes)
