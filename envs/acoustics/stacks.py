"""Mirror images over one another: what floor and ceiling make of a source, and of any wave between walls."""

from __future__ import annotations

from numba import njit

from phonotaxis.envs.acoustics.bands import BANDS

STACKS = 5  # the source's own height, floor, ceiling, floor then ceiling, ceiling then floor


@njit(cache=True, error_model="numpy", inline="always")
def stacked_m(stack, z, height):
    """Return the height of one of the images over one another."""
    if stack == 0:
        return z
    if stack == 1:
        return -z
    if stack == 2:
        return 2.0 * height - z
    if stack == 3:  # ceiling before the listener, floor before that
        return 2.0 * height + z
    return z - 2.0 * height


@njit(cache=True, error_model="numpy")
def mirror(gain, left):
    """Take a mirror reflection from a gain: both are arrays [bands], `left` what a surface leaves of the pressure."""
    for band in range(BANDS):
        gain[band] *= left[band]


@njit(cache=True, error_model="numpy")
def mirror_nearby(plan, mirrored, stack, x, y, gain):
    """Take from a gain, [bands], the reflections of a stack as if they all lay above and below one place.

    Args:
        plan: a `Plan`.
        mirrored: float32 [materials, bands], pressure that a mirror reflection leaves.
        stack: which image.
        x: of the place, within the plan, world.
        y: likewise.
        gain: changed.
    """
    row, column = int((y - plan.oy) * plan.inv), int((x - plan.ox) * plan.inv)
    if stack != 0 and stack != 2:
        mirror(gain, mirrored[plan.floor_material[row, column]])
    if stack >= 2:
        mirror(gain, mirrored[plan.ceiling_material[row, column]])
