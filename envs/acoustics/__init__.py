"""Sound: early paths exactly, a late field traced once per source, and convolution that keeps its place in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.source_directivity import SourceDirectivity
from phonotaxis.envs.scenes.scene import Scene, SceneError

__all__ = ["impulse_response"]


def impulse_response(
    scene: Scene,
    source_m: tuple[float, float, float],
    listener_m: tuple[float, float, float],
    yaw_rad: float = 0.0,
    array: str | Path | MicrophoneArray = "respeaker_usb_v2",
    sample_rate_hz: int = 16000,
    length_s: float = 0.5,
    directivity: SourceDirectivity | None = None,
    heading_rad: float = 0.0,
) -> np.ndarray:
    """Return the impulse response from a source to every microphone of an array.

    Args:
        scene: where.
        source_m: world x, y, z, metres.
        listener_m: world x, y, z of the array's centre (the mean of its microphones), metres.
        yaw_rad: heading of the robot, counter-clockwise from world x.
        array: a preset's name, a YAML file's path, or an array.
        sample_rate_hz: of the response, 8000 to 96000.
        length_s: of the response, up to 10.
        directivity: of the source; None for an omnidirectional one.
        heading_rad: that the source faces, counter-clockwise from world x.

    Returns:
        float32 [mics, taps], pressure relative to the source's free field at 1 m on its axis; tap 0 is the moment of
        emission.

    Raises:
        SceneError: source or listener is outside the scene or inside matter, or the listener is far from any floor.
        ConfigError: no such array.
        ValueError: a length or sample rate out of range, or a yaw or heading that isn't finite.
    """
    from phonotaxis.envs.acoustics.directivity import build_directivity
    from phonotaxis.envs.acoustics.field import check_in_air, scene_sound, source_field
    from phonotaxis.envs.acoustics.regions import BORROWED_M
    from phonotaxis.envs.acoustics.renderer import ResponseRenderer, new_field_list, new_scene_list
    from phonotaxis.envs.acoustics.source_directivity import beam

    if not 8000 <= sample_rate_hz <= 96000:
        raise ValueError(f"sample_rate_hz must be 8000 to 96000, got {sample_rate_hz}")
    if not 1.0 / sample_rate_hz <= length_s <= 10.0:
        raise ValueError(f"length_s must be at least one sample and at most 10 s, got {length_s}")
    for name, angle in (("yaw_rad", yaw_rad), ("heading_rad", heading_rad)):
        if not np.isfinite(angle):
            raise ValueError(f"{name} must be a finite number, got {angle}")
    if not isinstance(array, MicrophoneArray):
        array = presets.load("arrays", array, MicrophoneArray)
    check_in_air(scene, listener_m, "listener")
    sound = scene_sound(scene)[0]
    if sound.label[scene.cell_of(*listener_m[:2])] < 0:
        raise SceneError(
            f"the listener at ({', '.join(f'{v:.2f}' for v in listener_m)}) m is more than {BORROWED_M:g} m from any "
            "floor, so that no late field is known there; move it nearer to one"
        )
    taps = int(round(length_s * sample_rate_hz))
    base = array.positions_m()
    centre = base.mean(axis=0)
    base = base - centre + [0.0, 0.0, listener_m[2]]
    of_mics = build_directivity(array, sample_rate_hz)
    renderer = ResponseRenderer(base, sample_rate_hz, taps, early_taps=taps, directivity=of_mics)
    listeners, out = renderer.listeners(1), renderer.responses(1)
    field = source_field(scene, source_m, length_s, beam(directivity, heading_rad))
    listeners.pose[0] = listener_m[0], listener_m[1], yaw_rad
    listeners.source_m[0] = field.source_m
    scenes, fields = new_scene_list(sound), new_field_list(field)
    renderer.render(np.zeros(1, dtype=np.int64), scenes, fields, listeners, out)
    response: np.ndarray = out.early[0]
    return response
