"""`phonotaxis devices`: what is plugged in, and whether it does what the robot's file says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Group, Json, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    import numpy as np

    from phonotaxis.configs.devices import HardwareDevices
    from phonotaxis.configs.robot import RobotConfig
    from phonotaxis.deploy.devices import AudioBlock, DepthFrame

Robot = Annotated[str, typer.Option(help="Your robot's .yaml file.")]


def list_devices(json: Json = False) -> None:
    """List the sound cards that can record, the serial ports, and the sources of GStreamer that are installed."""
    from phonotaxis.deploy.jetson import portaudio

    audio = portaudio.start()
    try:
        cards = portaudio.sound_cards(audio)
    finally:
        audio.terminate()
    found = {}
    for number, card in enumerate(cards):
        found[f"microphones_{number}"] = Figure(f"{card.name}: {card.channels} channels, {card.sample_rate_hz:.0f} Hz")
    for number, port in enumerate(_serial_ports()):
        found[f"serial_{number}"] = Figure(port)
    for element in ("v4l2src", "nvarguscamerasrc", "videotestsrc"):
        found[f"gstreamer_{element}"] = Figure(_has_element(element))
    emit("devices list", found, json)


def _serial_ports() -> list[str]:
    from serial.tools import list_ports

    return sorted(f"{port.device}: {port.description}" for port in list_ports.comports())


def _has_element(name: str) -> bool:
    from phonotaxis.deploy.jetson.pipeline import gstreamer

    return gstreamer().ElementFactory.find(name) is not None


def microphones(
    robot: Robot,
    seconds: Annotated[float, typer.Option(help="To listen.", min=1.0, max=60.0)] = 5.0,
    azimuth: Annotated[
        float | None,
        typer.Option(help="Where you clap from, degrees counter-clockwise from straight ahead: finds mirrored arrays."),
    ] = None,
    json: Json = False,
) -> None:
    """Show each channel's level while you clap, then say which are dead, swapped, inverted or processed."""
    import numpy as np

    from phonotaxis.deploy.jetson.channel_check import check_channels

    config = _hardware(robot)
    samples, device_rate_hz = _record_with_meter(config, seconds)
    known = None if azimuth is None else float(np.deg2rad(azimuth))
    report = check_channels(samples, config.array, config.sample_rate_hz, known)
    found = {f"channel_{i}_level": Figure(float(level), "dBFS") for i, level in enumerate(report.level_dbfs)}
    found["azimuth"] = Figure(None if report.azimuth_rad is None else float(np.rad2deg(report.azimuth_rad)), "deg")
    found["device_rate"] = Figure(device_rate_hz, "Hz")
    found["resampled"] = Figure(device_rate_hz != config.sample_rate_hz)
    found["faults"] = Figure(len(report.faults))
    emit("devices microphones", found, json)
    for text in (report.unjudged, *report.faults):
        if text:
            say(f"phonotaxis: {text}")
    if report.faults:
        raise typer.Exit(1)


def _record_with_meter(config: RobotConfig, seconds: float) -> tuple[np.ndarray, int]:
    import numpy as np
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from phonotaxis.deploy.devices import DeviceError
    from phonotaxis.deploy.jetson.microphones import LiveMicrophones

    device = LiveMicrophones(_devices(config).microphones, config.array, config.sample_rate_hz)
    blocks = []
    try:
        with Live(Text("listening"), console=Console(stderr=True), transient=True) as live:
            deadline_s = time.monotonic() + seconds
            while time.monotonic() < deadline_s:
                block = device.read_block(0.1)
                if block is not None:
                    blocks.append(block.samples)
                    live.update(Text(_meter(block.samples)))
    finally:
        device.close()
    if not blocks:
        raise DeviceError(device.fault or "no sound came; is the array muted or suspended?")
    return np.concatenate(blocks, axis=1), device.device_rate_hz


def _meter(samples: np.ndarray) -> str:
    import numpy as np

    rms = np.sqrt((samples.astype(np.float64) ** 2).mean(axis=1))
    levels = 20 * np.log10(np.maximum(rms, 0.5) / 32768)
    return "\n".join(f"{i}: {'#' * int(max(0, level + 96) / 2):48} {level:6.1f} dBFS" for i, level in enumerate(levels))


def camera(
    robot: Robot,
    out: Annotated[Path, typer.Option(help="Image to write.")] = Path("frame.png"),
    seconds: Annotated[float, typer.Option(help="To wait for a frame.", min=1.0)] = 10.0,
    json: Json = False,
) -> None:
    """Take a depth frame and write it as a PNG of 16 bit, in millimetres."""
    from phonotaxis.deploy.clock import now_ns
    from phonotaxis.deploy.devices import DeviceError
    from phonotaxis.deploy.jetson.cameras import LiveCamera
    from phonotaxis.deploy.jetson.png import write_png16

    config = _hardware(robot)
    device = LiveCamera(_devices(config).camera, config.camera)
    try:
        deadline_s = time.monotonic() + seconds
        while (frame := device.latest()) is None and time.monotonic() < deadline_s:
            time.sleep(0.02)
        age_ms = 0.0 if frame is None else (now_ns() - frame.capture_ns) * 1e-6
    finally:
        device.close()
    if frame is None:
        raise DeviceError(device.fault or f"no frame within {seconds:g} s")
    write_png16(out, (frame.depth_m * 1000).round().clip(0, 65535).astype("uint16"))
    known = frame.depth_m > 0
    found = {
        "image": Figure(str(out)),
        "known": Figure(float(known.mean())),
        "nearest": Figure(float(frame.depth_m[known].min()) if known.any() else None, "m"),
        "age": Figure(age_ms, "ms"),
        "refused": Figure(device.refused),
    }
    emit("devices camera", found, json)


def button(
    device: Annotated[str, typer.Argument(help="The input device, /dev/input/by-id/... or event*.")],
    seconds: Annotated[float, typer.Option(help="To wait for presses.", min=0.5)] = 10.0,
    json: Json = False,
) -> None:
    """Show the key codes of a button that is pressed: what a robot's file has under arm_button."""
    from phonotaxis.deploy.clock import now_ns
    from phonotaxis.deploy.devices import DeviceError
    from phonotaxis.deploy.input_device import EV_KEY, PRESSED, InputDevice

    codes = []
    source = InputDevice(device, "input device", now_ns())
    try:
        deadline_s = time.monotonic() + seconds
        while not source.notices and time.monotonic() < deadline_s:
            for kind, code, value in source.events(now_ns()):
                if (kind, value) == (EV_KEY, PRESSED):
                    codes.append(code)
                    say(f"key code {code}")
            time.sleep(0.02)
    finally:
        source.close()
    if source.notices:
        raise DeviceError(source.notices[0][1])
    listed = ", ".join(str(code) for code in sorted(set(codes)))
    emit("devices button", {"presses": Figure(len(codes)), "key_codes": Figure(listed)}, json)


def sync(
    robot: Robot,
    seconds: Annotated[float, typer.Option(help="To watch and listen.", min=5.0)] = 40.0,
    store: Annotated[bool, typer.Option(help="Write the result into the robot's file, or only print it.")] = True,
    json: Json = False,
) -> None:
    """Measure how late the image is against the sound, and store it: clap before the camera, at least 20 times.

    It is written into the robot's file, where `run` finds it: devices.camera.latency_ms is taken off the image's
    capture times, devices.microphones.latency_ms off the sound's. All else in the file stays as it is.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.deploy.jetson import sync as measured

    config = _hardware(robot)
    blocks, frames = _watch_and_listen(config, seconds)
    sound = measured.sound_onsets(blocks, config.array.channel_map[0], config.sample_rate_hz)
    offset = measured.offset_between(sound, measured.image_onsets(frames))
    measured.check_spread(offset, measured.frame_ms(frames))
    latencies = measured.corrected(_devices(config), offset)
    refusal = ""
    if store:
        try:
            measured.store(Path(robot), config, latencies)
        except ConfigError as error:
            refusal = str(error)
    found = {
        "image_late": Figure(offset.image_late_ms, "ms"),
        "spread": Figure(offset.spread_ms, "ms"),
        "events": Figure(offset.events),
        **{f"{keys[1]}_latency": Figure(value, "ms") for keys, value in latencies.items()},
        "stored": Figure(store and not refusal),
    }
    emit("devices sync", found, json)
    if store and not refusal:
        say(f"stored in {robot}")
    else:
        say(f"write into {robot}: {measured.by_hand(latencies)}")
    if refusal:
        say(f"phonotaxis: {refusal}")
        raise typer.Exit(1)


def _watch_and_listen(config: RobotConfig, seconds: float) -> tuple[list[AudioBlock], list[DepthFrame]]:
    from phonotaxis.deploy.devices import DeviceError
    from phonotaxis.deploy.jetson.cameras import LiveCamera
    from phonotaxis.deploy.jetson.microphones import LiveMicrophones
    from phonotaxis.deploy.jetson.sync import thinned

    device = LiveMicrophones(_devices(config).microphones, config.array, config.sample_rate_hz)
    blocks: list[AudioBlock] = []
    frames: list[DepthFrame] = []
    try:
        eye = LiveCamera(_devices(config).camera, config.camera)
        try:
            deadline_s = time.monotonic() + seconds
            while time.monotonic() < deadline_s:
                block = device.read_block(0.1)
                blocks += [] if block is None else [block]
                frames += map(thinned, eye.unread())
        finally:
            eye.close()
    finally:
        device.close()
    if not blocks:
        raise DeviceError(device.fault or "no sound came; is the array muted or suspended?")
    if not frames:
        raise DeviceError(eye.fault or f"no frame within {seconds:g} s")
    return blocks, frames


def _hardware(robot: str) -> RobotConfig:
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.devices import HardwareDevices
    from phonotaxis.configs.robot import load_robot

    config = load_robot(robot)
    if not isinstance(config.devices, HardwareDevices):
        raise ConfigError(f"robot '{robot}' has {config.devices.kind} devices; this is for devices.kind: hardware")
    return config


def _devices(config: RobotConfig) -> HardwareDevices:
    from phonotaxis.configs.devices import HardwareDevices

    assert isinstance(config.devices, HardwareDevices)
    return config.devices


GROUP = Group(
    "devices",
    "Microphones, cameras, ports and buttons: list them, and try what a robot's file names.",
    (
        Command("list", list_devices, (("phonotaxis devices list", "what is plugged in"),)),
        Command(
            "microphones",
            microphones,
            (
                ("phonotaxis devices microphones --robot my_robot.yaml", "clap, and see"),
                ("phonotaxis devices microphones --robot my_robot.yaml --azimuth 0", "clap from straight ahead"),
            ),
            needs_arguments=True,
        ),
        Command(
            "sync",
            sync,
            (
                ("phonotaxis devices sync --robot my_robot.yaml", "clap 20 times before the camera"),
                ("phonotaxis devices sync --robot my_robot.yaml --no-store", "and leave the robot's file alone"),
            ),
            needs_arguments=True,
        ),
        Command(
            "camera",
            camera,
            (("phonotaxis devices camera --robot my_robot.yaml", "one frame to frame.png"),),
            needs_arguments=True,
        ),
        Command(
            "button",
            button,
            (("phonotaxis devices button /dev/input/by-id/usb-MY_BUTTON-event-kbd", "press it: its key code"),),
            needs_arguments=True,
        ),
    ),
)
