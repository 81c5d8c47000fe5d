"""Complex transforms of thousands of points, for kernels.

N = rows x columns points are taken as a matrix (Bailey 1990): transforms along its columns, eight neighbouring ones
at once, then a factor for each point, then transforms along its rows, eight at once, turned over on the way. Each of
them is a few butterflies over numbers that stay in the nearest cache, after Stockham, so that order comes out right.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from phonotaxis.envs.fourier import butterflies as bf
from phonotaxis.envs.vectors import LANES


class Passes(NamedTuple):
    """How a short transform is done.

    Attributes:
        radix: int64 [passes].
        twiddle_at: int64 [passes], where a pass's factors begin.
        re: float32 [all factors], real parts: for each pass but the last, [length / radix so far, radix - 1].
        im: float32 [all factors], imaginary parts.
    """

    radix: np.ndarray
    twiddle_at: np.ndarray
    re: np.ndarray
    im: np.ndarray


class Plan(NamedTuple):
    """How transforms of one length are done.

    Attributes:
        rows: of the matrix.
        columns: of the matrix; rows x columns points.
        along_rows: transforms of `columns` points.
        along_columns: transforms of `rows` points.
        re: float32 [rows x columns], real part of each point's factor.
        im: float32 [rows x columns], its imaginary part.
    """

    rows: int
    columns: int
    along_rows: Passes
    along_columns: Passes
    re: np.ndarray
    im: np.ndarray


class Scratch(NamedTuple):
    """Room to work in: float32 [2, points], and twice float32 [2, 8 x the longer side]."""

    matrix: np.ndarray
    here: np.ndarray
    there: np.ndarray


def fast_length(least: int) -> int:
    """Return the smallest length of at least so many points that `plan_of` takes: 64 x 2^a 3^b 5^c."""
    blocks = max(1, -(-least // LANES**2))
    while not set(_radices(blocks)) <= set(bf.RADICES):
        blocks += 1
    return blocks * LANES**2


@lru_cache(maxsize=16)
def plan_of(length: int) -> Plan:
    """Plan transforms.

    Args:
        length: points, one of `fast_length`.

    Raises:
        ValueError: another length.
    """
    if length != fast_length(length):
        raise ValueError(f"{length} points can't be transformed; take {fast_length(length)}, see fast_length")
    blocks = length // LANES**2
    # As square as can be, so that both sides fit the nearest cache.
    side = min((d for d in range(1, blocks + 1) if blocks % d == 0), key=lambda d: max(d, blocks // d))
    rows, columns = LANES * side, LANES * (blocks // side)
    angle = -2.0 * np.pi * np.outer(np.arange(rows), np.arange(columns)).reshape(-1) / length
    return Plan(rows, columns, _passes(columns), _passes(rows), *_parts(angle))


def _parts(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and sine, float32, read-only, for all plans of a length are one."""
    parts = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    for part in parts:
        part.flags.writeable = False
    return parts


def _radices(number: int) -> list[int]:
    """Split a number into radices, as large ones as there are; what can't be split comes last."""
    found = []
    for radix in sorted(bf.RADICES, reverse=True):
        while number % radix == 0:
            number //= radix
            found.append(radix)
    return [*found, number] if number > 1 else found


def _passes(length: int) -> Passes:
    radices = [8, *_radices(length // 8)]
    at, angles, left = [], [np.zeros(0)], length
    for radix in radices:
        at.append(sum(a.size for a in angles))
        of_pass = np.outer(np.arange(left // radix), np.arange(1, radix)) / left
        angles.append(-2.0 * np.pi * of_pass.reshape(-1))
        left //= radix
    return Passes(np.array(radices), np.array(at), *_parts(np.concatenate(angles)))


@njit(cache=True, error_model="numpy")
def new_scratch(plan):
    """Return room for transforms of a plan; each thread needs its own."""
    most = 8 * max(plan.rows, plan.columns)
    return Scratch(
        np.empty((2, plan.rows * plan.columns), dtype=np.float32),
        np.empty((2, most), dtype=np.float32),
        np.empty((2, most), dtype=np.float32),
    )


@njit(cache=True, error_model="numpy", nogil=True)
def transform(re, im, out_re, out_im, plan, scratch):
    """Transform one row: X_k = sum_n x_n exp(-2 pi i n k / N).

    The inverse, times N, is the same with real and imaginary parts changed over, in what is given and what is filled.

    Args:
        re: float32 [points], real parts.
        im: float32 [points], imaginary parts.
        out_re: float32 [points], filled; may be `re`.
        out_im: float32 [points], filled; may be `im`.
        plan: a `Plan`.
        scratch: of `new_scratch`.
    """
    rows, columns = plan.rows, plan.columns
    matrix_re, matrix_im = scratch.matrix[0], scratch.matrix[1]
    _sides(re, im, columns, False, matrix_re, matrix_im, rows, columns, plan.along_columns, True, plan, scratch)
    _sides(matrix_re, matrix_im, columns, True, out_re, out_im, columns, rows, plan.along_rows, False, plan, scratch)


@njit(cache=True, error_model="numpy", nogil=True)
def _sides(re, im, width, turned, out_re, out_im, length, others, passes, own_twiddles, plan, scratch):
    """Transform a matrix along one of its sides, eight lines at once.

    Args:
        re: float32 [points], real parts of a matrix, row by row.
        im: float32 [points], imaginary parts.
        width: of a row.
        turned: transform along rows and write what comes out along columns; else along columns, written likewise.
        out_re: float32 [points], filled: [length, others], row by row.
        out_im: float32 [points], likewise.
        length: points of a line.
        others: lines.
        passes: a `Passes` for `length`.
        own_twiddles: multiply what comes out by the plan's factors.
        plan: a `Plan`.
        scratch: of `new_scratch`.
    """
    # Everything an array is taken from is taken here: in the loops it would be counted as used, again and again.
    here_re, here_im, there_re, there_im = scratch.here[0], scratch.here[1], scratch.there[0], scratch.there[1]
    radices, twiddle_at, tw_re, tw_im = passes.radix, passes.twiddle_at, passes.re, passes.im
    own_re, own_im = plan.re, plan.im
    last = radices.size - 1
    for line in range(0, others, 8):
        at, apart = line, width
        if turned:
            for n in range(0, length, 8):
                bf.transpose(re, line * width + n, width, there_re, n * 8)
                bf.transpose(im, line * width + n, width, there_im, n * 8)
            at, apart = 0, 8
        done = 1
        for number in range(last):
            radix = radices[number]
            left = length // (done * radix)
            read = (at, done * left * apart, done * apart, apart)
            write = (0, 8 * done, 8 * done * radix, 8)
            factor, count = (twiddle_at[number], 1, radix - 1, 0), (left, done)
            if number % 2 == 1:
                _pass(radix, here_re, here_im, read, there_re, there_im, write, tw_re, tw_im, factor, count)
            elif number == 0 and not turned:
                _pass(radix, re, im, read, here_re, here_im, write, tw_re, tw_im, factor, count)
            else:
                _pass(radix, there_re, there_im, read, here_re, here_im, write, tw_re, tw_im, factor, count)
            at, apart, done = 0, 8, done * radix
        radix, read, count = radices[last], (at, done * apart, 0, apart), (1, done)
        write = (line, done * others, 0, others)
        if last % 2 == 1:
            _finish(radix, own_twiddles, here_re, here_im, read, out_re, out_im, write, own_re, own_im, count)
        elif last == 0 and not turned:
            _finish(radix, own_twiddles, re, im, read, out_re, out_im, write, own_re, own_im, count)
        else:
            _finish(radix, own_twiddles, there_re, there_im, read, out_re, out_im, write, own_re, own_im, count)


@njit(cache=True, error_model="numpy", nogil=True)
def _pass(radix, re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count):
    """Do all butterflies of a pass that others follow."""
    if radix == 10:
        bf.same_10(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)
    elif radix == 8:
        bf.same_8(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)
    elif radix == 5:
        bf.same_5(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)
    elif radix == 4:
        bf.same_4(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)
    elif radix == 3:
        bf.same_3(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)
    else:
        bf.same_2(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)


@njit(cache=True, error_model="numpy", nogil=True)
def _finish(radix, own_twiddles, re, im, read, out_re, out_im, write, tw_re, tw_im, count):
    """Do all butterflies of the last pass, with a factor for each point or without."""
    if own_twiddles:
        _finish_own(radix, re, im, read, out_re, out_im, write, tw_re, tw_im, count)
    elif radix == 10:
        bf.plain_10(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 8:
        bf.plain_8(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 5:
        bf.plain_5(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 4:
        bf.plain_4(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 3:
        bf.plain_3(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    else:
        bf.plain_2(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)


@njit(cache=True, error_model="numpy", nogil=True)
def _finish_own(radix, re, im, read, out_re, out_im, write, tw_re, tw_im, count):
    if radix == 10:
        bf.own_10(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 8:
        bf.own_8(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 5:
        bf.own_5(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 4:
        bf.own_4(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    elif radix == 3:
        bf.own_3(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
    else:
        bf.own_2(re, im, read, out_re, out_im, write, tw_re, tw_im, write, count)
