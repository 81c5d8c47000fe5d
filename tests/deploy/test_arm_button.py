"""The arm button: input events as the kernel writes them, through a terminal's character device.

There is no /dev/uinput on the machines that test this; a pseudo-terminal is a character device that can be written
to at its other end, goes away and comes back.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phonotaxis import cli
from phonotaxis.configs.devices import ArmButtonConfig
from phonotaxis.configs.robot import RobotConfig, load_robot
from phonotaxis.deploy.arm_button import ArmButton
from phonotaxis.deploy.checkup import _button
from phonotaxis.deploy.control import ask
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.input_device import EV_KEY, EV_SYN, EVENT, RETRY_NS, SYN_DROPPED
from phonotaxis.deploy.replay import check

ENTER, SPACE = 28, 57
MS = 1_000_000
HOLD_MS = 1000


class Knob:
    """Somebody's finger on a button: the other end of the device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ours = self._theirs = -1
        self.plug()

    def plug(self) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.path.symlink_to(os.ttyname(self._theirs))

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self._theirs)
        os.close(self._ours)

    def send(self, *events: tuple[int, int, int]) -> None:
        for kind, code, value in events:
            os.write(self._ours, EVENT.pack(1, 2, kind, code, value) + EVENT.pack(1, 2, EV_SYN, 0, 0))

    def press(self, code: int = ENTER) -> None:
        self.send((EV_KEY, code, 1))

    def release(self, code: int = ENTER) -> None:
        self.send((EV_KEY, code, 0))


@pytest.fixture
def knob(tmp_path: Path) -> Iterator[Knob]:
    knob = Knob(tmp_path / "button")
    yield knob
    knob.unplug()


@pytest.fixture
def button(knob: Knob) -> Iterator[ArmButton]:
    button = ArmButton(_config(knob), 0)
    yield button
    button.close()


def _config(knob: Knob, hold_s: float = HOLD_MS / 1000) -> ArmButtonConfig:
    return ArmButtonConfig(device=str(knob.path), key_code=ENTER, hold_s=hold_s)


def _asked(button: ArmButton, *at_ms: int, armed: bool = False) -> list[str]:
    return [button.request(armed, at * MS) for at in at_ms]


def test_a_hold_arms_once(knob: Knob, button: ArmButton) -> None:
    assert _asked(button, 0, 20) == ["", ""]
    knob.press()
    assert _asked(button, 40, 60, 1039, 1040, 1060) == ["", "", "", "arm", ""]
    knob.send((EV_KEY, ENTER, 2), (EV_KEY, ENTER, 2))  # a keyboard repeats what is held
    assert _asked(button, 3000, 5000) == ["", ""]
    assert button.notices == []


def test_a_bump_a_keys_neighbour_and_other_events_arm_nothing(knob: Knob, button: ArmButton) -> None:
    knob.press()
    assert _asked(button, 0, 900) == ["", ""]
    knob.release()
    knob.press(SPACE)
    knob.send((2, ENTER, 1), (EV_SYN, SYN_DROPPED, 0), (EV_KEY, ENTER, 2))
    assert _asked(button, 910, 2000, 4000) == ["", "", ""]


def test_a_guardian_that_was_held_up_takes_no_bump_for_a_hold(knob: Knob, button: ArmButton) -> None:
    knob.press()
    assert _asked(button, 0) == [""]
    knob.release()
    assert _asked(button, 5000) == [""]  # both were over when it looked again
    knob.press()
    knob.release()
    assert _asked(button, 9000, 11000) == ["", ""]


def test_events_that_the_kernel_dropped_may_have_been_a_release(knob: Knob, button: ArmButton) -> None:
    knob.press()
    assert _asked(button, 0) == [""]
    knob.send((EV_SYN, SYN_DROPPED, 0))
    assert _asked(button, 500, 2000) == ["", ""]


@pytest.mark.parametrize("code", [ENTER, SPACE])
def test_any_press_disarms_at_once_and_its_hold_arms_nothing(knob: Knob, button: ArmButton, code: int) -> None:
    knob.press(code)
    assert _asked(button, 0, armed=True) == ["disarm"]
    assert _asked(button, 20, 1500, 3000) == ["", "", ""]
    knob.release(code)
    knob.press()
    assert _asked(button, 4000, 5000) == ["", "arm"]


def test_one_that_goes_asks_for_nothing_is_told_once_and_comes_back_by_itself(knob: Knob, button: ArmButton) -> None:
    knob.press()
    assert _asked(button, 0) == [""]
    knob.unplug()
    assert _asked(button, 10, 2000, 4000, armed=True) == ["", "", ""]
    (told,) = [notice for notice in button.notices if "gone" in notice[1]]
    assert told[0] == "warning"
    assert len(button.notices) == 2  # and that it can't be opened
    button.notices.clear()
    knob.plug()
    back_ms = 4000 + RETRY_NS // MS
    assert _asked(button, back_ms, back_ms + 1500) == ["", ""]  # the hold of before is forgotten
    assert button.notices == [("info", f"arm button {knob.path} is there again")]
    knob.press()
    assert _asked(button, back_ms + 2000, back_ms + 3000) == ["", "arm"]


def test_one_that_is_not_there_is_told_and_waited_for(tmp_path: Path) -> None:
    button = ArmButton(ArmButtonConfig(device=str(tmp_path / "button"), key_code=ENTER), 0)
    assert _asked(button, 0, 1000, 2000) == ["", "", ""]
    ((level, text),) = button.notices
    assert (level, "can't be opened (No such file or directory)" in text) == ("warning", True)
    knob = Knob(tmp_path / "button")
    knob.press()
    assert _asked(button, 3000, 4000) == ["", "arm"]
    button.close()
    knob.unplug()


def test_a_file_full_of_presses_is_no_device(tmp_path: Path) -> None:
    path = tmp_path / "button"
    path.write_bytes(EVENT.pack(0, 0, EV_KEY, ENTER, 1))
    button = ArmButton(ArmButtonConfig(device=str(path), key_code=ENTER), 0)
    assert _asked(button, 0, 1000, 2000) == ["", "", ""]
    assert "is no input device" in button.notices[0][1]


def test_a_device_that_anybody_may_write_to_is_not_listened_to(knob: Knob) -> None:
    knob.path.chmod(0o622)
    button = ArmButton(_config(knob), 0)
    knob.press()
    assert _asked(button, 0, 1000, 2000) == ["", "", ""]
    assert "is open to other users' writing" in button.notices[0][1]


def test_the_device_is_tried_and_its_key_codes_are_shown(knob: Knob, capsys: pytest.CaptureFixture[str]) -> None:
    for code in (ENTER, ENTER, SPACE):
        knob.press(code)
        knob.release(code)
    assert cli.run(["devices", "button", str(knob.path), "--seconds", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    figures = {name: figure["value"] for name, figure in json.loads(out)["figures"].items()}
    assert figures == {"presses": 3, "key_codes": "28, 57"}
    assert err.splitlines() == ["key code 28", "key code 28", "key code 57"]
    assert cli.run(["devices", "button", str(knob.path) + "2", "--seconds", "1"]) == 1
    assert "can't be opened (No such file or directory)" in capsys.readouterr().err


def test_doctor_looks_at_the_button(knob: Knob) -> None:
    there = _button(_config(knob))
    assert (there.name, there.ok) == ("arm_button", True)
    gone = _button(ArmButtonConfig(device="/dev/input/none", key_code=ENTER))
    assert (gone.ok, "can't be opened" in gone.text) == (False, True)


def test_what_is_configured_is_checked() -> None:
    fields: dict[str, Any] = {"device": "/dev/input/event3", "key_code": ENTER}
    for wrong in ({"device": "event3"}, {"key_code": 0}, {"hold_s": 0.1}):
        with pytest.raises(ValueError):
            ArmButtonConfig.model_validate({**fields, **wrong})
    assert ArmButtonConfig(**fields).hold_s == 1.0


@pytest.fixture
def places(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))


def _until(robot: RobotConfig, armed: bool) -> None:
    deadline_s = time.monotonic() + 15.0
    while time.monotonic() < deadline_s:
        try:
            if ask(robot, "status")["status"]["armed"] is armed:
                return
        except RuntimeError:  # not there yet
            pass
        time.sleep(0.02)
    pytest.fail(f"never armed={armed}")


def _told(path: Path) -> list[str]:
    return [event["message"] for event in read_episode(path).health() if event["event"] == "arm_button"]


def test_a_running_robot_is_armed_and_disarmed_by_hand(
    places: None, make_rig: Callable[..., Any], tmp_path: Path
) -> None:
    knob = Knob(tmp_path / "button")
    rig = make_rig(eager=9.0, arm_button=_config(knob, 1.5))
    process = rig.start(duration_s=60.0)
    _until(rig.robot, False)
    knob.press()
    time.sleep(0.2)
    assert not ask(rig.robot, "status")["status"]["armed"]
    _until(rig.robot, True)
    knob.release()
    knob.unplug()  # the robot goes on: it is armed, and its other stops are where they were
    time.sleep(1.0)
    assert ask(rig.robot, "status")["status"]["armed"]
    knob.plug()
    time.sleep(1.0)
    knob.press(SPACE)
    _until(rig.robot, False)
    time.sleep(0.5)  # the run is told
    process.send_signal(signal.SIGINT)
    code, summary, err = rig.finish(process)
    knob.unplug()
    assert code == 130, err
    assert summary["armed"]
    assert rig.world.pose[0] > 0.2  # it did move
    told = _told(rig.episode())
    assert told[0] == "arm button: armed: the robot may move"
    assert told[-2:] == [f"arm button {knob.path} is there again", "arm button: disarmed"]
    assert any("has gone" in text for text in told[1:-2])
    assert check(rig.episode(), rig.bundle).ok  # its guardian decided by what it was told


def test_a_latched_emergency_stop_refuses_the_button_and_says_so(
    places: None, make_rig: Callable[..., Any], knob: Knob
) -> None:
    rig = make_rig(arm_button=_config(knob, 0.5))
    EmergencyStop(latch_path(rig.robot)).latch("a person pressed it")
    process = rig.start(duration_s=3.0)
    _until(rig.robot, False)
    knob.press()
    code, summary, err = rig.finish(process)
    assert code == 0, err
    assert not summary["armed"]
    (text,) = _told(rig.episode())
    assert text.startswith("arm button: the emergency stop is latched (a person pressed it)")


def test_a_robot_has_no_button_unless_it_names_one() -> None:
    assert load_robot("simulated").arm_button is None
