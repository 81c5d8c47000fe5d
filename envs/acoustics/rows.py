"""Sums of scaled rows, what responses are made of, eight numbers at once.

Rows are named by their array, all of it as one row, and where they begin in it. A view of each would be counted as a
user of the array, which costs more than adding a short row, and makes threads wait for each other.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from phonotaxis.envs.vectors import LANES, Vectors, index, pointer


@intrinsic
def add_scaled(typing, out, to, row, at, count, factor):
    """Add `count` numbers of a row, times a factor, to another: out[to + k] += factor row[at + k], all float32."""
    signature = types.void(out, types.int64, row, types.int64, types.int64, types.float32)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(builder)
        out, row = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        _, to, _, at, count, factor = args
        factors = v.everywhere(factor)
        whole = builder.and_(count, index(-LANES))
        with cgutils.for_range_slice(builder, index(0), whole, index(LANES)) as (k, _):
            here = builder.add(to, k)
            v.store(v.fma(v.load(row, builder.add(at, k)), factors, v.load(out, here)), out, here)
        with cgutils.for_range_slice(builder, whole, count, index(1)) as (k, _):
            place = builder.gep(out, [builder.add(to, k)])
            one = builder.load(builder.gep(row, [builder.add(at, k)]))
            builder.store(builder.fma(one, factor, builder.load(place)), place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def mix(typing, out, row, at, apart, count, factors, factors_at, factor):
    """Fill an array with a mix of rows that follow each other.

    out[k] = sum over r of factor factors[factors_at + r] row[at + r apart + k], for as many r as `count[0]` and k under
    `count[1]`, a multiple of 8; all float32.
    """
    signature = types.void(
        out, row, types.int64, types.int64, types.UniTuple(types.int64, 2), factors, types.int64, types.float32
    )

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(builder)
        out, row, factors = (pointer(context, builder, signature.args[k], args[k]) for k in (0, 1, 5))
        _, _, at, apart, count, _, factors_at, factor = args
        rows, taps = cgutils.unpack_tuple(builder, count)
        with cgutils.for_range_slice(builder, index(0), taps, index(LANES)) as (k, _):
            total = cgutils.alloca_once_value(builder, v.constant(0.0))
            with cgutils.for_range(builder, rows) as loop:
                here = builder.add(builder.add(at, k), builder.mul(loop.index, apart))
                share = builder.fmul(builder.load(builder.gep(factors, [builder.add(factors_at, loop.index)])), factor)
                builder.store(v.fma(v.load(row, here), v.everywhere(share), builder.load(total)), total)
            v.store(builder.load(total), out, k)
        return context.get_dummy_value()

    return signature, generate
