from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phonotaxis.configs.devices import Ros2Drive, WaveshareDrive
from phonotaxis.deploy.devices import DeviceError, DriveGone, OdometrySample
from phonotaxis.deploy.jetson.drives.lines import MAX_LINE_BYTES, LineBuffer
from phonotaxis.deploy.jetson.drives.waveshare import Waveshare
from phonotaxis.deploy.jetson.drives.wheels import WheelOdometry
from phonotaxis.envs.hil.chassis import Chassis

TRACK_M = 0.2


@pytest.fixture
def board(folder: Path) -> Iterator[Chassis]:
    board = Chassis(folder / "ttyDRIVE", track_m=TRACK_M)
    yield board
    board.close()


@pytest.fixture
def drive(folder: Path, board: Chassis) -> Iterator[Waveshare]:
    """Give a drive whose board has reported, so that it may be told to move."""
    drive = Waveshare(_config(folder), dead_man_ms=100.0)
    assert _until(lambda: _has_reported(drive))
    yield drive
    drive.close()


def _has_reported(drive: Waveshare) -> bool:
    drive.listen()
    return drive._reported


def _config(folder: Path) -> WaveshareDrive:
    return WaveshareDrive(port=str(folder / "ttyDRIVE"), odometer_unit_m=1.0, track_m=TRACK_M)


def _until(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    deadline_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.002)
    return condition()


def test_it_sets_the_dead_man_before_it_moves_anything(
    folder: Path, board: Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a board that is reset by the port's opening, and boots: it has lost what it was told at first."""
    drive = Waveshare(_config(folder), dead_man_ms=100.0)
    with monkeypatch.context() as patch:
        patch.setattr(drive, "_read", lambda: None)  # no report has come yet
        drive.command(0.4, -0.3)
        assert _until(lambda: len(board.arrivals) == 1)
        assert board.arrivals[0][1:] == (0.0, 0.0)
        board._reset()
        assert board.dead_man_ms == 3000.0
        assert drive._reader is not None
        drive._reader.take()  # what it said before

    def moves() -> bool:
        drive.command(0.4, -0.3)
        return board.arrivals[-1][1:] == (0.4, -0.3)

    assert _until(moves)
    assert board.dead_man_ms == 100.0
    drive.close()


def test_without_commands_the_board_stops_by_itself(board: Chassis, drive: Waveshare) -> None:
    """Each time anew: the firmware's dead man fires once, and again only after a command that feeds it."""
    assert _until(lambda: board._fired)  # nothing has come since the board was switched on
    for times in (1, 2):
        drive.command(0.4, 0.0)
        assert _until(lambda times=times: len(board.events) == 2 * times)
        moved, stood = board.events[-2:]
        assert (moved.cause, stood.cause) == ("command", "dead_man")
        assert 0.1 <= (stood.time_ns - moved.time_ns) * 1e-9 < 0.25


def test_the_board_turns_on_for_ever_where_it_is_told_by_t13(board: Chassis, drive: Waveshare) -> None:
    """As ugv_base_ros does (uart_ctrl.h, movtion_module.h): what the guardian sends must be something else."""
    assert _until(lambda: board._fired)
    drive._write({"T": 13, "X": 0.4, "Z": 0.0})
    assert _until(lambda: board._speeds == (0.4, 0.0))
    time.sleep(0.3)
    assert [event.cause for event in board.events] == ["command"]


def test_wheels_faster_than_the_firmware_takes_are_slowed_on_the_same_curve(board: Chassis, drive: Waveshare) -> None:
    drive.command(3.0, 10.0)  # 2 and 4 m/s
    assert _until(lambda: len(board.arrivals) == 1)
    assert board.arrivals[0][1:] == (1.5, 5.0)
    assert _until(lambda: board._speeds == (1.5, 5.0))


def test_the_port_is_its_own(folder: Path, drive: Waveshare) -> None:
    with pytest.raises(DeviceError, match="another program holds it"):
        Waveshare(_config(folder), 100.0)


def test_no_port_is_an_error(folder: Path) -> None:
    with pytest.raises(DeviceError, match=r"ttyDRIVE: can't open .* check devices\.drive\.port"):
        Waveshare(_config(folder), 100.0)


def test_a_port_that_vanishes_comes_back_with_its_dead_man_set(board: Chassis, drive: Waveshare) -> None:
    drive.command(0.4, 0.0)
    assert _until(lambda: len(board.arrivals) == 1)
    board.unplug()

    def command_on() -> None:
        for _ in range(50):
            drive.command(0.4, 0.0)
            time.sleep(0.01)

    with pytest.raises(DriveGone, match="dead man stops the wheels"):
        command_on()
    assert _until(lambda: board.events[-1].cause == "dead_man")
    with pytest.raises(DriveGone):
        drive.command(0.4, 0.0)
    board._reset()  # it was switched off and on: it knows nothing any more
    assert board.dead_man_ms == 3000.0
    board.plug()

    def turning() -> bool:
        try:
            drive.command(0.0, 0.1)
        except DriveGone:
            return False
        return board.arrivals[-1][1:] == (0.0, 0.1)

    assert _until(turning)
    assert board.dead_man_ms == 100.0


def test_a_chassis_without_power_is_gone_and_not_told_to_move_when_it_is_back(folder: Path) -> None:
    """Its port takes every byte all the while: it would boot, take the next command and drive off."""
    way_m = [5.0]
    board = Chassis(folder / "ttyDRIVE", lambda at_ns: (way_m[0], way_m[0]), track_m=TRACK_M)
    drive = Waveshare(_config(folder), 100.0)
    gone: list[str] = []
    motions: list[OdometrySample] = []

    def commanded() -> bool:
        time.sleep(0.01)
        try:
            drive.command(0.3, 0.0)
        except DriveGone as error:
            gone.append(str(error))
            return False
        motions.extend(drive.motions())
        return True

    assert _until(lambda: commanded() and bool(motions))
    began_s = time.monotonic()
    board.switch(on=False)
    assert _until(lambda: not commanded())
    assert time.monotonic() - began_s > 0.4
    assert "ttyDRIVE: the chassis has said nothing for 0.5 s" in gone[0]
    told = len(board.arrivals)
    motions.clear()
    way_m[0] = 4.9
    board.switch(on=True)
    assert not commanded()
    assert _until(lambda: commanded() and bool(motions))
    assert len(board.arrivals) > told
    assert board.dead_man_ms == 100.0
    assert [motion.dx_m for motion in motions] == [0.0] * len(motions)  # its odometers' fall was no motion
    drive.close()
    board.close()


def test_a_board_without_encoders_is_not_driven(board: Chassis, drive: Waveshare) -> None:
    """It takes m/s for shares of its power: 0.5 would be all of it."""
    board.encoders = False
    gone: list[str] = []

    def refused() -> bool:
        time.sleep(0.01)
        try:
            drive.command(0.3, 0.0)
        except DriveGone as error:
            gone.append(str(error))
        return bool(gone)

    assert _until(refused)
    assert "reports no ways of its wheels (odl, odr)" in gone[0]
    told = len(board.arrivals)
    for _ in range(20):
        with pytest.raises(DriveGone, match="ugv_base_ros"):
            drive.command(0.3, 0.0)
        time.sleep(0.005)
    assert len(board.arrivals) == told
    board.encoders = True
    gone.clear()
    assert _until(lambda: not (gone.clear() or refused()))


@pytest.mark.parametrize(
    "noise", [b"", b"\xff\xfe garbage", b'{"T":1001,"odl":1', b"x" * 3000, b'{"T":1001}\n[1]\nNaN\n']
)
def test_odometry_is_read_through_noise(folder: Path, noise: bytes) -> None:
    began_ns = time.monotonic_ns()

    def odometers(at_ns: int) -> tuple[float, float]:
        way_m = (at_ns - began_ns) * 1e-9 * 0.5
        return way_m, way_m * 1.2

    board = Chassis(folder / "ttyDRIVE", odometers, noise)
    drive = Waveshare(_config(folder), 100.0)
    motions = []
    deadline_s = time.monotonic() + 1.0
    while time.monotonic() < deadline_s:
        drive.command(0.0, 0.0)
        motions += drive.motions()
        time.sleep(0.01)
    drive.close()
    board.close()
    if noise.endswith(b"\n") or not noise:
        assert len(motions) > 10  # fifty lines, and each of them after the noise is whole
    else:
        assert motions == []  # noise without an end takes its line along, and here it stands before each
    assert all(abs(motion.dx_m) < 0.4 for motion in motions)
    for motion in motions:
        assert motion.dyaw_rad == pytest.approx((motion.dx_m / 1.1 * 0.2) / 0.2, rel=0.02, abs=1e-5)


def test_a_shadow_asks_for_the_wheels_and_commands_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it opens the port nor when it lets go of it: a person drives."""
    board = Chassis(folder / "ttyDRIVE", lambda at_ns: (at_ns * 1e-9, at_ns * 1e-9))
    told: list[int] = []
    obey = board._obey
    monkeypatch.setattr(board, "_obey", lambda said, at_ns: (told.append(said["T"]), obey(said, at_ns)))
    drive = Waveshare(_config(folder), dead_man_ms=100.0, shadow=True)
    motions: list[OdometrySample] = []

    def reports() -> bool:
        drive.listen()
        motions.extend(drive.motions())
        return bool(motions)

    assert _until(reports)
    drive.close()
    board.close()
    assert set(told) == {143, 142, 131}
    assert board.arrivals == []


def test_a_shadow_hears_a_board_again_that_was_switched_off(folder: Path) -> None:
    board = Chassis(folder / "ttyDRIVE", lambda at_ns: (at_ns * 1e-9, at_ns * 1e-9))
    drive = Waveshare(_config(folder), dead_man_ms=100.0, shadow=True)
    motions: list[OdometrySample] = []

    def moves() -> bool:
        drive.listen()
        motions.extend(drive.motions())
        return bool(motions)

    assert _until(moves)
    board.switch(False)
    time.sleep(0.1)
    moves()
    motions.clear()
    board.switch(True)
    assert _until(moves)
    drive.close()
    board.close()
    assert max(abs(motion.dx_m) for motion in motions) < 0.5  # metres that a second was silent for are none of theirs
    assert board.arrivals == []


def test_lines_come_out_whole_whatever_the_pieces() -> None:
    text = b'{"a":1}\r\n\n{"b":2}\n' + b"z" * (2 * MAX_LINE_BYTES) + b'\n{"c":3}\n{"d"'
    for size in (1, 3, 700, len(text)):
        lines = LineBuffer()
        found = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
        assert found == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
        assert lines.feed(b":4}\n") == [b'{"d":4}']


def test_wheels_give_the_arc() -> None:
    wheels = WheelOdometry(track_m=0.4)
    assert wheels.moved(1.0, 1.0) is None
    assert wheels.moved(1.25, 1.25) == (0.25, 0.0, 0.0)
    turn = math.pi / 6
    dx, dy, dyaw = wheels.moved(1.25 + (0.5 - 0.2) * turn, 1.25 + (0.5 + 0.2) * turn) or (0, 0, 0)
    # a twelfth of a circle of half a metre: 0.5 sin(30 deg), 0.5 (1 - cos(30 deg))
    assert (dx, dy, dyaw) == pytest.approx((0.25, 0.5 * (1 - math.cos(turn)), turn))
    assert wheels.moved(0.0, 0.0) is None  # the board was reset


def test_ros_without_rclpy_says_what_to_do() -> None:
    from phonotaxis.deploy.jetson.drives.ros2 import Ros2

    if os.environ.get("ROS_DISTRO"):
        pytest.skip("ROS 2 is here")
    with pytest.raises(DeviceError, match=r"setup\.bash"):
        Ros2(Ros2Drive(), 200.0)
