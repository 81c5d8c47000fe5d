"""Short transforms of eight rows at once, from array to array.

A butterfly of radix r reads r complex vectors x_j, transforms across them, and writes r: sum_j x_j
exp(-2 pi i j k / r) for k = 0..r-1. What comes out may be multiplied by a factor of its own each (twiddles of Cooley
and Tukey 1965), one for all lanes or one for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from phonotaxis.envs.vectors import LANES, Complex, Vectors, index, pointer

PLAIN, SAME_IN_LANES, OWN_IN_LANES = 0, 1, 2  # kinds of twiddles


def _of_2(v: Vectors, x: list[Complex]) -> list[Complex]:
    return [v.add(x[0], x[1]), v.subtract(x[0], x[1])]


def _of_3(v: Vectors, x: list[Complex]) -> list[Complex]:
    both = v.add(x[1], x[2])
    across = v.scale(v.subtract(x[1], x[2]), math.sin(2 * math.pi / 3))
    middle = v.add_scaled(x[0], both, -0.5)
    return [v.add(x[0], both), v.add_turned(middle, across), v.subtract_turned(middle, across)]


def _of_4(v: Vectors, x: list[Complex]) -> list[Complex]:
    a, b = _of_2(v, x[0::2])
    c, d = _of_2(v, x[1::2])
    return [v.add(a, c), v.add_turned(b, d), v.subtract(a, c), v.subtract_turned(b, d)]


def _of_5(v: Vectors, x: list[Complex]) -> list[Complex]:
    cos = [math.cos(2 * math.pi * k / 5) for k in (1, 2)]
    sin = [math.sin(2 * math.pi * k / 5) for k in (1, 2)]
    near, near_across = _of_2(v, [x[1], x[4]])
    far, far_across = _of_2(v, [x[2], x[3]])
    one = v.add_scaled(v.add_scaled(x[0], near, cos[0]), far, cos[1])
    two = v.add_scaled(v.add_scaled(x[0], near, cos[1]), far, cos[0])
    one_across = v.add_scaled(v.scale(near_across, sin[0]), far_across, sin[1])
    two_across = v.add_scaled(v.scale(near_across, sin[1]), far_across, -sin[0])
    return [
        v.add(v.add(x[0], near), far),
        v.add_turned(one, one_across),
        v.add_turned(two, two_across),
        v.subtract_turned(two, two_across),
        v.subtract_turned(one, one_across),
    ]


def _of_8(v: Vectors, x: list[Complex]) -> list[Complex]:
    even, odd = _of_4(v, x[0::2]), _of_4(v, x[1::2])
    first, third = v.eighth(odd[1]), v.three_eighths(odd[3])
    return [
        v.add(even[0], odd[0]),
        v.add(even[1], first),
        v.add_turned(even[2], odd[2]),
        v.add(even[3], third),
        v.subtract(even[0], odd[0]),
        v.subtract(even[1], first),
        v.subtract_turned(even[2], odd[2]),
        v.subtract(even[3], third),
    ]


def _of_10(v: Vectors, x: list[Complex]) -> list[Complex]:
    """Two and five share no factor: so no twiddles in between (Good 1958)."""
    even = _of_5(v, [x[2 * k % 10] for k in range(5)])
    odd = _of_5(v, [x[(5 + 2 * k) % 10] for k in range(5)])
    out = [even[0]] * 10
    for k in range(5):
        out[6 * k % 10], out[(5 + 6 * k) % 10] = _of_2(v, [even[k], odd[k]])
    return out


_TRANSFORMS: dict[int, Callable[[Vectors, list[Complex]], list[Complex]]] = {
    2: _of_2, 3: _of_3, 4: _of_4, 5: _of_5, 8: _of_8, 10: _of_10,
}  # fmt: skip
RADICES = tuple(_TRANSFORMS)


def _sweep(radix: int, twiddles: int) -> Any:
    """Make a kernel of butterflies of one radix and kind of twiddles, in two loops.

    What it makes is called as f(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count). Butterfly (p, q) of
    `count` (how many p, how many q) reads its input j from element at + j step + p next_p + q next_q of `re` and
    `im`, float32 [any], where `read` is (at, step, next_p, next_q), all int64. It writes output k by `write`
    likewise, and reads its twiddle by `factor`: one number for all lanes, where that of k = 0 is 1 and isn't stored,
    or eight.
    """

    @intrinsic
    def sweep(typing, re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count):  # type: ignore[no-untyped-def]  # numba reads the names
        signature = types.void(re, im, read, out_re, out_im, write, tw_re, tw_im, factor, count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            v = Vectors(builder)
            source, out, factors = (
                [pointer(context, builder, signature.args[k], args[k]) for k in pair]
                for pair in ((0, 1), (3, 4), (6, 7))
            )
            read, write, factor, count = (cgutils.unpack_tuple(builder, args[k]) for k in (2, 5, 8, 9))
            with cgutils.for_range(builder, count[0]) as p, cgutils.for_range(builder, count[1]) as q:

                def places(steps: Any, count: int) -> list[Any]:
                    """Count on from one place to the next: no product has to be kept for each."""
                    at = builder.add(builder.mul(steps[2], p.index), builder.mul(steps[3], q.index))
                    found = [builder.add(steps[0], at)]
                    for _ in range(count - 1):
                        found.append(builder.add(found[-1], steps[1]))
                    return found

                def fetch(arrays: Any, at: Any, how: Any) -> Complex:
                    return Complex(*(how(part, at) for part in arrays))

                x = [fetch(source, at, v.load) for at in places(read, radix)]
                for k, (value, at) in enumerate(zip(_TRANSFORMS[radix](v, x), places(write, radix))):
                    if twiddles == OWN_IN_LANES:
                        value = v.times(value, fetch(factors, places(factor, k + 1)[k], v.load))
                    elif twiddles == SAME_IN_LANES and k > 0:
                        value = v.times(value, fetch(factors, places(factor, k)[k - 1], v.spread))
                    for number, part in zip(value, out):
                        v.store(number, part, at)
            return context.get_dummy_value()

        return signature, generate

    return sweep


plain_2, plain_3, plain_4, plain_5, plain_8, plain_10 = (_sweep(r, PLAIN) for r in RADICES)
same_2, same_3, same_4, same_5, same_8, same_10 = (_sweep(r, SAME_IN_LANES) for r in RADICES)
own_2, own_3, own_4, own_5, own_8, own_10 = (_sweep(r, OWN_IN_LANES) for r in RADICES)


@intrinsic
def transpose(typing, source, at, stride, out, to):  # type: ignore[no-untyped-def]  # numba reads the names
    """Write eight rows of eight float32, from `at` on and `stride` apart, as columns: eight vectors from `to` on."""
    signature = types.void(source, types.int64, types.int64, out, types.int64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(builder)
        read, write = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 3))
        rows = [v.load(read, builder.add(args[1], builder.mul(args[2], index(row)))) for row in range(LANES)]
        for number, row in enumerate(v.transpose(rows)):
            v.store(row, write, builder.add(args[4], index(number * LANES)))
        return context.get_dummy_value()

    return signature, generate
