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
PARTS = """
from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs.acoustics.converter import Converter
zeros = lambda kind: np.zeros(1, dtype=kind)
sound, codes = np.zeros((1, 4, 9), np.float32), np.zeros((1, 4, 9), np.int16)
arguments = zeros(np.int64), sound, zeros(np.uint64), zeros(np.int64), codes
Converter(presets.load("arrays", "respeaker_usb_v2", MicrophoneArray), 16000).convert(*arguments)
"""


@pytest.mark.parametrize(
    ("threads", "first"), [(1, ""), (1, RESPONSE), (1, PARTS), (3, "")], ids=["one", "response", "parts", "three"]
)
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


def test_nobody_works_on_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C meets the one who waits: shares that have begun end first, others never begin."""
    crew, begun, may_end = Crew(2), threading.Event(), threading.Event()
    ended: list[int] = []

    def work(share: np.ndarray) -> None:
        begun.set()
        may_end.wait(10.0)
        time.sleep(0.05)
        ended.append(int(share[0]))

    real, calls = threads.wait, iter(range(2))

    def interrupted(jobs: list[Future[None]]) -> object:
        if next(calls) == 0:
            begun.wait(10.0)
            may_end.set()
            raise KeyboardInterrupt
        return real(jobs)

    monkeypatch.setattr(threads, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crew.share(work, np.arange(8))
    before = list(ended)
    time.sleep(0.2)
    assert ended == before
    assert 1 <= len(ended) < 4  # of four shares, two had begun at most
