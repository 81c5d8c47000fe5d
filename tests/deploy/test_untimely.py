"""What comes at a time that can't be, or not in time: it isn't believed, and nobody waits for it to drive off."""

from __future__ import annotations

import errno
import io
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phonotaxis.commands.command import say
from phonotaxis.configs.robot import load_robot
from phonotaxis.deploy import loop as loops
from phonotaxis.deploy import runtime
from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.devices import AudioBlock, DepthFrame
from phonotaxis.deploy.loop import Loop, RunEnd
from phonotaxis.deploy.watches import Watches

ROBOT = load_robot("simulated")
HOP = ROBOT.sample_rate_hz // 4


def _nothing(*given: Any, **named: Any) -> None:
    pass


def _loop(contract: Any, frames: list[DepthFrame], blocks: list[AudioBlock], arm: bool = False) -> tuple[Loop, list]:
    """Return a loop whose devices deliver these, and what it complains of."""
    events: list[str] = []
    log = SimpleNamespace(
        health=lambda at_ns, level, event, text, **more: events.append(event), depth=_nothing, audio=_nothing,
        failure=None, trouble="",
    )  # fmt: skip
    builder = SimpleNamespace(add_frame=_nothing, add_block=lambda block: [], notices=[])
    sensors = SimpleNamespace(
        camera=SimpleNamespace(unread=lambda: [frames.pop(0)] if frames else [], fault=""),
        microphones=SimpleNamespace(
            read_block=lambda timeout_s: blocks.pop(0) if blocks else None, fault="", overflow="", rate_told="",
            device_rate_hz=ROBOT.sample_rate_hz,
        ),
        odometry=None,
    )  # fmt: skip
    guardian = SimpleNamespace(pid=1, sensors=_nothing, statuses=list, trouble=None)
    loop = Loop(None, builder, sensors, guardian, log, ROBOT, Watches(ROBOT, contract), arm)  # type: ignore[arg-type]
    return loop, events


def _frame(capture_ns: int) -> DepthFrame:
    camera = ROBOT.camera.pinhole
    return DepthFrame(np.full((camera.height, camera.width), 2.0, dtype=np.float32), capture_ns)


def _block(capture_ns: int, number: int) -> AudioBlock:
    samples = np.random.default_rng(number).integers(-900, 900, (ROBOT.array.device_channels, HOP), dtype=np.int16)
    return AudioBlock(samples, number * HOP, capture_ns)


@pytest.mark.parametrize(("shift_s", "believed"), [(-0.05, True), (2.0, False)])
def test_a_frame_of_another_time_is_no_news(toy: Any, shift_s: float, believed: bool) -> None:
    loop, events = _loop(toy.contract(), [_frame(now_ns() + int(shift_s * NS_PER_S))], [])
    loop._take_sensors()
    assert (loop._depth_ns is not None) == believed
    assert ("image_time_fault" in events) == (not believed)


@pytest.mark.parametrize(("shift_s", "believed"), [(-0.3, True), (2.0, False)])
def test_sound_of_another_time_is_no_news(toy: Any, shift_s: float, believed: bool) -> None:
    loop, events = _loop(toy.contract(), [], [])
    loop._take_block(_block(now_ns() + int(shift_s * NS_PER_S), 0))
    assert (loop._audio_ns is not None) == believed
    assert ("sound_time_fault" in events) == (not believed)


def test_a_wish_to_arm_lapses_while_the_loop_runs(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "ARM_WITHIN_NS", NS_PER_S // 5)
    monkeypatch.setattr(loops, "READ_TIMEOUT_S", 0.01)
    loop, _ = _loop(toy.contract(), [], [], arm=True)
    with pytest.raises(RunEnd, match="so --arm has lapsed"):
        loop.until(now_ns() + 5 * NS_PER_S)


class Gone(io.StringIO):
    """A terminal whose other end has been closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("tell", [say, runtime._print])
def test_a_terminal_that_has_gone_ends_nothing(tell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    tell("the log has failed; the robot drives on")
