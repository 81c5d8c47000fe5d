"""RLR Audio Propagation, the engine behind SoundSpaces 2.0, as a reference and as a clock to beat.

It is Meta's closed library under CC-BY-NC 4.0: fine for research that compares, not for products, so phonotaxis never
depends on it. `pip install rlr-audio-propagation` (Linux, x86-64) brings it; without it these rows are left out.

What has been found out about it, and is fixed here rather than fitted:

- Its axes are y up: world (x, y, z) is passed as (x, z, -y). Its ambisonics are ACN/N3D in its own axes, so that world
  x = channel 3 / sqrt 3, y = -channel 2 / sqrt 3, z = channel 1 / sqrt 3, and pressure is sqrt(4 pi) times channel 0.
- There is no diffraction unless `mesh_simplification` is on.
- Its air takes half of what ISO 9613 says, in dB: in a smooth room of 10 x 8 x 4 m that absorbs 2 or 4 %, energy
  falls faster than by Eyring's rate by 1.4, 2.0, 4.3 and 10.3 dB/km at 0.5 to 4 kHz (two responses each, fitted from
  0.2 to 1.2 s), where the standard has 2.8, 5.0, 9.0 and 22.9. Its interface has no setting for it.
- Arrivals stand on whole samples, 5 before the geometric delay: 4.2 to 5.2 early at 0.3 to 4.9 m, 16 kHz.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.envs.scenes import materials
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ, Material
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import ReferenceMissing
from phonotaxis.envs.truth.poses import Point

REFERENCE_RAYS = 5000
RATE_HZ = 16000
BANDS = 8
EARLY_SAMPLES = 5  # that arrivals come too soon
AIR_SHARE = 0.5  # of the standard's attenuation
_AXIS_CHANNELS, _AXIS_SIGNS = (3, 2, 1), (1.0, -1.0, 1.0)  # of world x, y, z


class Rlr:
    """One scene in RLR, with one source and one listener that move.

    Args:
        scene: the scene, given as its exact mesh and materials.
        rays: per response.
        sample_rate_hz: of the responses.
        ray_depth: most bounces of a ray; 200 is RLR's default.
        length_s: longest response; 4 s is RLR's default.
        bands: of its frequencies; 4 is RLR's default.
        simplify: the mesh, without which nothing is diffracted; RLR's default is not to.

    Raises:
        ReferenceMissing: RLR isn't installed.
    """

    def __init__(
        self,
        scene: Scene,
        rays: int = REFERENCE_RAYS,
        sample_rate_hz: int = RATE_HZ,
        ray_depth: int = 200,
        length_s: float = 4.0,
        bands: int = BANDS,
        simplify: bool = True,
    ) -> None:
        rlr = _library()
        config = rlr.Config()
        config.sample_rate, config.frequency_bands = float(sample_rate_hz), bands
        config.indirect_ray_count, config.indirect_ray_depth = rays, ray_depth
        config.max_ir_length, config.thread_count = length_s, 1
        config.mesh_simplification, config.transmission = int(simplify), 0
        with _quiet():
            self._context = rlr.Context(config)
            _give_materials(self._context)
            _give_mesh(self._context, scene)
            self._context.add_listener(rlr.ChannelLayout(rlr.ChannelLayoutType.Ambisonics, 4))
            self._context.add_source()

    def response(self, source_m: Point, listener_m: Point) -> np.ndarray:
        """Simulate one response.

        Args:
            source_m: world x, y, z, metres.
            listener_m: likewise.

        Returns:
            float64 [4, taps], W, X, Y, Z: pressure relative to the source's free field at 1 m, and the same times
            the direction cosines, world axes, of where it comes from; tap 0 is the moment of emission.
        """
        self.simulate(source_m, listener_m)
        channels = [np.asarray(self._context.get_ir_channel(0, 0, k), dtype=np.float64) for k in range(4)]
        taps = max(channel.size for channel in channels)
        raw = np.stack([np.pad(channel, (EARLY_SAMPLES, taps - channel.size)) for channel in channels])
        axes = [sign / np.sqrt(3.0) * raw[k] for k, sign in zip(_AXIS_CHANNELS, _AXIS_SIGNS)]
        return np.sqrt(4.0 * np.pi) * np.stack([raw[0], *axes])

    def simulate(self, source_m: Point, listener_m: Point) -> None:
        """Place source and listener and let RLR work; what its clock is read around."""
        self._context.set_source_position(0, _axes(source_m))
        self._context.set_listener_position(0, _axes(listener_m))
        with _quiet():
            self._context.simulate()


def rlr_seconds_per_response(
    scene: Scene,
    poses: Sequence[tuple[Point, Point]],
    rays: int,
    sample_rate_hz: int = RATE_HZ,
    ray_depth: int = 200,
    length_s: float = 4.0,
) -> float:
    """Time RLR on one thread, as it comes: 4 bands, no mesh simplification.

    Args:
        scene: where.
        poses: pairs of source and listener, world metres; the first is rendered once more, before the clock starts.
        rays: per response: 5000 is RLR's default, 250 to 500 what anyone would train with.
        sample_rate_hz: of the responses; RLR's default is 44100.
        ray_depth: most bounces.
        length_s: longest response.

    Returns:
        Mean seconds for a response, reading it included.

    Raises:
        ReferenceMissing: RLR isn't installed.
        ValueError: no poses.
    """
    if not poses:
        raise ValueError("expected at least one pair of source and listener to time RLR on, got none")
    rlr = Rlr(scene, rays, sample_rate_hz, ray_depth, length_s, bands=4, simplify=False)
    rlr.response(*poses[0])
    begin_ns = time.perf_counter_ns()
    for source_m, listener_m in poses:
        rlr.response(source_m, listener_m)
    return (time.perf_counter_ns() - begin_ns) * 1e-9 / len(poses)


def _library() -> Any:
    try:
        return importlib.import_module("rlr_audio_propagation")  # has neither types nor stubs
    except ImportError as error:
        raise ReferenceMissing(
            "RLR Audio Propagation isn't installed: pip install rlr-audio-propagation (Linux x86-64; CC-BY-NC, for "
            f"research only) [{error}]"
        ) from None


def _axes(point_m: Point) -> list[float]:
    x, y, z = point_m
    return [float(x), float(z), -float(y)]


def _give_materials(context: Any) -> None:
    """Hand over the simulator's own material table through the JSON file that RLR reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "materials.json"
        path.write_text(json.dumps({"materials": [_material(kind) for kind in materials.MATERIALS]}), encoding="utf-8")
        context.set_material_database_json(str(path))


def _material(kind: Material) -> dict[str, Any]:
    """Return a material in RLR's form: curves as flat lists of frequency and value; no sound goes through."""

    def curve(values: Sequence[float]) -> list[float]:
        return [number for pair in zip(OCTAVE_BANDS_HZ, values) for number in pair]

    none = [0.0] * len(OCTAVE_BANDS_HZ)
    return {
        "name": kind.name,
        "labels": [kind.name],
        "absorption": curve(kind.absorption),
        "scattering": curve(kind.scattering),
        "transmission": curve(none),
        "damping": curve(none),
        "density": 1000.0,
        "speed": 3000.0,
    }


def _give_mesh(context: Any, scene: Scene) -> None:
    mesh = scene.mesh
    x, y, z = np.asarray(mesh.vertices, dtype=np.float64).T
    context.add_object()
    context.add_mesh_vertices(np.stack([x, z, -y], axis=1).reshape(-1).tolist())
    material = mesh.metadata["material"]
    for index in np.unique(material):
        faces = np.asarray(mesh.faces[material == index], dtype=np.int64)
        context.add_mesh_indices(faces.reshape(-1).tolist(), 3, materials.MATERIALS[index].name)
    context.finalize_object_mesh(0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the library prints on standard output off it, where programs read `--json`: it goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
