from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, GoalSpec, PinholeCamera, discrete_actions
from phonotaxis.configs.geometry import pixel_rays
from phonotaxis.configs.robot import RobotConfig, load_robot, simulated_robot
from phonotaxis.deploy.control import Control, control_path
from phonotaxis.deploy.devices import OdometrySample
from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path
from phonotaxis.deploy.guardian import Guardian, serve
from phonotaxis.deploy.rollout import RolloutStep, write_rollout
from phonotaxis.deploy.steps import PolicyRunner
from phonotaxis.envs.simulated_robot import RobotServer, WindowResult
from phonotaxis.export.bundle import Bundle, read_bundle, seal, write_bundle
from phonotaxis.export.engines import Engine, open_engine

STATE = 5


def make_contract(**changes: Any) -> Contract:
    fields: dict[str, Any] = {
        "task": "toy",
        "array": presets.load("arrays", "respeaker_usb_v2", MicrophoneArray),
        "camera": PinholeCamera(width=32, height=32, fx=16.0, fy=16.0, cx=16.0, cy=16.0),
        "actions": discrete_actions(0.25, np.deg2rad(10.0), 0.25),
        "state_shape": (STATE,),
        **changes,
    }
    return Contract(**fields)


def toy_model(contract: Contract, stop_after: float, eager: float) -> bytes:
    """Make a policy whose outputs depend on every input and on its memory, and that stops in the end."""
    rng = np.random.default_rng(7)
    mics, hop = contract.array.mics, contract.hop_samples
    height, width = contract.camera.height, contract.camera.width
    table = {
        "ear": rng.normal(size=(mics * hop, STATE)) * 0.05,
        "eye": rng.normal(size=(height * width, STATE)) * 0.01,
        "feel": rng.normal(size=(6, STATE)) * 0.1,
        "head": np.zeros((STATE, 4)),
        "bias": np.array([-stop_after, eager, 0.1, 0.2]),
        "critic": rng.normal(size=(STATE, 1)),
        "where": rng.normal(size=(STATE, 3)),
        "far": rng.normal(size=(STATE, 2)),
        "keep": np.diag([1.0, 0.5, 0.5, 0.5, 0.5]),
        "count": np.array([1.0, 0, 0, 0, 0]),
        "rest": np.array([0.0, 1, 1, 1, 1]),
        "one": np.array([1.0]),
    }
    table["head"][0, 0] = 1.0  # the first number of the memory counts steps
    table["head"][1:] = rng.normal(size=(STATE - 1, 4)) * [0.0, 0.01, 0.1, 0.1]
    senses = ["heard", "seen", "felt", "depth_age_s", "motion_valid"]
    told = []
    if contract.goal is not None:
        table["tell"] = np.random.default_rng(8).normal(size=(contract.goal.size, STATE))
        told, senses = [helper.make_node("MatMul", ["goal", "tell"], ["told"])], [*senses, "told"]
    scored = [helper.make_node("MatMul", ["state_out", "head"], ["scores"])]
    if contract.caution:
        table["care"] = np.array([[0.0, 0.0, 1.0, -0.5]])
        scored = [
            helper.make_node("MatMul", ["state_out", "head"], ["scores_without"]),
            helper.make_node("MatMul", ["caution", "care"], ["cared"]),
            helper.make_node("Add", ["scores_without", "cared"], ["scores"]),
        ]
    nodes = [
        *told,
        helper.make_node("Flatten", ["audio"], ["flat_audio"]),
        helper.make_node("MatMul", ["flat_audio", "ear"], ["heard"]),
        helper.make_node("Flatten", ["depth"], ["flat_depth"]),
        helper.make_node("MatMul", ["flat_depth", "eye"], ["seen"]),
        helper.make_node("MatMul", ["motion", "feel"], ["felt"]),
        helper.make_node("Sub", ["one", "episode_start"], ["go_on"]),
        helper.make_node("Mul", ["state_in", "go_on"], ["memory"]),
        helper.make_node("MatMul", ["memory", "keep"], ["kept"]),
        helper.make_node("Sum", senses, ["sensed"]),
        helper.make_node("Tanh", ["sensed"], ["bounded"]),
        helper.make_node("Mul", ["bounded", "rest"], ["new"]),
        helper.make_node("Sum", ["kept", "new", "count"], ["state_out"]),
        *scored,
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["action"], axis=1, keepdims=0),
        helper.make_node("MatMul", ["state_out", "critic"], ["value"]),
        helper.make_node("MatMul", ["state_out", "where"], ["bearing"]),
        helper.make_node("MatMul", ["state_out", "far"], ["distance"]),
    ]
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    inputs, outputs = (
        [helper.make_tensor_value_info(s.name, kinds[s.dtype], ["batch", *s.shape]) for s in specs]
        for specs in (contract.inputs(), contract.outputs())
    )
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in table.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def toy_bundle(path: Path, contract: Contract, stop_after: float = 1e6, eager: float = 0.3) -> Bundle:
    write_bundle(path, seal(toy_model(contract, stop_after, eager), contract, {"made_by": "a test"}))
    return read_bundle(path)


@dataclass
class FakeWorld:
    """An empty hall that ends at a wall; noise that depends on the window's number alone.

    Each microphone has its own noise, which comes from nowhere; with `waves` it comes from a few directions.
    """

    contract: Contract
    wall_m: float = 9.0
    pause_s: float = 0.0  # before the eighth window
    waves: bool = False
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    held: list[tuple[float, float]] = field(default_factory=list)

    def start(self) -> WindowResult:
        return self._window((0.0, 0.0, 0.0))

    def hold(self, v_mps: float, w_radps: float) -> WindowResult:
        self.held.append((v_mps, w_radps))
        if len(self.held) == 8:
            time.sleep(self.pause_s)
        period_s, (x, y, yaw) = self.contract.control_period_s, self.pose
        way_m, turn_rad = v_mps * period_s, w_radps * period_s
        self.pose = (x + way_m * np.cos(yaw), y + way_m * np.sin(yaw), yaw + turn_rad)
        return self._window((way_m, 0.0, turn_rad))

    def _window(self, odometry: tuple[float, float, float]) -> WindowResult:
        rng = np.random.default_rng(len(self.held))
        shape = (self.contract.array.device_channels, self.contract.hop_samples)
        audio = (rng.normal(size=shape) * 1000).astype(np.int16)
        if self.waves:
            audio[list(self.contract.array.channel_map)] = plane_waves(self.contract, rng).astype(np.int16)
        left_m = self.wall_m - self.pose[0]
        return WindowResult(audio, hall_depth(self.contract.camera, left_m), self.pose, odometry, False, left_m)


def plane_waves(contract: Contract, rng: np.random.Generator) -> np.ndarray:
    """Noise from four directions at the microphones, [mics, hop_samples]."""
    places_m, count = contract.array.positions_m(), contract.hop_samples
    hz = np.fft.rfftfreq(count, 1.0 / contract.sample_rate_hz)
    heard = np.zeros((contract.array.mics, count))
    for azimuth in (0.3, 1.7, 3.0, 5.1):
        lead_s = places_m @ np.array([np.cos(azimuth), np.sin(azimuth), 0.0]) / 343.0
        spectrum = np.fft.rfft(rng.normal(size=count) * 500)
        heard += np.fft.irfft(spectrum * np.exp(2j * np.pi * hz * lead_s[:, None]), count)
    return heard


def hall_depth(camera: PinholeCamera, wall_m: float) -> np.ndarray:
    """Depth of a level camera over a floor, before a wall at a distance from the base."""
    down = pixel_rays(camera)[..., 1]
    floor = np.where(down > 0, camera.mount_xyz_m[2] / np.maximum(down, 1e-9), np.inf)
    depth = np.minimum(floor, wall_m - camera.mount_xyz_m[0])
    known = (depth >= camera.min_range_m) & (depth <= camera.max_range_m)
    return np.where(known, depth, 0.0).astype(np.float32)


@dataclass
class Rig:
    """A simulated robot that serves one run, and the runtime as the process it is on a robot."""

    folder: Path
    contract: Contract
    robot: RobotConfig
    bundle: Bundle
    world: FakeWorld
    server: threading.Thread

    def command(self, *more: str, duration_s: float = 3.0) -> list[str]:
        robot = self.folder / "robot.yaml"
        robot.write_text(self.robot.model_dump_json())  # JSON is YAML
        return [
            *(sys.executable, "-m", "phonotaxis.deploy.runtime", "--robot", str(robot)),
            *("--policy", str(self.bundle.path), "--episode", str(self.folder / "episodes")),
            *("--duration", str(duration_s), *more),
        ]

    def start(self, *more: str, duration_s: float = 3.0, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*more, duration_s=duration_s),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **options,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
        out, err = process.communicate(timeout=60)
        self.server.join(30)
        assert not self.server.is_alive()
        return process.returncode, json.loads(out) if out.strip() else {}, err

    def truth(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / "truth.jsonl").read_text().splitlines()
        return [fact for fact in map(json.loads, lines) if fact["type"] == kind]

    def episode(self) -> Path:
        (path,) = (self.folder / "episodes").glob("*.mcap")
        return path


@dataclass
class FakeDrive:
    """A drive that does nothing and remembers what it was told.

    Attributes:
        got: speeds of each command, m/s and rad/s; who lets go of it stops it.
        listened: how often it was listened to.
        said: odometry that it delivers next.
        fault: what a command raises once the drive got as many as it `lasts`; None while it is well.
        refused: how many commands it has raised at.
    """

    dead_man_ms: float = 200.0
    got: list[tuple[float, float]] = field(default_factory=list)
    listened: int = 0
    said: list[OdometrySample] = field(default_factory=list)
    fault: Exception | None = None
    lasts: int = 0
    refused: int = 0

    def command(self, v_mps: float, w_radps: float) -> None:
        if self.fault is not None and len(self.got) >= self.lasts:
            self.refused += 1
            raise self.fault
        self.got.append((v_mps, w_radps))

    def fileno(self) -> int:
        return -1

    def listen(self) -> None:
        self.listened += 1

    def motions(self) -> list[OdometrySample]:
        said, self.said = self.said, []
        return said

    def close(self) -> None:
        self.got.append((0.0, 0.0))


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something, on however busy a machine."""

    def wait(reached: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 20.0
        while not reached():
            assert time.monotonic() < deadline_s
            time.sleep(0.005)

    return wait


@pytest.fixture
def fake_drive() -> type[FakeDrive]:
    """Hand on the class above: test modules can't import this one."""
    return FakeDrive


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="ph-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def robot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> RobotConfig:
    """Give the simulated robot, whose latch and socket stand in `folder`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return load_robot("simulated")


@pytest.fixture
def serving() -> Callable[[RobotConfig, Any], AbstractContextManager[Guardian]]:
    """Give a context in which a guardian of a robot's file and a drive serves its sockets, in a thread."""
    return _serving


@contextmanager
def _serving(robot: RobotConfig, drive: Any) -> Iterator[Guardian]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control = Control(control_path(robot))
    guardian = Guardian(robot, drive, EmergencyStop(latch_path(robot)))
    thread = threading.Thread(target=serve, args=(ours, guardian, control))
    thread.start()
    yield guardian
    theirs.close()
    thread.join(5.0)
    control.close()
    ours.close()


@pytest.fixture
def toy() -> SimpleNamespace:
    """Hand on the functions above: test modules can't import this one."""
    return SimpleNamespace(
        contract=make_contract, bundle=toy_bundle, world=FakeWorld, hall_depth=hall_depth, rollout=rollout
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def recorded(shelf: Path) -> tuple[Path, Bundle]:
    """Return an episode of the toy policy in the fake hall, written once for a module, and the policy."""
    path, contract = shelf / "episode.mcap", make_contract()
    bundle = toy_bundle(shelf / "toy.onnx", contract)
    if not path.exists():
        engine = open_engine(bundle)
        write_rollout(path, bundle, engine.fingerprint, rollout(contract, engine), scene="hall", seed=3)
    return path, bundle


def rollout(contract: Contract, engine: Engine, caution: float = 0.0) -> Iterator[RolloutStep]:
    """Yield a dozen steps of a policy in the fake hall; a new goal begins at the eighth."""
    world, runner = FakeWorld(contract), PolicyRunner(contract, engine)
    v, w, result = 0.0, 0.0, world.start()
    for step in range(12):
        heard = result.audio_int16[list(contract.array.channel_map)]
        observation = {
            "audio": heard.astype(np.float32) / np.float32(32768),
            "depth": result.depth_m,
            "depth_age_s": np.zeros(1, dtype=np.float32),
            "motion": np.array([*result.odometry, v, w, 0.0], dtype=np.float32),
            "motion_valid": np.ones(1, dtype=np.float32),
            **({"caution": np.array([caution], dtype=np.float32)} if contract.caution else {}),
            "episode_start": np.array([float(step in (0, 7))], dtype=np.float32),
        }
        outputs = runner.run(observation)
        yield RolloutStep(observation, outputs)
        v, w, _ = contract.setpoint(outputs["action"])
        result = world.hold(v, w)


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    servers: list[threading.Thread] = []

    def make(
        stop_after: float = 1e6,
        wall_m: float = 9.0,
        eager: float = 0.3,
        pause_s: float = 0.0,
        goal: GoalSpec | None = None,
        caution: bool = False,
        **changes: Any,
    ) -> Rig:
        contract = make_contract(goal=goal, caution=caution)
        socket = tmp_path / "wire" / "robot.sock"
        robot = simulated_robot(contract.array, contract.camera, socket, **changes)
        world = FakeWorld(contract, wall_m, pause_s)
        server = RobotServer(world, socket, tmp_path / "truth.jsonl", robot.drive.dead_man_ms)
        thread = threading.Thread(target=server.serve, args=(20.0, 30.0), daemon=True)
        thread.start()
        servers.append(thread)
        bundle = toy_bundle(tmp_path / "toy.onnx", contract, stop_after, eager)
        return Rig(tmp_path, contract, robot, bundle, world, thread)

    yield make
    for thread in servers:
        thread.join(30)
