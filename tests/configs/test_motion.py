from __future__ import annotations

from typing import Any

import pytest

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.motion import Drive, check_latency


def test_a_drive_reaches_setpoints_at_once_unless_told_otherwise() -> None:
    drive = build(Drive, {}, "drive")
    assert (drive.max_acceleration_mps2, drive.max_angular_acceleration_radps2) == (None, None)
    assert (drive.latency_s, drive.speed_scale, drive.slip_v, drive.slip_w, drive.slip_turn_radpm) == (0, 1, 0, 0, 0)
    assert drive.wall == "stop"


@pytest.mark.parametrize(
    "fault",
    [
        {"max_acceleration_mps2": 0.0},
        {"max_angular_acceleration_radps2": -1.0},
        {"latency_s": -0.1},
        {"latency_s": float("nan")},
        {"speed_scale": 0.0},
        {"slip_v": 0.5},
        {"slip_turn_radpm": -0.1},
        {"wall": "bounce"},
    ],
)
def test_what_no_drive_does_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fault))):
        build(Drive, fault, "drive")


def test_only_one_setpoint_can_wait() -> None:
    check_latency(0.25, 0.25)
    with pytest.raises(ValueError, match=r"latency_s 0\.3 is longer than the control period of 0\.25 s"):
        check_latency(0.3, 0.25)
