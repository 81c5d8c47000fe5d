"""Rectangular rooms whose sound is known exactly: image sources, summed by pyroomacoustics.

Surfaces reflect like mirrors and absorb alike at all frequencies, so that Allen and Berkley's sum (JASA 65(4), 1979)
is exact. Air takes what the simulator's own table says, applied to the sum band by band: what is compared is the
room, not the air.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.bands import band_weights
from phonotaxis.envs.scenes import materials
from phonotaxis.envs.scenes.empty_room import EmptyRoomConfig, empty_room
from phonotaxis.envs.scenes.materials import Material
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import ReferenceMissing

DISPLACED_M = 0.08  # along each axis at most: pyroomacoustics' own default
_REACH_MARGIN_M = 2.0


@dataclass(frozen=True)
class Shoebox:
    """An empty room of smooth, grey surfaces; a corner is the origin.

    Attributes:
        name: of the room, unique: the simulator keys its tails by it.
        size_m: x, y, z; whole decimetres.
        floor: energy absorption of the floor at all frequencies, 0..1; walls and ceiling likewise.
        walls: of the four walls.
        ceiling: of the ceiling.
        length_s: how much of the impulse responses is compared: 1.2 reverberation times and more.
    """

    name: str
    size_m: tuple[float, float, float]
    floor: float
    walls: float
    ceiling: float
    length_s: float

    def scene(self) -> Scene:
        """Build the room as a scene; within `smooth_materials` of it."""
        width_m, depth_m, height_m = self.size_m
        config = EmptyRoomConfig(
            size_m=(width_m, depth_m),
            height_m=height_m,
            floor=_material(self.floor).name,
            walls=_material(self.walls).name,
            ceiling=_material(self.ceiling).name,
        )
        return empty_room(config, f"shoebox {self.name}")


def _material(absorption: float) -> Material:
    name = f"smooth_{round(1000 * absorption):03d}"
    bands = len(materials.OCTAVE_BANDS_HZ)
    same, none = (absorption,) * bands, (0.0,) * bands
    # A tuple's length is no constant to the type checker where it is multiplied.
    return Material(name, same, none, (200, 200, 200), "wall")  # type: ignore[arg-type]


@contextmanager
def smooth_materials(rooms: Iterable[Shoebox]) -> Iterator[None]:
    """Add the surfaces of some rooms to the simulator's materials, for as long as the block runs.

    Real surfaces scatter, and no closed form covers that, so the shipped materials hold none without.

    Raises:
        RuntimeError: the simulator has read its materials before and would look for these beyond their end.
    """
    before, index_before = materials.MATERIALS, dict(materials.INDEX)
    wanted = {a: _material(a) for room in rooms for a in (room.floor, room.walls, room.ceiling)}
    try:
        materials.MATERIALS = (*before, *wanted.values())
        materials.INDEX.update({m.name: len(before) + i for i, m in enumerate(wanted.values())})
        if len(materials.absorption_table()) != len(materials.MATERIALS):
            raise RuntimeError("materials.absorption_table is cached; clear it where smooth_materials adds to it")
        yield
    finally:
        materials.MATERIALS = before
        materials.INDEX.clear()
        materials.INDEX.update(index_before)


def image_responses(
    room: Shoebox,
    source_m: tuple[float, float, float],
    points_m: np.ndarray,
    sample_rate_hz: int,
    signs_seed: int | None = None,
    places_seed: int | None = None,
) -> np.ndarray:
    """Sum all image sources that arrive within a room's `length_s`.

    Args:
        room: where.
        source_m: x, y, z, metres.
        points_m: float64 [points, 3], where pressure is wanted.
        sample_rate_hz: of the responses.
        signs_seed: give every image a random sign, others at every point: waves then add up in energy, as geometrical
            acoustics has them do, where in truth the images in a row add up to standing waves.
        places_seed: displace every image but the source itself by up to `DISPLACED_M` along each axis, as walls that
            aren't quite parallel do: the randomised image method (De Sena, Antonello, Moonen and van Waterschoot,
            IEEE/ACM TASLP 23(4), 2015), against the sweeping echoes of a perfect box.

    Returns:
        float64 [points, taps], pressure relative to the source's free field at 1 m; tap 0 is the emission.

    Raises:
        ReferenceMissing: pyroomacoustics isn't installed.
    """
    pra = _pyroomacoustics()
    source = _images(pra, room, source_m, points_m.mean(axis=0), sample_rate_hz)
    before = pra.constants.get("frac_delay_length") // 2
    taps = round(room.length_s * sample_rate_hz)
    out = np.zeros((len(points_m), taps))
    seen = np.ones(source.images.shape[1], dtype=np.bool_)
    damping, rng = source.damping, np.random.Generator(np.random.PCG64([0x7369676E, signs_seed or 0]))
    if places_seed is not None:
        away = np.random.Generator(np.random.PCG64([0x706C6163, places_seed]))
        moved = away.uniform(-DISPLACED_M, DISPLACED_M, source.images.shape)
        moved[:, np.linalg.norm(source.images - np.array(source_m)[:, None], axis=0) < 1e-3] = 0.0
        source.images = (source.images + moved).astype(np.float32)
    for row, point in zip(out, points_m):
        if signs_seed is not None:
            source.damping = damping * rng.choice(np.array([-1.0, 1.0], dtype=np.float32), damping.shape)
        summed = pra.simulation.ism.compute_ism_rir(
            source, point.astype(np.float32), None, None, seen, 2 * before + 1, SPEED_OF_SOUND_MPS, sample_rate_hz, None
        )
        kept = summed[before : before + taps]
        row[: kept.size] = kept
    return with_air(out, sample_rate_hz)


def _images(pra: Any, room: Shoebox, source_m: tuple[float, float, float], about_m: np.ndarray, rate_hz: int) -> Any:
    """Return pyroomacoustics' source with the images that can arrive in time, and no others."""
    reach_m = room.length_s * SPEED_OF_SOUND_MPS + _REACH_MARGIN_M
    order = int(np.ceil(reach_m * np.sqrt(np.sum(1.0 / np.square(room.size_m))))) + 3
    walls = {name: pra.Material(room.walls) for name in ("east", "west", "south", "north")}
    surfaces = walls | {"floor": pra.Material(room.floor), "ceiling": pra.Material(room.ceiling)}
    box = pra.ShoeBox(room.size_m, fs=rate_hz, materials=surfaces, max_order=order, air_absorption=False)
    box.set_sound_speed(SPEED_OF_SOUND_MPS)
    box.add_source(list(source_m))
    box.add_microphone(list(about_m))
    box.image_source_model()
    source = box.sources[0]
    keep = np.linalg.norm(source.images - about_m[:, None], axis=0) < reach_m
    source.images, source.damping = source.images[:, keep], source.damping[:, keep]
    return source


def _pyroomacoustics() -> Any:
    try:
        import pyroomacoustics as pra
    except ModuleNotFoundError:
        raise ReferenceMissing(
            "exact image sources need pyroomacoustics, which isn't installed: pip install 'phonotaxis[bench]'"
        ) from None
    pra.constants.set("num_threads", 1)  # sums in one order, whatever the machine
    return pra


def with_air(responses: np.ndarray, sample_rate_hz: int, times: float = 1.0) -> np.ndarray:
    """Attenuate responses as the air does: what arrives after r metres in a band by exp(-a r).

    Args:
        responses: float64 [rows, taps]; tap 0 is the emission.
        sample_rate_hz: of the responses.
        times: how often; below 0 to take air away that there was.

    Returns:
        float64 [rows, taps].
    """
    taps = responses.shape[1]
    length = 2 * taps
    weights = band_weights(np.maximum(np.fft.rfftfreq(length, 1.0 / sample_rate_hz), 1.0))
    metres = np.arange(taps) / sample_rate_hz * SPEED_OF_SOUND_MPS
    spectra = np.fft.rfft(responses, length, axis=1)
    out = np.zeros_like(responses)
    for weight, exponent in zip(weights, amplitude_exponent_per_m()):
        out += np.fft.irfft(spectra * weight, length, axis=1)[:, :taps] * np.exp(-times * float(exponent) * metres)
    return out
