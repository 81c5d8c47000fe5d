"""The late field: energy rays from one source, read by every listening region.

Rays start uniformly over the sphere, are reflected at the plan's surfaces (mirrored, or scattered after Lambert's
law, as the material says), and leave energy in the regions they cross; `population` keeps what they carry alike. What
is kept of each region is the energy per time bin and octave band, and per time slot how it spreads over directions, so
that a listener hears *where from* the reverberation comes: a doorway stays a doorway, and under a ceiling that swallows
sound it comes from the sides. What `paths` renders exactly is not recorded here: the direct sound, and up to two mirror
reflections of which one is at a wall. What `echoes` renders is taken out afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics import smoothing
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.departure import gain_towards
from phonotaxis.envs.acoustics.population import copies_of, nobody_waits, note, survives, wait, weight_of
from phonotaxis.envs.acoustics.regions import Regions
from phonotaxis.envs.acoustics.smoothing import smooth_in_space, smooth_in_time
from phonotaxis.envs.acoustics.source_directivity import Beam, beam
from phonotaxis.envs.hashing import fold, key_of, unit
from phonotaxis.envs.scenes.materials import absorption_table, scattering_table
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.threads import ALONE, Crew

BIN_S = 0.01
RAYS = 1300
CHUNKS = 4  # of rays, each traced by one thread
AZIMUTHS, ELEVATIONS = 16, 5  # cells of direction, equal in solid angle
DIRECTIONS = AZIMUTHS * ELEVATIONS
_FINE_BINS, _COARSE = 8, 4  # a time slot is one bin at first, then four
CERTAIN = 255  # end of a cumulative share of energy
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
_SILENT = 1e-7  # share of a ray's energy below which it is dropped


class LateField(NamedTuple):
    """What one source leaves in the regions of a scene, relative to its free field at 1 m.

    Attributes:
        energy: float32 [regions, bins, bands], energy of the arrivals of each `BIN_S` of the impulse response,
            where the direct sound at r metres has 1 / r^2 in every band.
        directions: uint8 [regions, slots, DIRECTIONS], cumulative share of a slot's energy over the directions it
            comes from, up to `CERTAIN`; zero where there is no energy. Cell `e * AZIMUTHS + a` has azimuths
            (world) from a / AZIMUTHS of a turn, and sines of elevation from 2 e / ELEVATIONS - 1.
        first_m: float32 [regions], metres that the first ray has travelled; infinite where none came.
    """

    energy: np.ndarray
    directions: np.ndarray
    first_m: np.ndarray


@njit(cache=True, inline="always")
def slot_of(time_bin):
    """Return the slot of directions that a time bin belongs to."""
    return time_bin if time_bin < _FINE_BINS else _FINE_BINS + (time_bin - _FINE_BINS) // _COARSE


def trace_late_field(
    scene: Scene,
    regions: Regions,
    source_m: tuple[float, float, float],
    length_s: float,
    seed: int = 0,
    rays: int = RAYS,
    sends: Beam | None = None,
    crew: Crew = ALONE,
) -> LateField:
    """Trace the late field of a source; the bits don't depend on who does it.

    Args:
        scene: where.
        regions: its listening regions.
        source_m: world x, y, z, metres; in open air.
        length_s: how much of the impulse response to fill.
        seed: of the rays.
        rays: how many.
        sends: what the source sends where; None for the same everywhere.
        crew: who traces.
    """
    bins = int(np.ceil(length_s / BIN_S))
    energies = np.zeros((CHUNKS, len(regions.volume_m3), bins, BANDS), dtype=np.float32)
    heards = np.zeros((CHUNKS, len(regions.volume_m3), slot_of(bins - 1) + 1, DIRECTIONS), dtype=np.float32)
    first = np.full((CHUNKS, len(regions.volume_m3)), np.inf, dtype=np.float32)
    scatter = scattering_table(scene.scattering_scale).mean(axis=1)
    beamed = sends or beam()

    def trace(chunks: np.ndarray) -> None:
        _trace(
            chunks, scene.floor_m, scene.ceiling_m, scene.side_material, scene.floor_material, scene.ceiling_material,
            regions.label, regions.volume_m3, scene.cell_m, scene.origin_m[0], scene.origin_m[1], scene.height_m,
            absorption_table(scene.absorption_scale), scatter.astype(np.float32),
            float(source_m[0]), float(source_m[1]), float(source_m[2]), beamed, rays, seed, energies, heards, first,
        )  # fmt: skip

    crew.share(trace, np.arange(CHUNKS))
    energy, heard = energies[0], heards[0]
    for chunk in range(1, CHUNKS):  # always in this order: the bits must not depend on threads
        energy += energies[chunk]
        heard += heards[chunk]
    slots = np.array([slot_of(k) for k in range(bins)])
    smooth_in_space(regions, energy, np.arange(bins), smoothing.ENERGY)
    begins = np.searchsorted(slots, np.arange(heard.shape[1]))
    smooth_in_space(regions, heard, begins, smoothing.DIRECTIONS)
    smooth_in_time(energy)
    seconds = (np.arange(bins) + 0.5) * BIN_S
    air = np.exp(-2.0 * amplitude_exponent_per_m()[None, :] * (seconds * SPEED_OF_SOUND_MPS)[:, None])
    energy *= air.astype(np.float32)[None]
    share = np.cumsum(heard, axis=2)
    share *= CERTAIN / np.maximum(share[:, :, -1:], np.float32(1e-30))
    return LateField(energy, np.rint(share).astype(np.uint8), first.min(axis=0))


@njit(cache=True, error_model="numpy", nogil=True)
def _trace(
    chunks, floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy, height,
    absorb, scatter, sx, sy, sz, sends, rays, seed, energies, heards, first,
):  # fmt: skip
    """Trace some of the chunks; every `CHUNKS`-th ray belongs to one."""
    for chunk in chunks:
        _trace_chunk(
            floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy, height,
            absorb, scatter, sx, sy, sz, sends, rays, seed, chunk, energies[chunk], heards[chunk], first[chunk],
        )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _trace_chunk(
    floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy, height,
    absorb, scatter, sx, sy, sz, sends, rays, seed, chunk, energy, heard, first,
):  # fmt: skip
    root = key_of(seed)
    turn = unit(root) * 2.0 * np.pi
    row, column = int((sy - oy) * (1.0 / cell)), int((sx - ox) * (1.0 / cell))  # as `Scene.cell_of`
    waiting = nobody_waits(energy.shape[1])
    ray_energy, gain = np.empty(BANDS), np.empty(BANDS)
    for ray in range(chunk, rays, CHUNKS):
        dz = 1.0 - 2.0 * (ray + 0.5) / rays
        flat = np.sqrt(1.0 - dz * dz)
        dx, dy = flat * np.cos(turn + _GOLDEN_ANGLE * ray), flat * np.sin(turn + _GOLDEN_ANGLE * ray)
        ray_energy[:] = 4.0 * np.pi / rays
        if sends.gain.shape[0] > 0:
            gain_towards(sends.gain, dx * sends.heading[0] + dy * sends.heading[1], gain)
            ray_energy *= np.square(gain)
        count = wait(waiting, 0, (sx, sy, sz, dx, dy, dz), row, column, 0.0, ray_energy, 0, fold(root, ray + 1))
        while count > 0:
            count = _trace_ray(
                floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy, height,
                absorb, scatter, rays, ray // CHUNKS, waiting, count - 1, ray_energy, energy, heard, first,
            )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _trace_ray(
    floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy, height,
    absorb, scatter, rays, before, waiting, count, ray_energy, energy, heard, first,
):  # fmt: skip
    """Trace the ray that waits behind `count` others to its end; returns how many wait then."""
    bin_m = BIN_S * SPEED_OF_SOUND_MPS
    reach = energy.shape[1] * bin_m
    place = waiting.place[count]
    x, y, z, dx, dy, dz = place[0], place[1], place[2], place[3], place[4], place[5]
    row, column, travelled = waiting.cell[count, 0], waiting.cell[count, 1], waiting.travelled[count]
    ray_energy[:] = waiting.energy[count]
    bounces, key = waiting.bounces[count], waiting.key[count]
    walls, exact = 0, bounces == 0  # so far an arrival that `paths` renders
    while travelled < reach:
        length, row, column, hit, material = _fly(
            floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy,
            x, y, z, dx, dy, dz, row, column, travelled, reach, bin_m, ray_energy, energy, heard, first, not exact,
        )  # fmt: skip
        note(waiting.passed, ray_energy, travelled, length, bin_m)
        travelled += length
        if hit < 0:
            break
        x, y, z = x + dx * length, y + dy * length, z + dz * length
        mirrors_exactly = (hit == 2 and z < 1e-6) or (hit == 3 and z > height - 1e-6)
        if hit < 2:  # of vertical faces, those of walls
            beyond_row = row + (hit == 1) * (1 if dy > 0 else -1)
            beyond_column = column + (hit == 0) * (1 if dx > 0 else -1)
            mirrors_exactly = floor[beyond_row, beyond_column] >= ceiling[beyond_row, beyond_column]
        loudest = 0.0
        for band in range(BANDS):
            ray_energy[band] *= 1.0 - absorb[material, band]
            loudest = max(loudest, ray_energy[band])
        bounces += 1
        key = fold(key, bounces)
        weight = weight_of(waiting.passed, before, ray_energy, travelled, bin_m)
        if loudest < _SILENT * 4.0 * np.pi / rays or not survives(weight, key, ray_energy):
            break
        scattered = unit(key) < scatter[material]
        walls += hit < 2
        exact = exact and bounces <= 2 and walls <= 1 and mirrors_exactly and not scattered
        copies = copies_of(weight, count) if scattered else 1
        if copies > 1:
            ray_energy /= copies
        for copy in range(1, copies):
            other = fold(key, 20 + copy)
            out = _reflect(dx, dy, dz, hit, True, fold(other, 7))
            count = wait(waiting, count, (x, y, z, *out), row, column, travelled, ray_energy, bounces, other)
        dx, dy, dz = _reflect(dx, dy, dz, hit, scattered, fold(key, 7))
    return count


@njit(cache=True, error_model="numpy", inline="always")
def _reflect(dx, dy, dz, hit, scattered, key):
    """Return the direction after a hit: 0 a face of constant x, 1 of constant y, 2 floor, 3 ceiling."""
    if not scattered:
        if hit == 0:
            return -dx, dy, dz
        if hit == 1:
            return dx, -dy, dz
        return dx, dy, -dz
    u, v = unit(key), unit(fold(key, 1)) * 2.0 * np.pi
    out, across = np.sqrt(1.0 - u), np.sqrt(u)  # Lambert: cosine-weighted about the normal
    a, b = across * np.cos(v), across * np.sin(v)
    if hit == 0:
        return (-out if dx > 0 else out), a, b
    if hit == 1:
        return a, (-out if dy > 0 else out), b
    return a, b, (-out if dz > 0 else out)


@njit(cache=True, error_model="numpy")
def _fly(
    floor, ceiling, side, floor_mat, ceiling_mat, label, volume, cell, ox, oy,
    x, y, z, dx, dy, dz, row, column, travelled, reach, bin_m, ray_energy, energy, heard, first, record,
):  # fmt: skip
    """Fly to the next surface, leaving energy on the way; returns length, cell, kind of hit (-1 none), material."""
    step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    per_x = cell / abs(dx) if dx != 0.0 else np.inf
    per_y = cell / abs(dy) if dy != 0.0 else np.inf
    next_x = (ox + (column + (dx > 0)) * cell - x) / dx if dx != 0.0 else np.inf
    next_y = (oy + (row + (dy > 0)) * cell - y) / dy if dy != 0.0 else np.inf
    mark, here = 0.0, label[row, column]
    turn = np.arctan2(-dy, -dx) / (2.0 * np.pi)
    towards = min(int((turn + 1.0) * AZIMUTHS) % AZIMUTHS, AZIMUTHS - 1)
    towards += AZIMUTHS * min(int((1.0 - dz) * 0.5 * ELEVATIONS), ELEVATIONS - 1)
    now_bin = int(travelled / bin_m)
    hit, material = -1, 0
    t = 0.0
    while True:
        leave = min(next_x, next_y)
        vertical = np.inf
        if dz < 0.0:
            vertical = (floor[row, column] - z) / dz
        elif dz > 0.0:
            vertical = (ceiling[row, column] - z) / dz
        if vertical <= leave:
            t = max(vertical, 0.0)
            hit = 2 if dz < 0.0 else 3
            material = floor_mat[row, column] if hit == 2 else ceiling_mat[row, column]
            break
        t = max(leave, 0.0)
        r, c = row, column
        if next_x < next_y:
            c += step_x
            kind = 0
        else:
            r += step_y
            kind = 1
        zz = z + dz * t
        if zz < floor[r, c] or zz >= ceiling[r, c]:
            hit, material = kind, side[r, c]
            break
        row, column = r, c
        if kind == 0:
            next_x += per_x
        else:
            next_y += per_y
        there = label[row, column]
        new_bin = int((travelled + t) / bin_m)
        if there != here or new_bin != now_bin:
            if record and here >= 0:
                _leave(energy, heard, volume, here, now_bin, ray_energy, t - mark, towards)
                first[here] = min(first[here], travelled + mark)
            mark, here, now_bin = t, there, new_bin
            if travelled + t >= reach:
                return t, row, column, -1, 0
    if record and here >= 0:
        _leave(energy, heard, volume, here, now_bin, ray_energy, t - mark, towards)
        first[here] = min(first[here], travelled + mark)
    return t, row, column, hit, material


@njit(cache=True, error_model="numpy", inline="always")
def _leave(energy, heard, volume, region, now_bin, ray_energy, length, towards):
    """Add a ray's energy times its length in a region over the region's volume: its energy density there."""
    if now_bin >= energy.shape[1]:
        return
    share = length / volume[region]
    total = 0.0
    for band in range(BANDS):
        energy[region, now_bin, band] += ray_energy[band] * share
        total += ray_energy[band] * share
    heard[region, slot_of(now_bin), towards] += total
