"""Things that go wrong, done for real in the loop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phonotaxis.configs.robot import CameraConfig, SafetyLimits
from phonotaxis.export.bundle import Bundle
from phonotaxis.hil import broken_policy, disk, wall_clock
from phonotaxis.hil.loop import DEAD_MAN_MS, Running

Happen = Callable[[Running], None]
AUDIO, DEPTH, MOTION = "audio", "depth", "motion"

# of the table: 100 ms; 1.5 control periods of 250 ms and 50 ms; the others what is declared, and 50 ms
DEAD_MS = 100.0
HUNG_MS = 1.5 * 250.0 + 50.0
DRIVE_MS = DEAD_MAN_MS + 50.0
AUDIO_MS = SafetyLimits().audio_max_age_ms + 50.0
DEPTH_MS = CameraConfig().max_age_ms + 50.0
LOG_MS = 1000.0 + 250.0  # the log looks for its file once a second; a step later the run has ended
GOES_ON = float("inf")  # nothing has to stop


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: for the table.
        goal_ms: within which the wheels shall stand.
        happen: makes it happen.
        mend: takes the cause away; None where what died can't come back by itself.
        back: what comes again when the cause is gone: audio, depth or motion.
        policy: makes the policy that runs, of the one that was named; None takes that.
        small_disk: the log lies on a disk of its own.
        unnoticed: no step may be late for it and the guardian may not brake.
    """

    name: str
    goal_ms: float
    happen: Happen
    mend: Happen | None = None
    back: str = ""
    policy: Callable[[Bundle, Path], Bundle] | None = None
    small_disk: bool = False
    unnoticed: bool = False


def _to_runtime(number: int) -> Happen:
    return lambda running: running.process.send_signal(number)


def _to_guardian(number: int) -> Happen:
    return lambda running: os.kill(running.guardian_pid, number)


def _kill_all(running: Running) -> None:
    os.kill(running.guardian_pid, signal.SIGKILL)
    running.process.kill()


def _start_sound_server(running: Running) -> None:
    running.stage.pulse.start()
    running.stage.pipe_again()


def _hears(change: Callable[[np.ndarray], np.ndarray]) -> Happen:
    def happen(running: Running) -> None:
        running.stage.hear = change

    return happen


def _dead(samples: np.ndarray) -> np.ndarray:
    changed = samples.copy()
    changed[2] = 0
    return changed


def _clipped(samples: np.ndarray) -> np.ndarray:
    """Overdrive a microphone until it stands at one of its ends: +60 dB, and what is at zero goes up."""
    changed = samples.astype(np.int32)
    changed[2] = np.where(changed[2] < 0, -32768, 32767)
    return changed.astype(np.int16)


def _swapped(samples: np.ndarray) -> np.ndarray:
    changed = samples.copy()
    changed[[2, 3]] = changed[[3, 2]]
    return changed


def _inverted(samples: np.ndarray) -> np.ndarray:
    changed = samples.copy()
    changed[2] = np.where(changed[2] == -32768, 32767, -changed[2])
    return changed


def _signed(samples: np.ndarray) -> np.ndarray:
    return np.full_like(samples, broken_policy.SIGN)


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def _freeze(running: Running) -> None:
    last_m = running.stage.shown_m
    running.stage.see = lambda depth_m: last_m


def _garble(running: Running) -> None:
    rng = np.random.default_rng(1)
    running.stage.see = lambda depth_m: rng.uniform(0.0, 65.0, depth_m.shape).astype(np.float32)


def _see_again(running: Running) -> None:
    running.stage.see = _as_it_is


def _fill_disk(running: Running) -> None:
    disk.fill(running.episodes)


def _remove_log_folder(running: Running) -> None:
    shutil.rmtree(running.episodes)


def _eat_core(running: Running) -> None:
    """Let another process compute on the core that the robot's runtime is on."""
    core = int(Path(f"/proc/{running.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[36])
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    running.left_behind.append(subprocess.Popen([sys.executable, "-c", code]))


def _stop_eating(running: Running) -> None:
    for process in running.left_behind:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def _steps_wall_clock(seconds: float) -> Happen:
    return lambda running: wall_clock.step(seconds)


_HEAR_AGAIN = _hears(_as_it_is)

FAULTS = (
    Fault("policy_killed", DEAD_MS, _to_runtime(signal.SIGKILL)),
    Fault("policy_stopped", HUNG_MS, _to_runtime(signal.SIGSTOP), _to_runtime(signal.SIGCONT), AUDIO),
    Fault("policy_terminated", DEAD_MS, _to_runtime(signal.SIGTERM)),
    Fault("policy_interrupted", DEAD_MS, _to_runtime(signal.SIGINT)),
    Fault("policy_not_finite", HUNG_MS, _hears(_signed), policy=broken_policy.not_finite),
    Fault("policy_absurd", HUNG_MS, _hears(_signed), policy=broken_policy.absurd),
    Fault("guardian_killed", DRIVE_MS, _to_guardian(signal.SIGKILL)),
    Fault("guardian_stopped", DRIVE_MS, _to_guardian(signal.SIGSTOP), _to_guardian(signal.SIGCONT)),
    Fault("all_killed", DRIVE_MS, _kill_all),
    Fault(
        "port_unplugged",
        DRIVE_MS,
        lambda running: running.stage.chassis.unplug(),
        lambda running: running.stage.chassis.plug(),
        MOTION,
    ),
    Fault(  # the wheels lose their power at once; they must not turn when it is back
        "chassis_switched_off",
        DRIVE_MS,
        lambda running: running.stage.chassis.switch(on=False),
        lambda running: running.stage.chassis.switch(on=True),
        MOTION,
    ),
    Fault("sound_server_killed", AUDIO_MS, lambda running: running.stage.pulse.kill(), _start_sound_server, AUDIO),
    Fault(
        "source_removed",
        AUDIO_MS,
        lambda running: running.stage.pulse.unload_array(),
        lambda running: running.stage.pulse.load_array(),
        AUDIO,
    ),
    Fault("channel_dead", AUDIO_MS, _hears(_dead), _HEAR_AGAIN, AUDIO),
    Fault("channel_clipped", AUDIO_MS, _hears(_clipped), _HEAR_AGAIN, AUDIO),
    Fault("channels_swapped", AUDIO_MS, _hears(_swapped), _HEAR_AGAIN, AUDIO),
    Fault("channel_inverted", AUDIO_MS, _hears(_inverted), _HEAR_AGAIN, AUDIO),
    Fault(
        "camera_gone",
        DEPTH_MS,
        lambda running: running.stage.camera.close(),
        lambda running: running.stage.camera.plug(),
        DEPTH,
    ),
    Fault("camera_frozen", DEPTH_MS, _freeze, _see_again, DEPTH),
    Fault("camera_garbage", DEPTH_MS, _garble, _see_again, DEPTH),
    Fault("disk_full", LOG_MS, _fill_disk, small_disk=True),
    Fault("log_folder_gone", LOG_MS, _remove_log_folder),
    Fault("core_eaten", GOES_ON, _eat_core, _stop_eating),
    Fault(
        "wall_clock_forward",
        GOES_ON,
        _steps_wall_clock(wall_clock.STEP_S),
        _steps_wall_clock(-wall_clock.STEP_S),
        unnoticed=True,
    ),
    Fault(
        "wall_clock_back",
        GOES_ON,
        _steps_wall_clock(-wall_clock.STEP_S),
        _steps_wall_clock(wall_clock.STEP_S),
        unnoticed=True,
    ),
)
