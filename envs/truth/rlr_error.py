"""RLR itself against exact image sources: how far the reference of furnished rooms is from the truth in empty ones.

In the shoeboxes whose images `shoebox` sums, RLR's reflections of the first 30 ms are 2 to 4 dB louder than exact
ones. What it makes of direct-to-reverberant ratio and level there is printed, not judged: so much of the difference
in `furnished` is the reference's own.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.truth import Progress, Row, measures
from phonotaxis.envs.truth.images import image_responses, smooth_materials
from phonotaxis.envs.truth.poses import point_of
from phonotaxis.envs.truth.rlr import RATE_HZ, Rlr
from phonotaxis.envs.truth.shoebox import ONE_MICROPHONE, ROOMS, draw_places

SEED = 20261126
CHOSEN = ROOMS[1::2]  # bedroom, hall, carpeted room, kitchen
LISTENERS = 3  # in each
SPANS_S = (0.0025, 0.01, 0.03)  # after the direct sound


def run(progress: Progress) -> list[Row]:
    """Compare RLR and the simulator with exact images in empty rooms.

    Raises:
        ReferenceMissing: RLR or pyroomacoustics isn't installed.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    found: list[np.ndarray] = []  # per place: [RLR, simulator] x [DRR, level, early spans], less the exact ones
    with smooth_materials(ROOMS):
        for index, room in enumerate(CHOSEN):
            progress(index / len(CHOSEN), f"rlr in an empty room: {room.name}")
            scene, places = room.scene(), draw_places(room, rng)
            rlr = Rlr(scene)
            points = places.listeners_m[:LISTENERS]
            for point, exact in zip(points, image_responses(room, places.source_m, points, RATE_HZ)):
                arrival_s = float(np.linalg.norm(point - np.array(places.source_m))) / SPEED_OF_SOUND_MPS
                theirs = rlr.response(places.source_m, point_of(point))[0]
                ours = impulse_response(
                    scene, places.source_m, point_of(point), 0.0, ONE_MICROPHONE, RATE_HZ, room.length_s
                )[0]
                heard = np.array([read(response, arrival_s) for response in (theirs, ours, exact)])
                found.append(heard[:2] - heard[2])
    return rows(np.array(found))


def read(response: np.ndarray, arrival_s: float) -> list[float]:
    """Return DRR, level and the levels of two early spans, dB, of one response, float [taps]."""
    energy = np.square(measures.band_pass(response, *measures.BAND_HZ, RATE_HZ))
    begins = [round((arrival_s + span_s) * RATE_HZ) for span_s in SPANS_S]
    spans = [10.0 * np.log10(energy[a:b].sum() + 1e-30) for a, b in zip(begins[:-1], begins[1:])]
    return [measures.drr_db(response, arrival_s, RATE_HZ), measures.level_db(response, RATE_HZ), *spans]


def rows(found: np.ndarray) -> list[Row]:
    """Make rows of differences to exact images, float64 [places, (RLR, simulator), (DRR, level, 2 spans)], dB."""
    theirs, ours = found[:, 0], found[:, 1]
    spans = ", ".join(
        f"{1000 * a:.1f} to {1000 * b:.0f} ms {theirs[:, 2 + k].mean():+.1f} (ours {ours[:, 2 + k].mean():+.1f})"
        for k, (a, b) in enumerate(zip(SPANS_S[:-1], SPANS_S[1:]))
    )
    note = (
        f"RLR against exact images, {len(found)} places in {len(CHOSEN)} empty rooms; biases, dB: DRR "
        f"{theirs[:, 0].mean():+.1f} (ours {ours[:, 0].mean():+.1f}), level {theirs[:, 1].mean():+.1f} "
        f"(ours {ours[:, 1].mean():+.1f}), energy after the direct sound {spans}"
    )
    return [
        Row("drr_error_db_of_rlr", float(np.median(np.abs(theirs[:, 0]))), "dB", None, None, note, tuple(theirs[:, 0])),
        Row("level_error_db_of_rlr", float(np.median(np.abs(theirs[:, 1]))), "dB", None, None, "", tuple(theirs[:, 1])),
    ]
