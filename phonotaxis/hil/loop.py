"""One episode of the hardware in the loop: the robot's own process against the simulator's devices."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import Contract
from phonotaxis.configs.devices import CameraPipeline, HardwareDevices, Microphones, WaveshareDrive
from phonotaxis.configs.robot import CameraConfig, DriveConfig, RobotConfig
from phonotaxis.deploy.control import ControlError, ask
from phonotaxis.envs.hil.chassis import WheelEvent
from phonotaxis.envs.hil.world import Stage, Window
from phonotaxis.envs.simulated_robot import SimulatedWorld
from phonotaxis.errors import UserError

READY_S = 60.0
DEAD_MAN_MS = 200.0
END_S = 20.0
ARM_AFTER_S = 0.1  # into the world's first window: the last quiet step is over, its own is to come


class HilError(UserError):
    """The loop could not be closed; the message says where it is open."""


@dataclass(eq=False)
class HilEpisode:
    """What one episode left.

    Attributes:
        outcome: of the run, e.g. goal_reached.
        message: what the run said of it.
        path: of the episode's file; None where the run wrote none.
        summary: of the run, empty where it was killed.
        windows: of the world.
        arrivals: commands at the board: monotonic time, v, w.
        events: changes at the wheels.
        cpu_share: of one core, of runtime and guardian together while the world ran.
        armed_ns: when the person armed.
        facts: what a fault's script noted.
        device_sound: what the array delivered where it runs at another rate, int16 [device_channels, samples] each.
        device_rate_hz: that rate; None where it is the policy's.
        array_delay_s: by which the array's sound is late.
    """

    outcome: str
    message: str
    path: Path | None
    summary: dict[str, Any]
    windows: list[Window]
    arrivals: list[tuple[int, float, float]]
    events: list[WheelEvent]
    cpu_share: float
    armed_ns: int
    facts: dict[str, Any] = field(default_factory=dict)
    device_sound: list[np.ndarray] = field(default_factory=list)
    device_rate_hz: int | None = None
    array_delay_s: float = 0.0


def robot_of(contract: Contract, stage: Stage) -> RobotConfig:
    """Return the robot whose devices a stage provides: what a user would write for a Waveshare UGV."""
    return RobotConfig(
        name="hardware-in-the-loop",
        array=contract.array,
        sample_rate_hz=contract.sample_rate_hz,
        camera=CameraConfig(pinhole=contract.camera),
        radius_m=contract.body.radius_m,
        height_m=contract.body.height_m,
        drive=DriveConfig(dead_man_ms=DEAD_MAN_MS),
        devices=HardwareDevices(
            microphones=Microphones(
                device=stage.array_name,
                device_rate_hz=stage.device_rate_hz,
                latency_ms=1000.0 * stage.array_delay_s,
            ),
            camera=CameraPipeline(pipeline=stage.camera.pipeline),
            drive=WaveshareDrive(port=str(stage.port), odometer_unit_m=1.0, track_m=stage.track_m),
        ),
    )


@dataclass(eq=False)
class Running:
    """A robot that runs on a stage: what a fault's script gets to break.

    Attributes:
        process: the runtime's.
        guardian_pid: its guardian's.
        stage: the devices.
        robot: its configuration.
        episodes: folder of its log.
        left_behind: processes that a fault started, to be ended.
    """

    process: subprocess.Popen[str]
    guardian_pid: int
    stage: Stage
    robot: RobotConfig
    episodes: Path
    left_behind: list[subprocess.Popen[bytes]] = field(default_factory=list)


def run_episode(
    world: SimulatedWorld,
    policy: Path,
    episodes: Path,
    seconds: float,
    script: Callable[[Running], dict[str, Any]] | None = None,
    goal: str | None = None,
    device_rate_hz: int | None = None,
    caution: float | None = None,
) -> HilEpisode:
    """Run a policy on one episode of a world, in real time.

    Args:
        world: what to simulate.
        policy: the bundle.
        episodes: folder for the robot's log.
        seconds: at most, from the episode's first sample.
        script: called once the robot is armed, beside the running world; its facts are kept.
        goal: what the robot is told to find, for a policy that is told.
        device_rate_hz: of the array; None is the policy's.
        caution: where the knob stands, for a policy that has one.

    Raises:
        HilError: the robot doesn't start.
        PulseError: no sound server here.
    """
    folder = Path(tempfile.mkdtemp(prefix="ph-hil-"))  # short and 0700
    stage = Stage(folder, world, device_rate_hz=device_rate_hz)
    try:
        config = folder / "robot.yaml"
        command = robot_command(config, policy, episodes, seconds + READY_S, goal, caution)
        return _Episode(stage, config, command, episodes, seconds, folder).run(script)
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)


def robot_command(
    robot: Path, policy: Path, episodes: Path, seconds: float, goal: str | None, caution: float | None
) -> list[str]:
    """Return the command line of the robot's own process, as a service on the robot has it."""
    return [
        *(sys.executable, "-m", "phonotaxis.deploy.runtime", "--robot", str(robot), "--policy", str(policy)),
        *("--episode", str(episodes), "--duration", str(seconds)),
        *(() if goal is None else ("--goal", goal)),
        *(() if caution is None else ("--caution", str(caution))),
    ]


class _Episode:
    def __init__(
        self, stage: Stage, config: Path, command: list[str], episodes: Path, seconds: float, folder: Path
    ) -> None:
        self._stage, self._seconds, self._episodes = stage, seconds, episodes
        self._robot = robot_of(stage.world.contract, stage)
        config.write_text(self._robot.model_dump_json())  # JSON is YAML
        self._runtime_dir = folder / "run"
        self._runtime_dir.mkdir(mode=0o700)
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **stage.pulse.environment()},
        )

    def run(self, script: Callable[[Running], dict[str, Any]] | None) -> HilEpisode:
        stage, process = self._stage, self._process
        began = threading.Event()
        world = threading.Thread(target=stage.run, args=(self._seconds, began), daemon=True)
        try:
            if not stage.wait_for_robot(READY_S, lambda: process.poll() is None):
                raise HilError(f"the robot did not open its devices: {self._kill()}")
            world.start()
            began.wait(10.0)
            time.sleep(ARM_AFTER_S)
            guardian = self._guardian()
            cpu_s, cpu_at = _cpu_s(process.pid) + _cpu_s(guardian), time.monotonic()
            used_s, used_at = cpu_s, cpu_at
            armed_ns = self._arm()
            facts: dict[str, Any] = {}
            if script is not None:
                facts = script(Running(process, guardian, stage, self._robot, self._episodes))
            while world.is_alive() and process.poll() is None:
                used_s, used_at = _cpu_s(process.pid) + _cpu_s(guardian), time.monotonic()
                time.sleep(0.05)
            cpu_share = (used_s - cpu_s) / max(1e-9, used_at - cpu_at)
            return self._finish(world, cpu_share, armed_ns, facts)
        finally:
            self._kill()
            stage.stop.set()
            if world.ident is not None:
                world.join(5.0)  # it writes into devices that are closed next

    def _guardian(self) -> int:
        try:
            return _child(self._process.pid)
        except HilError as error:
            raise HilError(f"{error}: {self._kill()}") from None

    def _arm(self) -> int:
        deadline_s = time.monotonic() + 1.0
        while True:
            try:
                ask(self._robot, "arm")
            except ControlError as error:
                if time.monotonic() > deadline_s:
                    raise HilError(f"the robot could not be armed: {error}") from None
                time.sleep(0.02)
            else:
                return time.monotonic_ns()

    def _finish(self, world: threading.Thread, cpu_share: float, armed_ns: int, facts: dict[str, Any]) -> HilEpisode:
        stage, process = self._stage, self._process
        time.sleep(0.3)  # the wheels stand, or the dead man lets them
        stage.stop.set()
        world.join(5.0)
        if process.poll() is None:
            process.terminate()
        try:
            said, errors = process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, errors = process.communicate()
        summary = json.loads(said) if said.strip() else {}
        outcome = summary.get("outcome", "killed")
        if outcome == "interrupted" and "interrupted" not in facts:
            outcome = "timeout"  # it was this side that ended it
        path = summary.get("episode")
        return HilEpisode(
            outcome=outcome,
            message=summary.get("message") or errors.strip()[-400:],
            path=Path(path) if path else _newest(self._episodes),
            summary=summary,
            windows=stage.windows,
            arrivals=stage.chassis.arrivals,
            events=stage.chassis.events,
            cpu_share=cpu_share,
            armed_ns=armed_ns,
            facts=facts,
            device_sound=stage.device_sound,
            device_rate_hz=stage.device_rate_hz,
            array_delay_s=stage.array_delay_s,
        )

    def _kill(self) -> str:
        if self._process.poll() is None:
            self._process.kill()
        try:
            _, errors = self._process.communicate(timeout=5.0)
        except (ValueError, subprocess.TimeoutExpired):
            return "it was killed"
        return errors.strip()[-400:] or "it said nothing"


def _newest(folder: Path) -> Path | None:
    files = sorted(folder.glob("*.mcap"))
    return files[-1] if files else None


def _child(pid: int) -> int:
    """Return the guardian among the processes that a runtime has started."""
    deadline_s = time.monotonic() + 1.0
    while time.monotonic() < deadline_s:  # the kernel's list may miss one while threads come and go (proc(5))
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                for child in children.read_text().split():
                    if "guardian" in Path(f"/proc/{child}/cmdline").read_text():
                        return int(child)
        time.sleep(0.01)
    raise HilError("the robot has no guardian")


def _cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, 0 once it has ended (proc(5), fields 14 and 15)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
