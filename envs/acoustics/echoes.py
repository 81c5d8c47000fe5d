"""Echoes of sound that comes round corners: what a region that doesn't see a source hears by way of walls and edges.

Behind a door the first sound is a sum of waves that have bent at its edges and been mirrored at walls before and
after. They add in phase, so neither one bend nor any energy says where the sound seems to come from. For each region
that doesn't see the source the strongest are found once, from its centre; a listener there hears each with its own
delay at every microphone, from where its last image stands.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS, amplitude_exponent_per_m
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.departure import gain_towards
from phonotaxis.envs.acoustics.edges import FROM_SOURCE, edge_seen, sight_m
from phonotaxis.envs.acoustics.mirrors import MOST_WALLS, images_of
from phonotaxis.envs.acoustics.regions import EAR_HEIGHT_M
from phonotaxis.envs.acoustics.source_directivity import Beam
from phonotaxis.envs.acoustics.stacks import STACKS, mirror_nearby, stacked_m
from phonotaxis.envs.acoustics.tracer import BIN_S
from phonotaxis.envs.acoustics.waves import (
    BEFORE,
    COLUMNS,
    GAIN,
    LEAVE_X,
    LEAVE_Y,
    Place,
    Scenery,
    Waves,
    X,
    Y,
    waves_to,
)
from phonotaxis.envs.scenes.plan import Plan
from phonotaxis.envs.threads import ALONE, Crew

ECHOES = 24  # of a region, each heard as often as floor and ceiling mirror it
ECHO_FIELDS = 5 + BANDS  # x and y of the last image, metres before it, x and y of how it leaves the source, gains
_ARRIVALS = 32  # waves that an edge sends on
_DEALT = 8


def find_echoes(
    scenery: Scenery,
    mirrored: np.ndarray,
    source_m: np.ndarray,
    way: tuple[np.ndarray, np.ndarray],
    centre_m: np.ndarray,
    shortest_m: np.ndarray,
    crew: Crew = ALONE,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the echoes of a source in all regions; the bits don't depend on who does it.

    Args:
        scenery: of the scene.
        mirrored: float32 [materials, bands], pressure that a mirror reflection leaves.
        source_m: float64 [3], world.
        way: of `ways_to_source`.
        centre_m: float32 [regions, 2], where a region is listened to, world.
        shortest_m: float32 [regions], the shortest way there, plan view.
        crew: who listens.

    Returns:
        float32 [regions, ECHOES, ECHO_FIELDS], the strongest first: gains are pressures relative to a free wave over
        the whole way, in air that takes nothing; and int32 [regions], how many there are.
    """
    at = np.ascontiguousarray(source_m[:2], dtype=np.float64)
    beside, count = np.stack([at, at]), len(scenery.edges.at_m)
    waves = Waves(
        images_of(scenery.plan, scenery.faces, mirrored, at, beside, MOST_WALLS),
        beside,
        np.zeros((count, _ARRIVALS, COLUMNS)),
        np.zeros(count, dtype=np.int64),
    )
    echo = np.zeros((len(centre_m), ECHOES, ECHO_FIELDS), dtype=np.float32)
    echoes = np.zeros(len(centre_m), dtype=np.int32)
    _bend(scenery, waves, *way, len(centre_m))
    # Neighbours have about as much to hear: dealt out in turns, every share has of all.
    order = np.argsort(np.arange(len(echoes)) % _DEALT, kind="stable")
    crew.share(lambda share: _listen(share, scenery, waves, centre_m, shortest_m, echo, echoes), order)
    return echo, echoes


@njit(cache=True, error_model="numpy", nogil=True)
def _bend(scenery, waves, edge_m, edge_next, regions):
    """Fill what the edges send on, the nearest to the source before others, so that a wave bends at several."""
    edges = scenery.edges
    for edge in np.argsort(edge_m, kind="mergesort"):
        if edge_next[edge] < FROM_SOURCE:
            break
        place = Place(regions + edge, edges.at_m[edge], edges.open_m[edge], float(edge_m[edge]), False)
        waves.found[edge] = waves_to(scenery, waves, place, waves.wave[edge])


@njit(cache=True, error_model="numpy", nogil=True)
def _listen(regions, scenery, waves, centre_m, shortest_m, echo, echoes):
    """Fill the echoes of some regions with what comes from the source's images and from edges."""
    found = np.empty((ECHOES, COLUMNS))
    z = sight_m(scenery.plan, waves.open_m[0, 0], waves.open_m[0, 1])
    for region in regions:
        beside_m = np.empty((2, 2))
        beside_m[0, :], beside_m[1, :] = centre_m[region], centre_m[region]
        if edge_seen(scenery.plan, waves.open_m, beside_m[0, 0], beside_m[0, 1], z):
            continue
        place = Place(region, beside_m[0], beside_m, float(shortest_m[region]), True)
        echoes[region] = waves_to(scenery, waves, place, found)
        for k in range(echoes[region]):
            row = echo[region, k]
            row[0], row[1], row[2] = found[k, X], found[k, Y], found[k, BEFORE]
            row[3], row[4] = found[k, LEAVE_X], found[k, LEAVE_Y]
            for band in range(BANDS):
                row[5 + band] = found[k, GAIN + band]


def take_out(
    energy: np.ndarray,
    plan: Plan,
    mirrored: np.ndarray,
    echo: np.ndarray,
    echoes: np.ndarray,
    centre_m: np.ndarray,
    source_z_m: float,
    sends: Beam,
) -> None:
    """Take from a late field, in place, what echoes render exactly: no energy is heard twice.

    Rays don't know which of their arrivals are among the strongest. So the echoes' energy goes from the time bin it
    comes in, down to nothing, and what is left to take goes from those that follow.

    Args:
        energy: float32 [regions, bins, bands] of a `LateField`.
        plan: of the scene.
        mirrored: float32 [materials, bands], pressure that a mirror reflection leaves.
        echo: of `find_echoes`.
        echoes: of it.
        centre_m: float32 [regions, 2], for which they were found.
        source_z_m: the source's height.
        sends: what the source sends where.
    """
    _take_out(energy, plan, mirrored, echo, echoes, centre_m, source_z_m, sends, amplitude_exponent_per_m())


@njit(cache=True, error_model="numpy", nogil=True)
def _take_out(energy, plan, mirrored, echo, echoes, centre_m, source_z_m, sends, air):
    bins = energy.shape[1]
    exact, left, sent = np.empty((bins, BANDS)), np.empty((STACKS, BANDS)), np.ones(BANDS)
    for region in range(echoes.size):
        if echoes[region] == 0:
            continue
        x, y = centre_m[region]
        exact[:], left[:] = 0.0, 1.0
        for stack in range(STACKS):
            mirror_nearby(plan, mirrored, stack, x, y, left[stack])
        for index in range(echoes[region]):
            each = echo[region, index]
            flat_m = np.hypot(each[0] - x, each[1] - y) + each[2]
            for stack in range(STACKS):
                way_m = np.hypot(flat_m, stacked_m(stack, source_z_m, plan.height) - EAR_HEIGHT_M)
                when = int(way_m / (BIN_S * SPEED_OF_SOUND_MPS))
                if when >= bins:
                    continue
                if sends.gain.shape[0] > 0:
                    level = flat_m / way_m
                    gain_towards(
                        sends.gain, (each[3] * sends.heading[0] + each[4] * sends.heading[1]) * level, sent
                    )  # fmt: skip
                for band in range(BANDS):
                    pressure = sent[band] * each[5 + band] * left[stack, band] * np.exp(-air[band] * way_m) / way_m
                    exact[when, band] += pressure * pressure
        for band in range(BANDS):
            owed = 0.0
            for when in range(bins):
                owed += exact[when, band]
                taken = min(owed, energy[region, when, band])
                energy[region, when, band] -= taken
                owed -= taken
