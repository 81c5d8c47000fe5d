"""The thread that writes an episode: rotation, retention, and what it does when a disk is slow, full or gone."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phonotaxis.configs.robot import LogConfig
from phonotaxis.deploy import messages
from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.container import Container
from phonotaxis.deploy.record_queue import Record, RecordQueue
from phonotaxis.deploy.retention import part_path, prune_to
from phonotaxis.deploy.service import notify

LOG_GAP_EVENTS = ("log_dropped", "log_resumed")  # replay begins anew behind them
LOG_CUT_EVENT = "log_cut"  # the last event of a mended copy, whose original ends there in the middle of a run
SYNC_NS = NS_PER_S  # a power cut costs at most this much
RETRY_NS = NS_PER_S
CLOSE_TIMEOUT_S = 10.0
ALIVE_S = 1.0  # while the end is waited for the service manager's watchdog is told that often
SLOW, QUICK = 0.5, 0.1  # of the queue's bound: above the first the disk is called slow, below the second no more


def event_record(level: str, event: str, message: str, data: dict[str, Any]) -> Record:
    """Make the record of a health event that happens now."""
    at_ns = now_ns()
    fields = messages.health_dict(at_ns, level, event, message, data)
    return Record(messages.HEALTH_TOPIC, at_ns, at_ns, 0, lambda: messages.encode_json(fields), 1000)


def _gap(missing: dict[str, int]) -> Record:
    count = sum(missing.values())
    return event_record("error", "log_dropped", f"the disk can't keep up: {count} record(s) are missing here", missing)


class LogThread:
    """Takes records from the queue to the file until it is closed.

    Attributes:
        queue: where records are put.
        trouble: why nothing can be written now; None while all is well.
        failure: why nothing more is written at all; only where the configuration says `stop`.
    """

    def __init__(self, first: Path, metadata: Callable[[int], dict[str, str]], limits: LogConfig) -> None:
        """Create the first file and start.

        Args:
            first: path of the episode's first file.
            metadata: gives the head's texts of a part, from its number.
            limits: of the robot's configuration.

        Raises:
            OSError: the file exists, or can't be created or written.
        """
        self.trouble: str | None = None
        self.failure: str | None = None
        self.queue = RecordQueue(int(limits.queue_mb * 1e6), _gap)
        self._first, self._metadata, self._limits = first, metadata, limits
        self._part = 0
        self._written = self._bytes = self._refused = self._pruned = 0
        self._lost: Counter[str] = Counter()
        self._lost_now: Counter[str] = Counter()
        self._slow = False
        self._container: Container | None = self._open()
        self._opened_ns = self._synced_ns = self._tried_ns = now_ns()
        self._thread = threading.Thread(target=self._work, name="episode-writer", daemon=True)
        self._thread.start()

    def _open(self) -> Container:
        folder, part = self._first.parent, self._part + 1
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while part > 1 and part_path(self._first, part).exists():
            part += 1
        container = Container(part_path(self._first, part), self._metadata(part))
        self._part = part
        self._pruned += len(prune_to(folder, self._limits))
        return container

    @property
    def path(self) -> Path:
        """Path of the file that is being written, or was last."""
        return part_path(self._first, self._part)

    def counters(self) -> dict[str, int | float]:
        """Return what was written, what waited and what was lost."""
        container = self._container
        now_bytes = 0 if container is None else container.file.tell()
        return {
            "records": self._written,
            "bytes": self._bytes + now_bytes,
            "parts": self._part,
            "dropped": sum(self.queue.dropped.values()),
            "lost": sum(self._lost.values()),
            "refused": self._refused,
            "most_waiting": self.queue.most_records,
            "most_waiting_bytes": self.queue.most_bytes,
            "longest_wait_ms": self.queue.longest_wait_ns * 1e-6,
            "files_pruned": self._pruned,
        }

    def _work(self) -> None:
        while not self.queue.ended:
            record = self.queue.get(0.25)
            self._safely(self._recover)
            self._safely(self._take, record)
            self._safely(self._maintain, record)
        self._safely(self._finish)

    def _safely(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001 - a thread that died would lose all that follows, and nobody knew
            self._fail(error)

    def _take(self, record: Record | None) -> None:
        if record is None:
            return
        if self._container is None:
            self._lose(record)
            return
        try:
            self._add(self._container, record)
        except (ValueError, TypeError, OverflowError) as error:  # a number that isn't finite, say
            self._refused += 1
            said = event_record("error", "log_refused", f"a record of {record.topic} can't be written: {error}", {})
            self._add(self._container, said)
        except Exception:
            self._lose(record)
            raise

    def _lose(self, record: Record) -> None:
        self._lost_now[record.topic] += 1
        self._lost[record.topic] += 1

    def _add(self, container: Container, record: Record) -> None:
        container.add(record.topic, record.log_ns, record.publish_ns, record.sequence, record.encode())
        self._written += 1

    def _maintain(self, record: Record | None) -> None:
        if self._container is None:
            return
        fullness = self.queue.fullness
        if self._slow != (fullness > (QUICK if self._slow else SLOW)):
            self._slow = not self._slow
            if self._slow:
                text = f"the disk is slow: the log's queue is {100 * fullness:.0f} % full"
                self._take(event_record("warning", "log_slow", text, self.counters()))
        at_ns = now_ns()
        if at_ns - self._synced_ns > SYNC_NS:
            self._container.file.check_exists()
            self._container.file.sync()
            self._synced_ns = at_ns
        if record is not None and self._due_for_rotation(record, at_ns):
            self._rotate()

    def _due_for_rotation(self, record: Record, at_ns: int) -> bool:
        """Between two steps if possible, so that each part begins with all that its first step needs."""
        assert self._container is not None
        share = max(
            self._container.file.tell() / (self._limits.rotate_mb * 1e6),
            (at_ns - self._opened_ns) / (self._limits.rotate_minutes * 60 * NS_PER_S),
        )
        return share > 1.1 or (share > 1.0 and record.topic == messages.STEP_TOPIC)

    def _rotate(self) -> None:
        self._finish()
        self._container = self._open()
        self._opened_ns = now_ns()

    def _fail(self, error: Exception) -> None:
        """Say what happened in the file itself if a few hundred bytes still fit, and close it as it is."""
        disk = isinstance(error, OSError)
        what = str(error) if disk else f"{type(error).__name__}: {error}"
        hint = "free space or choose another folder" if disk else "this is a defect, please report it"
        self.trouble = f"{self.path}: the episode can't be written any more ({what}); {hint}"
        if self._limits.on_failure == "stop":
            self.failure = self.trouble
            self.queue.close()  # what waits and what still comes is counted
        self._tried_ns = now_ns()
        container, self._container = self._container, None
        if container is None:
            return
        container.file.last_words = True
        said = event_record("error", "log_failed", self.trouble, {})
        with contextlib.suppress(OSError):  # then the message reaches the person through the runtime
            if disk:  # behind a defect the writer itself may hold half a record
                container.add(said.topic, said.log_ns, said.publish_ns, 0, said.encode())
        self._bytes += container.file.tell()
        with contextlib.suppress(OSError):
            container.file.close()

    def _recover(self) -> None:
        """Begin a new part, at most once a second, where the last one failed."""
        waits = now_ns() - self._tried_ns < RETRY_NS
        if self._container is not None or self.failure is not None or waits:
            return
        self._tried_ns = now_ns()
        try:
            container = self._open()
        except OSError:
            return
        lost = dict(self._lost_now)
        text = f"the episode goes on; {sum(lost.values())} record(s) are lost ({self.trouble})"
        said = event_record("error", "log_resumed", text, lost)
        self._container, self.trouble = container, None
        self._opened_ns = now_ns()
        self._add(container, said)
        self._lost_now.clear()

    def _finish(self) -> None:
        """Write the end of the file, where there is one."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.close()
        finally:
            self._bytes += container.file.tell()

    def close(self) -> None:
        """Write what waits and the end of the file, while the disk takes any of it. May be called more than once."""
        self.queue.close()
        waiting, took_ns = self.queue.waiting, now_ns()
        while self._thread.is_alive() and now_ns() - took_ns < CLOSE_TIMEOUT_S * NS_PER_S:
            notify("WATCHDOG=1")  # a slow disk is no hang: what waits would be lost, and the end of the file
            self._thread.join(min(ALIVE_S, CLOSE_TIMEOUT_S))
            if self.queue.waiting != waiting:
                waiting, took_ns = self.queue.waiting, now_ns()
        if self._thread.is_alive():
            self.failure = (
                f"{self.path}: the disk took nothing for {CLOSE_TIMEOUT_S:g} s; the last {waiting} record(s), or what "
                "was written since it was last synchronised, may be missing"
            )
