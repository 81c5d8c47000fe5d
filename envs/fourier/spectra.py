"""What is done with spectra: two real signals' are parted, and products are summed over partitions.

A real signal's spectrum is kept as its first half, float32 [2, bins], real parts and imaginary parts; two real rows
that were transformed as one complex row keep all points, [2, points].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from phonotaxis.envs.vectors import LANES, WORD, Complex, Vectors, index, pointer


@intrinsic
def _part_eight(typing, re, im, at, mirror, first, second, bins):
    """Part eight points from `at` on, and from `mirror` on those that stand opposite, see `part_two`."""
    signature = types.void(re, im, types.int64, types.int64, first, second, types.int64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(builder)
        re, im, first, second = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 1, 4, 5))
        low = Complex(v.load(re, args[2]), v.load(im, args[2]))
        high = Complex(v.reversed(v.load(re, args[3])), v.reversed(v.load(im, args[3])))
        total, across = v.scale(v.add(low, high), 0.5), v.scale(v.subtract(low, high), 0.5)
        upper = builder.add(args[2], args[6])
        v.store(total.re, first, args[2])
        v.store(across.im, first, upper)
        v.store(total.im, second, args[2])
        v.store(builder.fneg(across.re), second, upper)
        return context.get_dummy_value()

    return signature, generate


@njit(cache=True, error_model="numpy", nogil=True)
def part_two(re, im, first, second):
    """Part the spectrum of a + i b, two real rows, into those of a and b.

    Args:
        re: float32 [points], real parts.
        im: float32 [points], imaginary parts.
        first: float32 [2 x bins], filled: the first half of a's spectrum, real parts, then imaginary ones.
        second: float32 [2 x bins], likewise of b's.
    """
    points, bins = re.size, first.size // 2
    whole = 1 + (bins - 1) // LANES * LANES
    for k in range(1, whole, LANES):
        _part_eight(re, im, k, points - k - (LANES - 1), first, second, bins)
    _part_one(re, im, 0, first, second, bins)
    for k in range(whole, bins):
        _part_one(re, im, k, first, second, bins)


@njit(cache=True, error_model="numpy", nogil=True)
def _part_one(re, im, k, first, second, bins):
    mirror = (re.size - k) % re.size
    half = re.dtype.type(0.5)
    first[k], first[bins + k] = half * (re[k] + re[mirror]), half * (im[k] - im[mirror])
    second[k], second[bins + k] = half * (im[k] + im[mirror]), half * (re[mirror] - re[k])


@njit(cache=True, error_model="numpy", nogil=True)
def shorten(numbers, codes):
    """Keep numbers in 16 bits, as whole multiples of one step.

    Args:
        numbers: float32 [k], finite.
        codes: int16 [k], filled.

    Returns:
        The step, float32: numbers are codes times it, within half of it. The largest number is 32767 steps.
    """
    most = numbers.dtype.type(0.0)
    for k in range(numbers.size):
        most = max(most, abs(numbers[k]))
    step = most / np.float32(32767.0)
    per_step = np.float32(32767.0) / max(most, np.float32(1e-30))
    for k in range(numbers.size):
        codes[k] = np.int16(np.rint(numbers[k] * per_step))
    return step


@intrinsic
def _multiply_eight(typing, re, im, at, mirror, past, bins, first, late, steps, points, partitions):
    """Do eight points from `at` on, and the eight that stand opposite from `mirror` on, see `multiply`."""
    whole = types.int64
    signature = types.void(re, im, whole, whole, past, whole, whole, late, steps, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(builder)
        re, im, past, late, steps = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 1, 4, 7, 8))
        _, _, at, mirror, _, bins, first, _, _, points, partitions = args

        def source(ring: Any) -> Complex:
            here = builder.add(builder.mul(ring, builder.mul(bins, index(2))), at)
            return Complex(v.load(past, here), v.load(past, builder.add(here, bins)))

        def opposite(x: Complex) -> Complex:
            return Complex(v.reversed(x.re), builder.fneg(v.reversed(x.im)))

        def response(number: Any, place: Any) -> Complex:
            here = builder.add(builder.mul(number, builder.mul(points, index(2))), place)
            return Complex(v.load_codes(late, here), v.load_codes(late, builder.add(here, points)))

        x = source(first)
        sums = [cgutils.alloca_once(builder, WORD) for _ in range(4)]

        def keep(low: Complex, high: Complex) -> None:
            for value, room in zip((*low, *high), sums):
                builder.store(value, room)

        keep(
            v.times(Complex(v.load(re, at), v.load(im, at)), x),
            v.times(Complex(v.load(re, mirror), v.load(im, mirror)), opposite(x)),
        )
        with cgutils.for_range(builder, builder.sub(partitions, index(1))) as loop:
            ring = builder.add(builder.add(first, loop.index), index(1))
            ring = builder.select(builder.icmp_signed(">=", ring, partitions), builder.sub(ring, partitions), ring)
            x, step = source(ring), v.spread(steps, loop.index)
            x = Complex(builder.fmul(x.re, step), builder.fmul(x.im, step))
            low, high = (Complex(builder.load(sums[k]), builder.load(sums[k + 1])) for k in (0, 2))
            keep(
                v.add_times(low, response(loop.index, at), x),
                v.add_times(high, response(loop.index, mirror), opposite(x)),
            )
        for room, (array, place) in zip(sums, ((re, at), (im, at), (re, mirror), (im, mirror))):
            v.store(builder.load(room), array, place)
        return context.get_dummy_value()

    return signature, generate


@njit(cache=True, error_model="numpy", nogil=True)
def multiply(re, im, past, first, late, steps):
    """Turn the spectrum of two responses' beginnings into that of their sound: products, summed over partitions.

    Args:
        re: float32 [points], real parts of a + i b for two real responses a and b; changed in place.
        im: float32 [points], imaginary parts, likewise.
        past: float32 [partitions x 2 x bins], spectra of the source's past: a ring that begins at `first`.
        first: which of them belongs to the beginnings.
        late: int16 [(partitions - 1) x 2 x points], spectra of the responses' other partitions, of `shorten`.
        steps: float32 [partitions - 1], theirs.
    """
    points = re.size
    bins = points // 2 + 1
    partitions = past.size // (2 * bins)
    whole = 1 + (bins - 2) // LANES * LANES
    for k in range(1, whole, LANES):
        _multiply_eight(re, im, k, points - k - (LANES - 1), past, bins, first, late, steps, points, partitions)
    _multiply_one(re, im, 0, past, bins, first, late, steps, partitions)
    for k in range(whole, points - whole + 1):
        _multiply_one(re, im, k, past, bins, first, late, steps, partitions)


@njit(cache=True, error_model="numpy", nogil=True)
def _multiply_one(re, im, k, past, bins, first, late, steps, partitions):
    points = re.size
    lower, sign = (k, re.dtype.type(1.0)) if k < bins else (points - k, re.dtype.type(-1.0))
    x_re, x_im = past[2 * bins * first + lower], sign * past[2 * bins * first + bins + lower]
    sum_re, sum_im = re[k] * x_re - im[k] * x_im, re[k] * x_im + im[k] * x_re
    for number in range(partitions - 1):
        at = 2 * bins * ((first + number + 1) % partitions) + lower
        x_re, x_im = past[at] * steps[number], sign * past[at + bins] * steps[number]
        h_re = np.float32(late[2 * points * number + k])
        h_im = np.float32(late[2 * points * number + points + k])
        sum_re += h_re * x_re - h_im * x_im
        sum_im += h_re * x_im + h_im * x_re
    re[k], im[k] = sum_re, sum_im
