"""Waves that come to a place by way of walls and edges, the strongest of them.

A wave comes from an image of the source, or from an image of an edge that lets through some of what comes to it. A
wave that bends more than once has the product of the edges' coefficients, each for the distances to its neighbours
(uniform theory of diffraction for edges in a row, all upright).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.diffraction import TONES, bend, bend_power, lag_of
from phonotaxis.envs.acoustics.edges import Edges
from phonotaxis.envs.acoustics.mirrors import MOST_WALLS, Heard, Images, heard_at
from phonotaxis.envs.scenes.plan import Plan

_LONGER_M = 10.0  # than the shortest way by more, a wave is left to the late field
_LEAST_M = 0.05
_FIRST_RANKED, _LAST_RANKED = 1, 4  # bands from 250 to 1000 Hz, by which the strongest are told

# Columns of a wave, float64: where its last image stands; metres from there, and before; whence it comes, azimuth; how
# it left the source; walls and edges it has met; its strength; and its gains.
X, Y, AFTER, BEFORE, LEAVE_X, LEAVE_Y = range(6)
_AZIMUTH, _WALLS, _BENDS, _RANK = range(6, 10)
GAIN = 10
COLUMNS = GAIN + BANDS


class Scenery(NamedTuple):
    """What sends waves on, the same for all sources of a scene; faces are float32 [faces, 6]."""

    plan: Plan
    faces: np.ndarray
    edges: Edges
    images: Images  # of the edges
    heard: Heard  # where those come to


class Waves(NamedTuple):
    """What a source sends.

    Attributes:
        images: of the source.
        open_m: float64 [2, 2], its place, twice.
        wave: float64 [edges, waves, COLUMNS], what comes to the edges.
        found: int64 [edges], how many.
    """

    images: Images
    open_m: np.ndarray
    wave: np.ndarray
    found: np.ndarray


class Place(NamedTuple):
    """Where waves are listened to.

    Attributes:
        slot: among the places of `Heard`.
        at_m: float64 [2], world.
        open_m: float64 [2, 2], two places in the air from which it is seen.
        shortest_m: the shortest way from the source, plan view.
        exact: whether what `paths` finds for every listener is left out: mirrored at one wall and not bent, bent once
            and not mirrored, and the shortest way.
    """

    slot: int
    at_m: np.ndarray
    open_m: np.ndarray
    shortest_m: float
    exact: bool


@njit(cache=True, error_model="numpy")
def waves_to(scenery, waves, place, found):
    """Collect the strongest waves that come to a place.

    Args:
        scenery: a `Scenery`.
        waves: a `Waves`; edges whose count is 0 send nothing on.
        place: a `Place`.
        found: float64 [waves, COLUMNS], filled, the strongest first.

    Returns:
        How many there are.
    """
    wave = np.empty(COLUMNS)
    passed = np.empty((BANDS, TONES), dtype=np.complex128)
    longest_m = place.shortest_m + _LONGER_M
    count = 0
    for image in range(waves.images.walls.size):
        _begin(waves.images, image, place.at_m, wave)
        if wave[AFTER] > longest_m or (place.exact and wave[_WALLS] < 2):
            continue
        if heard_at(scenery.plan, scenery.faces, waves.images, image, waves.open_m, place.at_m, place.open_m):
            wave[LEAVE_X] = (place.at_m[0] - wave[X]) / wave[AFTER] * waves.images.flip[image, 0]
            wave[LEAVE_Y] = (place.at_m[1] - wave[Y]) / wave[AFTER] * waves.images.flip[image, 1]
            _rank(wave)
            count = _keep(found, count, wave)
    heard = scenery.heard
    for k in range(heard.first[place.slot], heard.first[place.slot + 1]):
        image = heard.image[k]
        edge = scenery.images.owner[image]
        _begin(scenery.images, image, place.at_m, wave)
        if waves.found[edge] > 0 and wave[AFTER] < longest_m:
            count = _round_edge(
                scenery.edges, edge, scenery.images.flip[image], waves, place, wave, passed, found, count
            )
    return count


@njit(cache=True, error_model="numpy")
def _round_edge(edges, edge, flip, waves, place, wave, passed, found, count):
    """Send on what comes to an edge, from its image where `wave` begins; returns how many waves there are then."""
    after_m, walls, begun = max(wave[AFTER], _LEAST_M), wave[_WALLS], wave[GAIN:].copy()
    leaving = np.arctan2((place.at_m[1] - wave[Y]) * flip[1], (place.at_m[0] - wave[X]) * flip[0])
    for index in range(waves.found[edge]):
        came = waves.wave[edge, index]
        before_m = max(came[AFTER] + came[BEFORE], _LEAST_M)
        wave[BEFORE], wave[_WALLS], wave[_BENDS] = before_m, came[_WALLS] + walls, came[_BENDS] + 1
        way_m = before_m + after_m
        if way_m > place.shortest_m + _LONGER_M or wave[_WALLS] > MOST_WALLS:
            continue
        if place.exact and wave[_WALLS] == 0 and (wave[_BENDS] == 1 or way_m < place.shortest_m + _LEAST_M):
            continue
        for band in range(BANDS):
            wave[GAIN + band] = came[GAIN + band] * begun[band]
        _rank(wave)
        weakest = found[count - 1, _RANK] if count == found.shape[0] else 0.0
        if wave[_RANK] <= weakest or 2.0 * wave[_RANK] * bend_power(
            edges.start_rad[edge], edges.exterior_rad[edge], edges.mirror[edge], came[_AZIMUTH], leaving, before_m,
            after_m, _FIRST_RANKED + 1,
        ) <= weakest:  # fmt: skip
            continue
        dark = bend(
            edges.start_rad[edge], edges.exterior_rad[edge], edges.mirror[edge], came[_AZIMUTH], leaving, before_m,
            after_m, 1.0, passed,
        )  # fmt: skip
        for band in range(BANDS):
            power = 0.0
            for tone in range(TONES):
                power += abs(passed[band, tone]) ** 2 / TONES
            level = min(np.sqrt(power), 1.0)
            wave[GAIN + band] *= level if dark else -level  # in the light it takes from the wave that passes by
        wave[BEFORE] += lag_of(passed, dark)
        wave[LEAVE_X], wave[LEAVE_Y] = came[LEAVE_X], came[LEAVE_Y]
        _rank(wave)
        count = _keep(found, count, wave)
    return count


@njit(cache=True, error_model="numpy", inline="always")
def _begin(images, image, to_m, wave):
    """Begin a wave at an image: its place, its way from there, its walls and what they leave of it."""
    wave[X], wave[Y] = images.xy_m[image]
    dx, dy = wave[X] - to_m[0], wave[Y] - to_m[1]
    wave[AFTER], wave[BEFORE] = max(np.hypot(dx, dy), _LEAST_M), 0.0
    wave[_AZIMUTH] = np.arctan2(dy, dx)
    wave[_WALLS], wave[_BENDS] = images.walls[image], 0
    for band in range(BANDS):
        wave[GAIN + band] = images.gain[image, band]


@njit(cache=True, error_model="numpy", inline="always")
def _rank(wave):
    """Note a wave's energy."""
    power = 0.0
    for band in range(_FIRST_RANKED, _LAST_RANKED):
        power += wave[GAIN + band] ** 2
    wave[_RANK] = power / (wave[AFTER] + wave[BEFORE]) ** 2


@njit(cache=True, error_model="numpy")
def _keep(found, count, wave):
    """Put a wave among the strongest, in their order; returns how many there are."""
    if count == found.shape[0]:
        if wave[_RANK] <= found[count - 1, _RANK]:
            return count
        count -= 1
    at = count
    while at > 0 and found[at - 1, _RANK] < wave[_RANK]:
        found[at, :] = found[at - 1]
        at -= 1
    found[at, :] = wave
    return count + 1
