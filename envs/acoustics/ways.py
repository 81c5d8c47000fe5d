"""Ways of sound over edges: which corners it comes round, and what they let through.

In the dark, every edge that both source and listener see sends a wave, and where there is none the shortest way over
several does. In the light, edges near the line of sight add to or take from the direct sound, whose level so goes
over a shadow boundary without a jump.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.diffraction import TONES, WAVENUMBER, bend, lag_of
from phonotaxis.envs.acoustics.edges import FROM_SOURCE, UNREACHED, edge_seen, sight_m
from phonotaxis.envs.scenes.raycast import line_of_sight

MAX_WAYS = 4
_TRIES = 24  # lines of sight drawn at most, nearest edges first
_LONGER_M = 2.0  # than the shortest way by more, a way is left to the late field
_NEAR_LINE_M = 1.0  # detour beyond which an edge leaves the direct sound alone
_MAX_BENDS = 16
_LEAST_M = 0.05  # an edge is never nearer
_GRAZING_M = 0.01  # detour so short that a wall's thickness, not its edge, decides who is in its shadow


@njit(cache=True, error_model="numpy")
def _by_length(edges, edge_m, listener):
    """Return for each edge the shortest way over it if it were seen, float64 [edges], plan view."""
    length = np.empty(edge_m.size)
    for edge in range(edge_m.size):
        x, y = edges.at_m[edge]
        length[edge] = edge_m[edge] + np.hypot(x - listener[0], y - listener[1])
    return length


@njit(cache=True, error_model="numpy")
def ways_round(plan, edges, edge_m, edge_next, source, listener, ways_m, corner_xy, first_xy, level):
    """Collect the ways from a source that isn't seen.

    Args:
        plan: a `Plan`.
        edges: an `Edges`.
        edge_m: float32 [edges] of `ways_to_source`.
        edge_next: int32 [edges] of it.
        source: float64 [3], world.
        listener: float64 [3], world.
        ways_m: float64 [MAX_WAYS, 3], filled: a way's length and its part up to the first corner, plan view, and by how
            many metres its bends make it late.
        corner_xy: float64 [MAX_WAYS, 2], filled: the corner nearest to the listener.
        first_xy: float64 [MAX_WAYS, 2], filled: the corner nearest to the source.
        level: float64 [MAX_WAYS, bands], filled: signed amplitude relative to a free wave over the whole way.

    Returns:
        The number of ways.
    """
    length = _by_length(edges, edge_m, listener)
    found, shortest = 0, np.inf
    z = sight_m(plan, listener[0], listener[1])
    for _ in range(_TRIES):
        edge = length.argmin() if length.size else 0
        if length.size == 0 or not length[edge] < shortest + _LONGER_M or found == MAX_WAYS:
            break
        whole_m = length[edge]
        length[edge] = np.inf
        one_bend = edge_next[edge] == FROM_SOURCE
        if edge_next[edge] == UNREACHED or (found > 0 and not one_bend):
            continue
        if not edge_seen(plan, edges.open_m[edge], listener[0], listener[1], z):
            continue
        shortest = min(shortest, whole_m)
        ways_m[found, 0] = whole_m
        ways_m[found, 1] = whole_m - edge_m[edge]
        corner_xy[found, :] = edges.at_m[edge]
        first_xy[found, :] = edges.at_m[_first_of(edge_next, edge)]
        ways_m[found, 2] = _over_edges(edges, edge_m, edge_next, edge, whole_m, source, listener, level[found])
        found += 1
    return found


@njit(cache=True, error_model="numpy", inline="always")
def _first_of(edge_next, edge):
    """Return the edge on a way to the source that is nearest to it."""
    for _ in range(_MAX_BENDS):
        if edge_next[edge] < 0:
            break
        edge = edge_next[edge]
    return edge


@njit(cache=True, error_model="numpy")
def _over_edges(edges, edge_m, edge_next, first, whole_m, source, listener, level):
    """Fill the level of a way, edge by edge from the listener to the source; returns its lag, metres."""
    lag_m = 0.0
    passed = np.ones((BANDS, TONES))
    out = np.empty((BANDS, TONES), dtype=np.complex128)
    sine = whole_m / np.sqrt(whole_m**2 + (source[2] - listener[2]) ** 2)
    x, y = listener[0], listener[1]
    edge, sign = first, 1.0
    for _ in range(_MAX_BENDS):
        ex, ey = edges.at_m[edge]
        following = edge_next[edge]
        if following >= 0:
            nx, ny = edges.at_m[following]
        else:
            nx, ny = source[0], source[1]
        source_m = max(edge_m[edge], _LEAST_M)
        listener_m = max(whole_m - edge_m[edge], _LEAST_M)
        dark = bend(
            edges.start_rad[edge], edges.exterior_rad[edge], edges.mirror[edge], np.arctan2(ny - ey, nx - ex),
            np.arctan2(y - ey, x - ex), source_m / sine, listener_m / sine, sine, out,
        )  # fmt: skip
        before_x, before_y = ex - x, ey - y
        after_x, after_y = nx - ex, ny - ey
        detour_m = np.hypot(before_x, before_y) + np.hypot(after_x, after_y)
        detour_m -= np.hypot(before_x + after_x, before_y + after_y)
        if not dark and detour_m < _GRAZING_M:
            out += 1.0  # the edge's line lets the wave pass that the wall beside it stops
        elif not dark:
            sign = -sign
        lag_m += lag_of(out, dark or detour_m < _GRAZING_M)
        for band in range(BANDS):
            for tone in range(TONES):
                passed[band, tone] *= min(abs(out[band, tone]), 1.0)
        if following < 0:
            break
        x, y, edge = ex, ey, following
    for band in range(BANDS):
        power = 0.0
        for tone in range(TONES):
            power += passed[band, tone] ** 2 / TONES
        level[band] = sign * np.sqrt(power)
    return lag_m


@njit(cache=True, error_model="numpy")
def way_over(plan, source, listener, level, top):
    """Find the way over what is low, or under a lintel, between two places that would see each other without it.

    Args:
        plan: a `Plan`.
        source: float64 [3], world.
        listener: float64 [3], world.
        level: float64 [bands], filled: amplitude relative to a free wave over the whole way, after Maekawa (1968),
            10 lg(3 + 20 N), N the detour in half wavelengths.
        top: float64 [3], filled: the point it passes.

    Returns:
        Whether there is such a way.
    """
    z = max(sight_m(plan, listener[0], listener[1]), sight_m(plan, source[0], source[1]))
    if not line_of_sight(
        plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, listener[0], listener[1], z, source[0], source[1], z
    ):
        return False
    flat_m = np.hypot(source[0] - listener[0], source[1] - listener[1])
    samples = int(2.0 * flat_m * plan.inv) + 2
    straight_m = np.sqrt(flat_m**2 + (source[2] - listener[2]) ** 2)
    detour_m = 0.0
    top[:] = source
    for k in range(1, samples):
        share = k / samples
        x, y = listener[0] + share * (source[0] - listener[0]), listener[1] + share * (source[1] - listener[1])
        line_z = listener[2] + share * (source[2] - listener[2])
        row, column = int((y - plan.oy) * plan.inv), int((x - plan.ox) * plan.inv)
        edge_z = min(max(line_z, plan.floor[row, column]), plan.ceiling[row, column])
        before_m = np.hypot(share * flat_m, edge_z - listener[2])
        longer_m = before_m + np.hypot((1.0 - share) * flat_m, source[2] - edge_z) - straight_m
        if longer_m > detour_m:
            detour_m = longer_m
            top[0], top[1], top[2] = x, y, edge_z
    for band in range(BANDS):
        level[band] = 1.0 / np.sqrt(3.0 + 20.0 * detour_m * WAVENUMBER[band, TONES // 2] / np.pi)
    return True


@njit(cache=True, error_model="numpy")
def lit_level(plan, edges, edge_m, edge_next, source, listener, level):
    """Fill what edges near the line of sight make of the direct sound's level, float64 [bands]; 1 far from them.

    An edge over whose top the line passes is none: nothing stands beside the line there.
    """
    level[:] = 1.0
    flat_m = np.hypot(source[0] - listener[0], source[1] - listener[1])
    straight_m = np.sqrt(flat_m**2 + (source[2] - listener[2]) ** 2)
    if flat_m < _LEAST_M:
        return
    total = np.ones((BANDS, TONES), dtype=np.complex128)
    out = np.empty((BANDS, TONES), dtype=np.complex128)
    near = 0
    z = sight_m(plan, listener[0], listener[1])
    for edge in range(edge_m.size):
        if edge_next[edge] != FROM_SOURCE:
            continue
        ex, ey = edges.at_m[edge]
        listener_m = max(np.hypot(ex - listener[0], ey - listener[1]), _LEAST_M)
        source_m = max(edge_m[edge], _LEAST_M)
        at = listener_m / (source_m + listener_m)
        if listener[2] + at * (source[2] - listener[2]) > edges.top_m[edge]:
            continue
        bent_m = np.sqrt((source_m + listener_m) ** 2 + (source[2] - listener[2]) ** 2)
        if bent_m - straight_m > _NEAR_LINE_M or near == 2 * MAX_WAYS:
            continue
        if not edge_seen(plan, edges.open_m[edge], listener[0], listener[1], z):
            continue
        near += 1
        sine = (source_m + listener_m) / bent_m
        dark = bend(
            edges.start_rad[edge], edges.exterior_rad[edge], edges.mirror[edge],
            np.arctan2(source[1] - ey, source[0] - ex), np.arctan2(listener[1] - ey, listener[0] - ex),
            source_m / sine, listener_m / sine, sine, out,
        )  # fmt: skip
        for band in range(BANDS):
            for tone in range(TONES):
                turn = -WAVENUMBER[band, tone] * (bent_m - straight_m)
                total[band, tone] += out[band, tone] * (straight_m / bent_m) * complex(np.cos(turn), np.sin(turn))
                if dark:  # its line stops the wave that passes beside the wall
                    total[band, tone] -= 1.0
    if near == 0:
        return
    for band in range(BANDS):
        power = 0.0
        for tone in range(TONES):
            power += abs(total[band, tone]) ** 2 / TONES
        level[band] = np.sqrt(power)
