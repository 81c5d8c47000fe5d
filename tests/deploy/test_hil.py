"""The loop closed: the runtime as the process it is, PulseAudio, GStreamer and a serial line, and a world of ours."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay import check
from phonotaxis.hil.loop import Running, run_episode


@pytest.fixture
def loop(toy: SimpleNamespace, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))  # short: sockets' paths are limited

    def run(seconds: float, script: Any = None, stop_after: float = 1e6, **world: Any) -> SimpleNamespace:
        contract = toy.contract()
        bundle = toy.bundle(tmp_path / "toy.onnx", contract, stop_after, eager=9.0)
        episode = run_episode(toy.world(contract, **world), bundle.path, tmp_path / "episodes", seconds, script)
        return SimpleNamespace(episode=episode, bundle=bundle)

    return run


def test_an_unmodified_robot_hears_sees_drives_and_stops(loop: Any) -> None:
    done = loop(20.0, stop_after=12.0)
    episode = done.episode
    said = [(event["event"], event["message"]) for event in read_episode(episode.path).health()]
    assert episode.outcome == "goal_reached", said
    assert episode.summary["loaded_modules_forbidden"] == []
    assert episode.windows[-1].result.pose[0] > 0.3  # it did drive
    assert (episode.events[-1].v_mps, episode.events[-1].w_radps) == (0.0, 0.0)
    log = read_episode(episode.path)
    # what it heard is what was rendered, sample by sample, from the first one on
    heard = np.concatenate([block.samples for block in log.audio()], axis=1)
    rendered = np.concatenate([window.result.audio_int16 for window in episode.windows], axis=1)
    quiet = 4 * 4000
    count = min(heard.shape[1] - quiet, rendered.shape[1])
    assert count > 20_000
    np.testing.assert_array_equal(heard[:, quiet : quiet + count], rendered[:, :count])
    assert check(episode.path, done.bundle).ok
    steps = log.steps()
    armed = next(i for i, step in enumerate(steps) if step["episode_start"] == 1.0 and i > 0)
    assert armed == 4  # the first step of the world: the person armed in the window before
    assert np.median([step["depth_age_s"] for step in steps[armed:]]) < 0.1


def _moving(running: Running) -> None:
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        if running.stage.chassis.events and running.stage.chassis.events[-1].v_mps > 0.5:
            return
        time.sleep(0.005)
    pytest.fail("it never moved")


def _stopped_after_ms(running: Running, since_ns: int) -> float:
    deadline_s = time.monotonic() + 5.0
    while time.monotonic() < deadline_s:
        stopped_ns = running.stage.chassis.stopped_ns(since_ns)
        if stopped_ns is not None and time.monotonic_ns() - stopped_ns > 300_000_000:
            return (stopped_ns - since_ns) * 1e-6
        time.sleep(0.01)
    pytest.fail("the wheels did not stop")


def _kill_runtime(running: Running) -> None:
    running.process.kill()


def _kill_guardian(running: Running) -> None:
    os.kill(running.guardian_pid, signal.SIGKILL)


def _hang_guardian(running: Running) -> None:
    os.kill(running.guardian_pid, signal.SIGSTOP)


def _hang_runtime(running: Running) -> None:
    running.process.send_signal(signal.SIGSTOP)


FAULTS = {
    # three times the goal: 100 ms; dead man of 200 ms + 50 ms; 1.5 periods + 50 ms
    "policy process dead": (_kill_runtime, 300.0),
    "policy process stopped": (_hang_runtime, 3 * 425.0),
    "guardian dead": (_kill_guardian, 3 * 250.0),
    "guardian stopped": (_hang_guardian, 3 * 250.0),
    "port unplugged": (lambda running: running.stage.chassis.unplug(), 3 * 250.0),
    "sound server killed": (lambda running: running.stage.pulse.kill(), 3 * 300.0),
    "camera unplugged": (lambda running: running.stage.camera.close(), 3 * 650.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_stops_the_wheels(loop: Any, name: str) -> None:
    break_it, within_ms = FAULTS[name]

    def script(running: Running) -> dict[str, Any]:
        _moving(running)
        at_ns = time.monotonic_ns()
        break_it(running)
        stopped_ms = _stopped_after_ms(running, at_ns)
        for pid in (running.guardian_pid, running.process.pid):
            if running.process.poll() is None:
                os.kill(pid, signal.SIGCONT) if Path(f"/proc/{pid}").exists() else None
        running.stage.stop.set()
        return {"stopped_ms": stopped_ms}

    episode = loop(30.0, script, wall_m=60.0).episode
    assert episode.facts["stopped_ms"] < within_ms
    assert read_episode(episode.path).scan.whole_bytes > 0
