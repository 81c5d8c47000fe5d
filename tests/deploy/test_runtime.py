from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.configs.contract import GoalSpec
from phonotaxis.configs.goal import EMBEDDING, GOAL_SIZE, embed, told_goal
from phonotaxis.configs.robot import OdometryConfig, SafetyLimits
from phonotaxis.deploy import runtime
from phonotaxis.deploy.control import ControlError, ask
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay import check
from phonotaxis.export.bundle import read_bundle
from phonotaxis.export.shipped import shipped_policy


def test_a_run_reaches_its_goal_and_replays_bit_for_bit(make_rig: Any) -> None:
    rig = make_rig(stop_after=10.0)
    code, summary, err = rig.finish(rig.start("--arm", duration_s=20.0))
    assert code == 0, err
    assert "guardian:" not in err  # it had nothing to complain of
    assert summary["outcome"] == "goal_reached"
    assert summary["loaded_modules_forbidden"] == []
    assert summary["armed"]
    path = rig.episode()
    assert summary["episode"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    episode = read_episode(path)
    assert episode.scan.complete
    assert episode.scan.checksum_ok
    steps = episode.steps()
    assert [step["step"] for step in steps] == list(range(summary["steps"]))
    assert [step["episode_start"] for step in steps] == [1.0] + [0.0] * (len(steps) - 1)
    assert steps[-1]["action_name"] == "stop"
    assert all(step["depth_age_s"] == 0.0 for step in steps)
    events = [event["event"] for event in episode.health()]
    assert events.index("armed") < events.index("goal_reached")
    assert "microphones_rate" not in events  # those of a simulated robot run at the policy's

    report = check(path, rig.bundle)
    assert report.ok, report
    assert report.same_engine
    assert report.steps == summary["steps"]
    assert report.largest_difference == 0.0
    assert "bit-identical" in str(report)

    driven = [(fact["v_mps"], fact["w_radps"]) for fact in rig.truth("drive")]
    asked = {(step["v_mps"], step["w_radps"]) for step in steps}
    assert len(driven) > 2
    assert set(driven) <= asked | {(0.0, 0.0)}  # nothing here clips: what the drive got is what was asked
    assert driven[-1] == (0.0, 0.0)
    assert rig.truth("window")[-1]["x_m"] > 0.2  # it did move


def test_a_goal_reached_after_a_person_armed_is_confirmed_and_replays(
    make_rig: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    rig = make_rig(stop_after=6.0)
    process, deadline_s = rig.start(duration_s=20.0), time.monotonic() + 20.0
    while time.monotonic() < deadline_s:
        with contextlib.suppress(ControlError):  # not up yet, or nothing sensed yet
            if ask(rig.robot, "arm")["ok"]:
                break
        time.sleep(0.05)
    code, summary, err = rig.finish(process)
    assert (code, summary["outcome"]) == (0, "goal_reached"), err
    assert not [fault for fault in summary["faults"] if "odometry" in fault]
    episode = read_episode(rig.episode())
    events = {event["event"]: event["message"] for event in episode.health()}
    assert "disarmed" not in events
    assert events["armed"] == "armed by a person at the guardian's socket or button"
    assert events["goal_reached"] == "the policy stopped: brake and disarm"
    assert sum(event["event"] == "armed" for event in episode.health()) == 1
    assert check(episode, rig.bundle).ok


def test_without_arming_everything_runs_but_nothing_moves(make_rig: Any) -> None:
    rig = make_rig()
    code, summary, err = rig.finish(rig.start(duration_s=1.2))
    assert code == 0, err
    assert "guardian:" not in err
    assert summary["outcome"] == "duration"
    assert summary["steps"] >= 3
    assert not summary["armed"]
    assert {(fact["v_mps"], fact["w_radps"]) for fact in rig.truth("drive")} == {(0.0, 0.0)}
    assert set(rig.world.held) == {(0.0, 0.0)}
    assert {record["reason"] for record in read_episode(rig.episode()).safety()} == {"disarmed"}
    assert check(rig.episode(), rig.bundle).ok


def test_a_robot_that_drives_on_without_its_log_says_so(make_rig: Any) -> None:
    rig = make_rig(log={"on_failure": "continue"})
    process = rig.start(duration_s=5.0)
    _wait_for(lambda: len(rig.truth("window")) > 4)  # so its file is there
    shutil.rmtree(rig.episode().parent)
    code, summary, err = rig.finish(process)
    assert code == 0, err
    assert "can't be written any more" in err
    assert "the episode goes on in a new file" in err
    assert ["deleted or moved" in fault for fault in summary["faults"]] == [True]
    assert read_episode(summary["episode"]).health()[0]["event"] == "log_resumed"


@pytest.mark.parametrize("odometry", [None, OdometryConfig()])
def test_a_frozen_image_stops_a_robot_with_odometry_and_one_without(
    make_rig: Any, odometry: OdometryConfig | None
) -> None:
    rig = make_rig(wall_m=1e6, eager=9.0, odometry=odometry)  # its camera shows the same floor for ever
    code, summary, err = rig.finish(rig.start("--arm", duration_s=4.0))
    assert "the image is frozen" in summary["faults"], (code, err)
    assert summary["safety_stops"]["depth stale"] > 0
    assert [fact["v_mps"] for fact in rig.truth("drive")][-1] == 0.0
    events = [event["event"] for event in read_episode(rig.episode()).health()]
    assert "camera_fault" in events


def test_killing_the_runtime_stops_the_robot_and_leaves_a_readable_episode(make_rig: Any) -> None:
    rig = make_rig()
    process = rig.start("--arm", duration_s=30.0)
    _until_it_moves(rig.truth, process.poll)
    killed_ns = time.monotonic_ns()
    process.kill()
    process.communicate(timeout=10)
    rig.server.join(30)
    after = [fact for fact in rig.truth("drive") if fact["time_ns"] > killed_ns]
    stop = next(fact for fact in after if fact["v_mps"] == 0.0 and fact["w_radps"] == 0.0)
    assert stop["time_ns"] - killed_ns < 5e9
    assert after[-1] == stop  # nothing moves it again
    assert rig.truth("window")[-1]["v_mps"] == 0.0
    report = check(rig.episode(), rig.bundle)
    assert report.ok, report
    assert "not closed in order" in report.lost


def test_killing_the_guardian_leaves_it_to_the_dead_man_and_ends_the_run(make_rig: Any) -> None:
    rig = make_rig()
    process = rig.start("--arm", duration_s=30.0)
    _until_it_moves(rig.truth, process.poll)
    (guardian,) = _children(process.pid)
    os.kill(guardian, signal.SIGKILL)
    code, summary, err = rig.finish(process)
    assert code == 1
    assert summary["outcome"] == "guardian_lost"
    assert summary["guardian_pid"] == guardian
    assert "guardian has gone" in err
    windows = rig.truth("window")
    assert windows[-1]["v_mps"] == 0.0
    assert windows[-1]["w_radps"] == 0.0
    assert check(rig.episode(), rig.bundle).ok


def test_a_runtime_that_hangs_is_disarmed(make_rig: Any) -> None:
    rig = make_rig()
    process = rig.start("--arm", duration_s=30.0)
    _until_it_moves(rig.truth, process.poll)
    process.send_signal(signal.SIGSTOP)
    stopped_ns = time.monotonic_ns()
    time.sleep(2e-3 * SafetyLimits().runtime_silence_ms)  # on a busy machine it may stand for other reasons before
    _wait_for(lambda: any(_stands(f) and f["time_ns"] > stopped_ns for f in rig.truth("drive")))
    process.send_signal(signal.SIGCONT)
    code, summary, _ = rig.finish(process)
    assert code == 1
    assert summary["outcome"] == "disarmed"
    assert "runtime silent" in summary["message"]
    assert all(_stands(fact) for fact in rig.truth("drive") if fact["time_ns"] > stopped_ns + 2e9)
    assert check(rig.episode(), rig.bundle).ok


def test_it_stands_while_the_sound_pauses_and_then_goes_on(make_rig: Any) -> None:
    rig = make_rig(pause_s=0.9, eager=9.0)
    code, summary, err = rig.finish(rig.start("--arm", duration_s=3.7))
    assert code == 0, err
    assert summary["outcome"] == "duration"
    assert summary["safety_stops"].get("audio stale", 0) > 0
    reasons = [record["reason"] for record in read_episode(rig.episode()).safety()]
    stale = reasons.index("audio stale")
    assert "ok" in reasons[:stale]
    assert "ok" in reasons[stale:]
    assert check(rig.episode(), rig.bundle).ok


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN], ids=["terminal", "background"])
def test_ctrl_c_ends_the_run_with_a_whole_episode(make_rig: Any, before: signal.Handlers) -> None:
    rig = make_rig()
    process = rig.start("--arm", duration_s=30.0, preexec_fn=lambda: signal.signal(signal.SIGINT, before))
    _until_it_moves(rig.truth, process.poll)
    process.send_signal(signal.SIGINT)
    code, summary, _ = rig.finish(process)
    assert code == 130
    assert summary["outcome"] == "interrupted"
    assert read_episode(rig.episode()).scan.complete
    assert _stands(rig.truth("drive")[-1])


def test_a_full_disk_stops_the_robot_and_says_so(make_rig: Any) -> None:
    rig = make_rig()

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    code, summary, err = rig.finish(rig.start("--arm", duration_s=30.0, preexec_fn=small_files))
    assert code == 1
    assert summary["outcome"] == "log_failed"
    assert "free space" in err
    assert _stands(rig.truth("drive")[-1])
    report = check(rig.episode(), rig.bundle)
    assert report.ok, report
    assert read_episode(rig.episode()).health()[-1]["event"] == "log_failed"


def test_a_deleted_log_folder_stops_the_robot(make_rig: Any) -> None:
    rig = make_rig()
    process = rig.start("--arm", duration_s=30.0)
    _until_it_moves(rig.truth, process.poll)
    rig.episode().unlink()
    code, summary, err = rig.finish(process)
    assert code == 1
    assert summary["outcome"] == "log_failed"
    assert "deleted" in err


def test_an_obstacle_keeps_the_robot_from_the_wall(make_rig: Any) -> None:
    rig = make_rig(wall_m=1.0, eager=9.0)
    code, summary, err = rig.finish(rig.start("--arm", duration_s=2.5))
    assert code == 0, err
    assert summary["safety_stops"].get("obstacle", 0) > 0
    furthest_m = max(fact["x_m"] for fact in rig.truth("window"))
    assert 0.3 < furthest_m < 1.0 - 0.18  # the body's front stays off the wall
    assert check(rig.episode(), rig.bundle).ok


def test_no_simulated_robot_is_an_error_that_says_what_to_do(make_rig: Any, tmp_path: Path) -> None:
    rig = make_rig()
    command = rig.command("--socket", str(tmp_path / "nobody.sock"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no simulated robot listens here" in done.stderr
    assert "Traceback" not in done.stderr
    rig.finish(rig.start(duration_s=0.5))  # lets the server end


def _stands(fact: dict[str, float]) -> bool:
    return fact["v_mps"] == 0.0 and fact["w_radps"] == 0.0


def _until_it_moves(truth: Callable[[str], Any], poll: Callable[[], int | None]) -> None:
    _wait_for(lambda: poll() is not None or sum(not _stands(f) for f in truth("window")) >= 2)
    assert poll() is None


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited 30 s in vain")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_a_policy_is_told_what_a_person_says(make_rig: Any) -> None:
    rig = make_rig(stop_after=4.0, goal=GoalSpec(size=GOAL_SIZE, embedding=EMBEDDING))
    code, summary, err = rig.finish(rig.start("--goal", "the kettle, not the alarm", duration_s=1.2))
    assert code == 0, err
    assert summary["steps"] > 0
    info = read_episode(rig.episode()).info
    assert info.goal is not None
    assert info.goal.tobytes() == embed("the kettle, not the alarm").tobytes()
    assert info.extra == {"goal": "the kettle, not the alarm"}
    assert check(rig.episode(), rig.bundle).ok


def test_a_policy_that_is_told_nothing_goes_to_whatever_sounds(make_rig: Any) -> None:
    rig = make_rig(stop_after=4.0, goal=GoalSpec(size=GOAL_SIZE, embedding=EMBEDDING))
    code, _, err = rig.finish(rig.start(duration_s=1.2))
    assert code == 0, err
    assert "whatever sounds" in err
    info = read_episode(rig.episode()).info
    assert info.goal is not None
    assert not info.goal.any()
    assert check(rig.episode(), rig.bundle).ok


def test_a_person_is_told_what_a_sentence_is_taken_for_before_anything_moves() -> None:
    path = shipped_policy()
    assert path is not None
    bundle = read_bundle(path)
    lines: list[str] = []
    for text, kind in (("the ringing phone", "telephone"), ("find the siren", "")):
        said = runtime._said(bundle, text, told_goal(bundle.contract.goal, text), lines.append)
        assert (said["goal"], said["goal_taken_for"]) == (text, kind)
        assert (said["goal_probability"] >= 0.4) == bool(kind)
    assert "taken for: telephone" in lines[0]
    assert "taken for no kind" in lines[1]
    assert runtime._said(bundle, "anything", told_goal(bundle.contract.goal, "anything"), lines.append) == {
        "goal": "anything"
    }
    assert len(lines) == 2
