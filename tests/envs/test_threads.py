"""The simulator leaves other libraries' threads alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

from phonotaxis.envs import threads
from phonotaxis.envs.threads import Crew

CODE = """
import numpy as np, torch
torch.set_num_threads({threads})
assert torch.get_num_threads() == {threads}  # torch applies it when first asked in a thread
{first}
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.envs.world import World
task = AudioGoalTask(
    scenes=SceneSet(source="empty_room", count=1), sources_per_scene=1, min_distance_m=1.5,
    sounds=SoundSet(instances_per_kind=1), response_s=0.05,
)
world = World(task, 2, threads=2)
world.begin(np.arange(2), np.arange(2))
world.step(np.array([1, 2]))
print(torch.get_num_threads())
"""
RESPONSE = """
from phonotaxis.envs import acoustics, scenes
acoustics.impulse_response(scenes.load("empty_room"), (1.0, 1.0, 1.0), (3.0, 3.0, 0.5), length_s=0.05)
"""


@pytest.mark.parametrize(("threads", "first"), [(1, RESPONSE), (3, "")], ids=["response", "three"])
def test_torch_keeps_the_threads_it_was_given(threads: int, first: str) -> None:
    """The simulator starts threads of its own, and must not set those of torch."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    code = CODE.format(threads=threads, first=first)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == threads


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_a_crew_does_each_number_once(threads: int, count: int) -> None:
    done = np.zeros(count, dtype=np.int64)

    def work(share: np.ndarray) -> None:
        done[share] += 1

    Crew(threads).share(work, np.arange(count))
    assert (done == 1).all()


def test_what_a_share_raises_is_raised_when_all_have_ended() -> None:
    done: list[int] = []

    def work(share: np.ndarray) -> None:
        if 0 in share:
            raise RuntimeError("share of 0")
        done.extend(share.tolist())

    with pytest.raises(RuntimeError, match="share of 0"):
        Crew(2).share(work, np.arange(8))
    assert sorted(done) == list(range(2, 8))


def test_a_crew_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        Crew(0)


def test_a_share_that_ends_a_thread_ends_the_work() -> None:
    """What isn't an error, as `SystemExit`, isn't swallowed where another thread meets it."""

    def work(share: np.ndarray) -> None:
        time.sleep(0.05)
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit("enough")

    with pytest.raises(SystemExit, match="enough"):
        Crew(2).share(work, np.arange(8))


def test_shares_get_smaller_and_the_one_who_asks_works_too() -> None:
    sizes: list[int] = []
    workers: set[threading.Thread] = set()

    def work(share: np.ndarray) -> None:
        sizes.append(share.size)
        workers.add(threading.current_thread())
        time.sleep(0.01)

    Crew(2).share(work, np.arange(64))
    assert max(sizes) == 16
    assert sizes.count(1) >= 2
    assert threading.current_thread() in workers
    assert len(workers) == 2


def _interrupted_shares(monkeypatch: pytest.MonkeyPatch, at_work: bool) -> list[int]:
    """Interrupt who asks, at work or while waiting for others; return the shares that ended, by their first number."""
    crew, begun = Crew(2), threading.Event()
    ended: list[int] = []

    def work(share: np.ndarray) -> None:
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(10.0)
            if at_work:
                raise KeyboardInterrupt
        else:
            begun.set()
            time.sleep(0.3)
        ended.append(int(share[0]))

    real, calls = threads.wait, iter(range(3))

    def interrupted(jobs: list[Future[None]]) -> object:
        if next(calls) == 0 and not at_work:
            raise KeyboardInterrupt
        return real(jobs)

    monkeypatch.setattr(threads, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crew.share(work, np.arange(8))
    before = list(ended)
    time.sleep(0.5)
    assert ended == before
    return before


def test_nobody_works_on_after_an_interruption_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C meets the one who asks: a share that another has begun ends first, the rest never begin."""
    assert len(_interrupted_shares(monkeypatch, at_work=True)) == 1


def test_nobody_works_on_after_an_interruption_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(_interrupted_shares(monkeypatch, at_work=False)) == [0, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_both_jobs_share_out_work_of_their_own(threads: int) -> None:
    crew, done = Crew(threads), np.zeros(64, dtype=np.int64)

    def job(numbers: np.ndarray) -> int:
        def work(share: np.ndarray) -> None:
            time.sleep(0.001)
            done[share] += 1

        crew.share(work, numbers)
        return int(done[numbers].sum())

    for round_number in range(1, 21):
        found = crew.both(lambda: job(np.arange(32)), lambda: job(np.arange(32, 64)))
        assert found == (32 * round_number, 32 * round_number)
