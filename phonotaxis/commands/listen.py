"""`phonotaxis listen`: where a policy believes the sound is, live, beside steered response power. No robot needed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    import numpy as np

    from phonotaxis.deploy.steps import PolicyRunner

RADIUS = 10  # of the plot, in lines


def listen(
    policy: Annotated[Path, typer.Argument(help="The bundle, an .onnx file, whose array is listened to.")],
    device: Annotated[str, typer.Option(help="A part of the sound card's name; the array's own without.")] = "",
    seconds: Annotated[float, typer.Option(help="Stop after so long.", min=0.5)] = 3600.0,
    json: Json = False,
) -> None:
    """Plot where the policy believes the sound is (P) and where steered response power has it (S), live.

    Straight ahead is up, left is left. Depth is unknown to the policy here and it knows that it stands, so that
    what is seen is what it hears.
    """
    import numpy as np
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from phonotaxis.configs.contract import ACTION, BEARING, audio_from_int16
    from phonotaxis.configs.devices import Microphones
    from phonotaxis.deploy.devices import DeviceError
    from phonotaxis.deploy.jetson.microphones import LiveMicrophones
    from phonotaxis.deploy.jetson.srp import SteeredPower
    from phonotaxis.deploy.steps import PolicyRunner, action_name
    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.engines import open_engine

    bundle = read_bundle(policy)
    contract = bundle.contract
    runner = PolicyRunner(contract, open_engine(bundle))
    power = SteeredPower(contract.array, contract.sample_rate_hz, contract.window_samples)
    microphones = LiveMicrophones(Microphones(device=device), contract.array, contract.sample_rate_hz)
    window = np.zeros((contract.array.device_channels, 0), dtype=np.int16)
    apart_deg: list[float] = []
    steps, deadline_s = 0, time.monotonic() + seconds
    try:
        with Live(Text("listening"), console=Console(stderr=True), auto_refresh=False) as live:
            while time.monotonic() < deadline_s:
                block = microphones.read_block(0.1)
                if block is None:
                    continue
                window = np.concatenate([window, block.samples], axis=1)
                if window.shape[1] < contract.window_samples:
                    continue
                audio = audio_from_int16(window[list(contract.array.channel_map), : contract.window_samples])
                window = window[:, contract.hop_samples :]
                outputs = runner.run(_still(runner, audio, steps == 0))
                believed = math.atan2(outputs[BEARING][1], outputs[BEARING][0])
                heard = float(power.azimuth_rad[int(power(audio).argmax())])
                apart_deg.append(abs(math.degrees(math.remainder(believed - heard, 2 * math.pi))))
                steps += 1
                live.update(Text(polar(believed, heard, action_name(contract, outputs[ACTION]))), refresh=True)
    except KeyboardInterrupt:
        pass  # that is how one stops listening
    finally:
        microphones.close()
    if not steps:
        raise DeviceError(microphones.fault or "no sound came; is the array muted or suspended?")
    apart = Figure(float(np.median(apart_deg)), "deg")
    emit("listen", {"steps": Figure(steps), "apart_median": apart, "samples_lost": Figure(microphones.lost)}, json)


def _still(runner: PolicyRunner, audio: np.ndarray, first: bool) -> dict[str, np.ndarray]:
    """Return an observation of a robot that stands in the dark and hears."""
    import numpy as np

    from phonotaxis.configs.contract import AUDIO, DEPTH_AGE_S, EPISODE_START, MOTION_VALID

    seen = {s.name: np.zeros(s.shape, dtype=s.dtype) for s in runner.contract.observations()}
    return seen | {
        AUDIO: audio,
        DEPTH_AGE_S: np.zeros(1, dtype=np.float32),
        MOTION_VALID: np.ones(1, dtype=np.float32),
        EPISODE_START: np.array([float(first)], dtype=np.float32),
    }


def polar(believed_rad: float, heard_rad: float, action: str) -> str:
    """Draw two directions on a circle; ahead is up, counter-clockwise is to the left."""
    lines = [[" "] * (4 * RADIUS + 1) for _ in range(2 * RADIUS + 1)]

    def put(azimuth_rad: float, radius: float, mark: str) -> None:
        row, column = RADIUS - radius * math.cos(azimuth_rad), 2 * (RADIUS - radius * math.sin(azimuth_rad))
        lines[round(row)][round(column)] = mark

    for mark_deg in range(0, 360, 10):
        put(math.radians(mark_deg), RADIUS, ".")
    for step in range(2, 2 * RADIUS - 1):
        put(believed_rad, step / 2, "*")
    put(0.0, 0.0, "o")
    put(heard_rad, RADIUS, "S")
    put(believed_rad, RADIUS - 1, "P")
    degrees = f"{math.degrees(believed_rad):4.0f} deg", f"{math.degrees(heard_rad):4.0f} deg"
    told = f"P policy {degrees[0]}   S steered power {degrees[1]}   {action}"
    return "\n".join(["".join(line).rstrip() for line in lines] + [told])


COMMAND = Command(
    "listen",
    listen,
    (
        ("phonotaxis listen policy.onnx", "walk around the array and talk"),
        ("phonotaxis listen policy.onnx --device ReSpeaker", "another sound card"),
    ),
    needs_arguments=True,
)
