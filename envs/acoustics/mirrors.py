"""Mirror images of a point at walls, in plan view, and where each is heard.

A point is a source or an edge that bends sound. Its images are found wall by wall (Allen and Berkley 1979, for rooms
of any plan as Borish 1984), and only where the last image's wave lights a part of the next wall. A point that lies in
a wall's plane or behind it has no image there: what an edge's own faces send back is in its diffraction coefficient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.edges import SOUND_PASSES_OVER_M, Edges, edge_seen, sight_m
from phonotaxis.envs.scenes.plan import Plan
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.threads import ALONE, Crew

MOST_WALLS = 3  # that a wave is mirrored at on its way
MOST_FACES = 256  # the longest; a noisy map has thousands
_EDGE_WALLS = 2  # of the images of an edge
_MOST_IMAGES = 128  # of a point
_MOST_OF_EDGES, _LEAST_OF_EDGE = 8192, 4  # of all edges of a scene together, and of each that has so many
_SHORTEST_M = 0.4  # a face that mirrors sound is about half a wavelength long
_FARTHEST_M = 12.0  # from a point or an image to the wall that mirrors it
_REACH_M = 25.0  # of an edge's image
_SAMPLE_M = 0.5  # between the places at which a face is looked for light
_INSET = 0.02  # share of a face's length from its ends to the first of them
_NUDGE_M = 1e-3


class Images(NamedTuple):
    """Images of one point, or of several.

    Attributes:
        xy_m: float64 [images, 2], world.
        flip: float64 [images, 2], ±1: what turns a direction at the image into one at the point.
        chain: int32 [images, MOST_WALLS], the faces that made it, the point's own first; -1 beyond the last.
        walls: int32 [images], how many they are; 0 is the point itself.
        gain: float32 [images, bands], pressure that they leave.
        owner: int32 [images], index of the point.
    """

    xy_m: np.ndarray
    flip: np.ndarray
    chain: np.ndarray
    walls: np.ndarray
    gain: np.ndarray
    owner: np.ndarray


class Heard(NamedTuple):
    """Which images of edges come to which places of a scene: its regions, in their order, and its edges.

    Attributes:
        first: int32 [places + 1], where each place's begin in `image`.
        image: int32, indices of images, those at fewest walls first.
    """

    first: np.ndarray
    image: np.ndarray


def images_of(
    plan: Plan,
    faces: np.ndarray,
    mirrored: np.ndarray,
    at_m: np.ndarray,
    open_m: np.ndarray,
    most_walls: int,
    most: int = _MOST_IMAGES,
) -> Images:
    """Find a point's images, itself the first.

    Args:
        plan: of the scene.
        faces: float32 [faces, 6] of `wall_faces`.
        mirrored: float32 [materials, bands], pressure that a mirror reflection leaves.
        at_m: float64 [2], the point, world.
        open_m: float64 [2, 2], two places in the air beside it, from which it sees and is seen.
        most_walls: that an image is mirrored at, up to `MOST_WALLS`.
        most: how many there may be; those at fewest walls come first, and at the longest ones.
    """
    images = Images(
        np.zeros((most, 2)),
        np.ones((most, 2)),
        np.full((most, MOST_WALLS), -1, dtype=np.int32),
        np.zeros(most, dtype=np.int32),
        np.ones((most, BANDS), dtype=np.float32),
        np.zeros(most, dtype=np.int32),
    )
    count = _find_images(plan, faces[:MOST_FACES], mirrored, at_m, open_m, most_walls, images)
    return Images._make(part[:count].copy() for part in images)


def images_of_edges(plan: Plan, faces: np.ndarray, mirrored: np.ndarray, edges: Edges) -> Images:
    """Find the images of all edges of a scene at up to two walls; `owner` is the edge."""
    most = min(_MOST_IMAGES, max(_LEAST_OF_EDGE, _MOST_OF_EDGES // max(len(edges.at_m), 1)))
    found = [
        images_of(plan, faces, mirrored, at_m, open_m, _EDGE_WALLS, most)
        for at_m, open_m in zip(edges.at_m, edges.open_m)
    ]
    if not found:
        return Images._make(part[:0] for part in images_of(plan, faces[:0], mirrored, np.zeros(2), np.zeros((2, 2)), 0))
    joined = Images._make(np.concatenate(parts) for parts in zip(*found))
    return joined._replace(owner=np.repeat(np.arange(len(found)), [len(each.walls) for each in found]).astype(np.int32))


def heard_in(
    plan: Plan, faces: np.ndarray, images: Images, edges: Edges, centre_m: np.ndarray, crew: Crew = ALONE
) -> Heard:
    """Find which images of a scene's edges come to its regions and to its edges.

    Args:
        plan: of the scene.
        faces: float32 [faces, 6] of it.
        images: of all edges.
        edges: of the scene.
        centre_m: float32 [regions, 2], where a region is listened to.
        crew: who looks.
    """
    to_m = np.concatenate([centre_m.astype(np.float64), edges.at_m])
    beside_m = np.concatenate([np.repeat(centre_m.astype(np.float64)[:, None], 2, axis=1), edges.open_m])
    comes = np.zeros((len(to_m), len(images.walls)), dtype=np.bool_)
    most = faces[:MOST_FACES]
    crew.share(
        lambda share: _hear(share, plan, most, images, edges.open_m, to_m, beside_m, comes), np.arange(len(to_m))
    )
    order = np.argsort(images.walls, kind="stable")
    place, at = np.nonzero(comes[:, order])
    first = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(to_m)))])
    return Heard(first.astype(np.int32), order[at].astype(np.int32))


@njit(cache=True, error_model="numpy", nogil=True)
def _hear(places, plan, faces, images, open_m, to_m, to_open_m, comes):
    """Fill which images come to some places, rows of bool [places, images]."""
    for place in places:
        for image in range(comes.shape[1]):
            dx, dy = images.xy_m[image, 0] - to_m[place, 0], images.xy_m[image, 1] - to_m[place, 1]
            if np.hypot(dx, dy) < _REACH_M:
                comes[place, image] = heard_at(
                    plan, faces, images, image, open_m[images.owner[image]], to_m[place], to_open_m[place]
                )


@njit(cache=True, error_model="numpy")
def heard_at(plan, faces, images, index, open_m, to_m, to_open_m):
    """Tell whether an image's wave comes to a place: all its hits lie on their faces, and all its legs in the air.

    Args:
        plan: a `Plan`.
        faces: float32 [faces, 6].
        images: an `Images`.
        index: of the image.
        open_m: float64 [2, 2], two places in the air from which its point is seen.
        to_m: float64 [2], the place, world.
        to_open_m: float64 [2, 2], two places from which that is seen.
    """
    walls, z = images.walls[index], sight_m(plan, open_m[0, 0], open_m[0, 1])
    if walls == 0:
        return edge_seen(plan, open_m, to_open_m[0, 0], to_open_m[0, 1], z) or edge_seen(
            plan, open_m, to_open_m[1, 0], to_open_m[1, 1], z
        )
    hits = np.empty((MOST_WALLS, 2))
    image, there = np.empty(2), np.empty(2)
    image[:] = images.xy_m[index]
    there[:] = to_m
    for k in range(walls - 1, -1, -1):
        face = faces[images.chain[index, k]]
        axis = int(face[0])
        before, behind = (there[axis] - face[1]) * face[4], (face[1] - image[axis]) * face[4]
        if before <= _NUDGE_M or behind <= _NUDGE_M:
            return False
        hit = there[1 - axis] + (image[1 - axis] - there[1 - axis]) * before / (before + behind)
        if hit <= face[2] or hit >= face[3]:
            return False
        there[axis], there[1 - axis] = face[1] + face[4] * _NUDGE_M, hit
        image[axis] = 2.0 * face[1] - image[axis]
        hits[k] = there
    if not edge_seen(plan, to_open_m, hits[walls - 1, 0], hits[walls - 1, 1]):
        return False
    for k in range(walls - 1, 0, -1):
        if not _clear(plan, hits[k], hits[k - 1]):
            return False
    return edge_seen(plan, open_m, hits[0, 0], hits[0, 1], z)


@njit(cache=True, error_model="numpy")
def _clear(plan, a_m, b_m):
    """Tell whether two places, float64 [2], see each other above what sound passes over."""
    z = SOUND_PASSES_OVER_M
    return line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, a_m[0], a_m[1], z, b_m[0], b_m[1], z)


@njit(cache=True, error_model="numpy")
def _find_images(plan, faces, mirrored, at_m, open_m, most_walls, images):
    """Fill the images of a point, breadth first; returns how many."""
    images.xy_m[0, :] = at_m
    count, parent = 1, 0
    while parent < count and images.walls[parent] < most_walls:
        walls = images.walls[parent]
        for index in range(faces.shape[0]):
            face = faces[index]
            axis = int(face[0])
            away = (images.xy_m[parent, axis] - face[1]) * face[4]
            if away <= _NUDGE_M or away > _FARTHEST_M or face[3] - face[2] < _SHORTEST_M:
                continue
            if count == images.walls.size or not _lights(plan, faces, images, parent, open_m, face):
                continue
            images.xy_m[count, :], images.flip[count, :] = images.xy_m[parent], images.flip[parent]
            images.xy_m[count, axis] = 2.0 * face[1] - images.xy_m[parent, axis]
            images.flip[count, axis] *= -1.0
            images.chain[count, :] = images.chain[parent]
            images.chain[count, walls], images.walls[count] = index, walls + 1
            for band in range(BANDS):
                images.gain[count, band] = images.gain[parent, band] * mirrored[int(face[5]), band]
            count += 1
        parent += 1
    return count


@njit(cache=True, error_model="numpy")
def _lights(plan, faces, images, index, open_m, face):
    """Tell whether an image's wave comes to a part of a face."""
    length = face[3] - face[2]
    samples = max(3, int(length / _SAMPLE_M) + 1)
    to_m, to_open_m = np.empty(2), np.empty((2, 2))
    axis = int(face[0])
    for k in range(samples):
        to_m[axis] = face[1] + 2.0 * _NUDGE_M * face[4]
        to_m[1 - axis] = face[2] + length * (_INSET + (1.0 - 2.0 * _INSET) * k / (samples - 1))
        to_open_m[0, :], to_open_m[1, :] = to_m, to_m
        if heard_at(plan, faces, images, index, open_m, to_m, to_open_m):
            return True
    return False
