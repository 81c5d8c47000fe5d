"""The loop closed: the runtime as the process it is, PulseAudio, GStreamer and a serial line, and a world of ours."""

from __future__ import annotations

import contextlib
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
from phonotaxis.hil.disk import small_disk
from phonotaxis.hil.fault_runs import HASTE, _moved_since, chosen_faults
from phonotaxis.hil.faults import FAULTS, GOES_ON
from phonotaxis.hil.loop import Running, run_episode
from phonotaxis.hil.measure import measure
from phonotaxis.hil.wall_clock import STEP_S


@pytest.fixture
def loop(toy: SimpleNamespace, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))  # short: sockets' paths are limited

    def run(
        seconds: float,
        script: Any = None,
        stop_after: float = 1e6,
        policy: Any = None,
        rate_hz: int | None = None,
        **world: Any,
    ) -> SimpleNamespace:
        contract = toy.contract()
        bundle = toy.bundle(tmp_path / "toy.onnx", contract, stop_after, eager=9.0)
        if policy is not None:
            bundle = policy(bundle, tmp_path / "broken.onnx")
        hall, episodes = toy.world(contract, **world), tmp_path / "episodes"
        episode = run_episode(hall, bundle.path, episodes, seconds, script, device_rate_hz=rate_hz)
        return SimpleNamespace(episode=episode, bundle=bundle, contract=contract)

    return run


def test_an_unmodified_robot_hears_sees_drives_and_stops(loop: Any) -> None:
    done = loop(20.0, stop_after=12.0)
    episode = done.episode
    said = [(event["event"], event["message"]) for event in read_episode(episode.path).health()]
    assert episode.outcome == "goal_reached", said
    assert ("microphones_rate", "the microphones run at 16000 Hz") in said
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


def test_a_robot_whose_array_is_resampled_hears_all_of_it_and_stops(loop: Any) -> None:
    done = loop(20.0, stop_after=12.0, rate_hz=44100)
    episode = done.episode
    log = read_episode(episode.path)
    said = [(event["event"], event["message"]) for event in log.health()]
    assert episode.outcome == "goal_reached", said
    assert ("microphones_rate", "the microphones run at 44100 Hz, resampled to 16000 Hz by soxr") in said
    assert episode.windows[-1].result.pose[0] > 0.3
    found = measure(episode, done.contract)
    assert found.blocks > 100
    assert (found.blocks_differing, found.samples_lost, found.skipped_steps) == (0, 0, 0)
    # white noise up to 8 kHz, of which the two filters take the last tenth
    assert found.difference_db is not None
    assert -20.0 < found.difference_db < -7.0
    assert check(episode.path, done.bundle).ok


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


# a full disk has a test of its own
TESTED = {
    fault.name: fault
    for fault in FAULTS
    if fault.goal_ms != GOES_ON and fault.name not in ("disk_full", "policy_interrupted")
}


@pytest.mark.parametrize("name", TESTED)
def test_a_fault_stops_the_wheels_and_what_was_captured_stays(loop: Any, name: str, tmp_path: Path) -> None:
    fault = TESTED[name]

    def script(running: Running) -> dict[str, Any]:
        _moving(running)
        at_ns = time.monotonic_ns()
        fault.happen(running)
        stopped_ms = _stopped_after_ms(running, at_ns)
        for pid in (running.guardian_pid, running.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        running.stage.stop.set()
        return {"stopped_ms": stopped_ms, "at_ns": at_ns}

    waves = name.startswith("channel")  # an order of channels is one of waves that reach them
    episode = loop(30.0, script, policy=fault.policy, waves=waves).episode
    assert episode.facts["stopped_ms"] < 3 * fault.goal_ms
    if name == "log_folder_gone":
        assert episode.outcome == "log_failed"
        return
    log = read_episode(episode.path)
    before = [block.first_sample for block in log.audio() if block.capture_ns < episode.facts["at_ns"]]
    assert before == list(range(before[0], before[-1] + 1, before[1] - before[0]))
    assert (episode.facts["at_ns"] - max(block.capture_ns for block in log.audio())) * 1e-6 < 300.0
    if fault.policy is not None:
        assert episode.outcome == "engine_failed"


@pytest.mark.parametrize("name", ["source_removed", "camera_gone", "chassis_switched_off"])
def test_a_device_comes_back_and_arming_stays_a_persons(loop: Any, name: str) -> None:
    fault = TESTED[name]

    def script(running: Running) -> dict[str, Any]:
        _moving(running)
        fault.happen(running)
        time.sleep(2.7)  # longer than what disarms
        mended_ns = time.monotonic_ns()
        assert fault.mend is not None
        fault.mend(running)
        time.sleep(4.0)
        running.stage.stop.set()
        return {"mended_ns": mended_ns}

    episode = loop(30.0, script).episode
    log, mended_ns = read_episode(episode.path), episode.facts["mended_ns"]
    senses = {"audio": log.audio, "depth": log.depth, "motion": log.odometry}
    times = [sensed.capture_ns for sensed in senses[fault.back]()]
    assert any(mended_ns < time_ns < mended_ns + 3_000_000_000 for time_ns in times)
    assert not _moved_since(episode.events, mended_ns)
    said = [event["event"] for event in log.health()]
    told = {
        "audio": {"microphones_device_fault", "microphones_device_recovered"},
        "depth": {"camera_device_fault", "camera_device_recovered"},
        "motion": {"drive", "odometry_recovered"},
    }
    assert {"disarmed", *told[fault.back]} <= set(said)


@pytest.mark.parametrize("name", ["wall_clock_forward", "wall_clock_back"])
def test_a_step_of_the_wall_clock_goes_unnoticed(loop: Any, name: str) -> None:
    (fault,) = chosen_faults([name])
    away_s = STEP_S if name == "wall_clock_forward" else -STEP_S

    def offset_s() -> float:
        return time.time() - time.monotonic()

    def script(running: Running) -> dict[str, Any]:
        _moving(running)
        before_s, at_ns = offset_s(), time.monotonic_ns()
        try:
            fault.happen(running)
        except PermissionError as error:
            running.stage.stop.set()
            return {"unable": str(error)}
        try:
            stepped_s = offset_s() - before_s
            time.sleep(3.0)
        finally:
            assert fault.mend is not None
            fault.mend(running)
        time.sleep(1.0)
        facts = {"at_ns": at_ns, "until_ns": time.monotonic_ns(), "stepped_s": stepped_s}
        running.stage.stop.set()
        return {**facts, "left_s": offset_s() - before_s}

    episode = loop(30.0, script).episode
    facts = episode.facts
    if "unable" in facts:
        pytest.skip(facts["unable"])
    assert facts["stepped_s"] == pytest.approx(away_s, abs=1.0)
    assert facts["left_s"] == pytest.approx(0.0, abs=1.0)
    log = read_episode(episode.path)

    def during(time_ns: int) -> bool:
        return facts["at_ns"] < time_ns <= facts["until_ns"]

    first = [block.first_sample for block in log.audio()]
    assert first == list(range(first[0], first[-1] + 1, first[1] - first[0]))
    heard_ns = [block.capture_ns for block in log.audio()]
    assert max(np.diff(heard_ns)) < 0.5e9  # a step of the clock would stand here as 120 s
    assert sum(during(step["decided_ns"]) for step in log.steps()) >= 10  # of 16 in 4 s
    assert not [status for status in log.safety() if during(status["time_ns"]) and status["reason"] in HASTE]


def test_a_full_disk_ends_the_run_in_words(loop: Any, tmp_path: Path) -> None:
    (fault,) = chosen_faults(["disk_full"])

    def script(running: Running) -> dict[str, Any]:
        _moving(running)
        fault.happen(running)
        return {"stopped_ms": _stopped_after_ms(running, time.monotonic_ns())}

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(small_disk(tmp_path / "episodes"))
        except PermissionError as error:
            pytest.skip(str(error))
        episode = loop(30.0, script).episode
        log = read_episode(episode.path)
    assert episode.outcome == "log_failed"
    assert "No space left on device" in episode.message
    assert "log_failed" in [event["event"] for event in log.health()]
    assert log.scan.whole_bytes > 0
