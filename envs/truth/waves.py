"""Decays of empty rooms against the wave equation: what exact image sources are right about in low octaves.

In the rooms of `shoebox`, of one source each, reverberation times at 250 and 500 Hz by finite differences, whose walls
are locally reacting and absorb as much of sound from everywhere, stand beside those of exact images, which reflect
alike at all angles, of images that reflect by angle, and ours. Printed, not judged: it says how far the images to
which `shoebox` holds the simulator are themselves from a room's waves.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.truth import Progress, Row, measures
from phonotaxis.envs.truth.finite_difference import room_of, simulate
from phonotaxis.envs.truth.grazing import grazing_responses
from phonotaxis.envs.truth.images import image_responses, smooth_materials
from phonotaxis.envs.truth.poses import point_of
from phonotaxis.envs.truth.shoebox import ONE_MICROPHONE, RATE_HZ, ROOMS, draw_places

SEED = 20261127
OCTAVES = 2  # of `measures.OCTAVES_HZ`, the lowest
CELLS = 2  # to a cell of 0.1 m: ten per wavelength up to 690 Hz
PEAK_HZ = 400.0
NAMES = ("", "_of_images", "_of_grazing_images")


def run(progress: Progress) -> list[Row]:
    """Compare all rooms.

    Raises:
        ReferenceMissing: pyroomacoustics isn't installed.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    found = []
    with smooth_materials(ROOMS):
        for index, room in enumerate(ROOMS):
            progress(index / len(ROOMS), f"waves: {room.name}")
            scene, places = room.scene(), draw_places(room, rng)
            points = places.listeners_m
            exact = image_responses(room, places.source_m, points, RATE_HZ)
            grazing = grazing_responses(room, places.source_m, points, RATE_HZ)
            ours = [
                impulse_response(scene, places.source_m, point_of(p), 0.0, ONE_MICROPHONE, RATE_HZ, room.length_s)[0]
                for p in points
            ]
            grid = room_of(scene, (1000.0,), CELLS)
            waves = simulate(grid, np.array(places.source_m), points, room.length_s, PEAK_HZ)
            decays = [_decays_s(each, RATE_HZ) for each in (np.array(ours), exact, grazing)]
            found.append([*decays, _decays_s(waves, 1.0 / grid.step_s)])
    return rows(np.array(found))


def _decays_s(responses: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return reverberation times of the lowest octaves, float64 [OCTAVES], mean over float [listeners, taps]."""
    out = np.full(OCTAVES, np.nan)
    for index, centre_hz in enumerate(measures.OCTAVES_HZ[:OCTAVES]):
        filtered = measures.octave(responses, centre_hz, round(rate_hz))
        fits = [measures.reverberation_time(row, round(rate_hz)) for row in filtered]
        out[index] = np.mean([fit.rt60_s for fit in fits if fit.range_db] or [np.nan])
    return out


def rows(rt60_s: np.ndarray) -> list[Row]:
    """Make rows of reverberation times, float64 [rooms, (ours, images, grazing images, waves), OCTAVES]."""
    out = []
    for which, name in enumerate(NAMES):
        off = 100.0 * (rt60_s[:, which] / rt60_s[:, -1] - 1.0)
        bias = ", ".join(f"{hz:.0f} Hz {b:+.0f} %" for hz, b in zip(measures.OCTAVES_HZ, np.nanmedian(off, axis=0)))
        note = (
            f"{len(rt60_s)} rooms, against finite differences with RT60 {np.nanmin(rt60_s[:, -1]):.2f} to "
            f"{np.nanmax(rt60_s[:, -1]):.2f} s; median difference by octave {bias}"
        )
        values = np.abs(off[np.isfinite(off)])
        median = float(np.median(values)) if values.size else float("nan")
        out.append(Row(f"rt60_error_median_waves{name}", median, "%", None, None, note, tuple(map(float, values))))
    return out
