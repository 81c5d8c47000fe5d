"""What the loop takes for true of its guardian."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis.configs.robot import load_robot
from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.guardian_link import GuardianError
from phonotaxis.deploy.loop import Loop, RunEnd
from phonotaxis.deploy.runtime import run


class Refusing:
    """A guardian's link that answers what it is told to, and the log, builder and watches of the loop at it."""

    pid = 1
    trouble = None

    def __init__(self, armed: bool, reason: str) -> None:
        self.armed, self.reason = armed, reason
        self.asked = False
        self.events: list[str] = []
        self.starts = 0
        self.timing = SimpleNamespace(limit_ms=1.0)
        self.depth = SimpleNamespace(moved=lambda motion: None)

    def arm(self) -> None:
        self.asked = True

    def statuses(self) -> list[dict[str, Any]]:
        told = {"v_mps": 0.0, "w_radps": 0.0, "time_ns": now_ns(), "sequence": -1, "type": "status"}
        answer = {"armed": self.armed, "reason": self.reason} if self.asked else {"armed": False, "reason": "disarmed"}
        return [{**told, **answer}]

    def safety(self, status: dict[str, Any], at_ns: int) -> None:
        pass

    def set_allowed(self, v_mps: float, w_radps: float) -> None:
        pass

    def health(self, at_ns: int, level: str, event: str, text: str) -> None:
        self.events.append(f"{event}: {text}")

    def mark_start(self) -> None:
        self.starts += 1


def loop_at(guardian: Any) -> Loop:
    return Loop(guardian, guardian, guardian, guardian, guardian, load_robot("simulated"), guardian, arm=True)


@pytest.mark.parametrize(
    ("reason", "said"),
    [("emergency stop", "the emergency stop is latched.*robot release"), ("drive gone", r"doesn't arm \(drive gone\)")],
)
def test_a_guardian_that_does_not_arm_ends_the_run_unarmed(reason: str, said: str) -> None:
    guardian = Refusing(armed=False, reason=reason)
    loop = loop_at(guardian)
    with pytest.raises(RunEnd, match=said) as end:
        loop._arm()
    assert end.value.outcome == "disarmed"
    assert not loop.summary.armed
    assert not loop._armed  # so that a stop of the policy's is no goal reached
    assert (guardian.events, guardian.starts) == ([], 0)


def test_armed_is_what_the_guardian_says_is_armed() -> None:
    guardian = Refusing(armed=True, reason="no command yet")
    loop = loop_at(guardian)
    loop._arm()
    assert loop.summary.armed
    assert guardian.starts == 1
    assert guardian.events[0] == "armed: armed by a person's --arm, now that sound and depth arrive"


def test_nothing_is_opened_to_arm_under_a_latched_emergency_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    robot = load_robot("simulated")
    EmergencyStop(latch_path(robot)).latch("a person pressed it")
    with pytest.raises(GuardianError, match=r"latched.*\(a person pressed it\).*robot release.*without --arm"):
        run(robot, tmp_path / "absent.onnx", tmp_path / "episodes", 1.0, arm=True)
    assert not (tmp_path / "episodes").exists()
